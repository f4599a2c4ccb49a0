"""`leafgate rules test`: what rules make of a recording, and what is said of one that cannot be read."""

import json
from pathlib import Path

import pytest

from gateway.command.command_line import main

RULES = """
[[rules]]
name = "mean"
from = "raw.*"
to = "mean.$1"
window-seconds = 10
aggregate = "mean"
[[rules]]
name = "warm"
from = ">"
to = "warm.>"
when = "payload > 20"
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, Path]:
    (tmp_path / "leafgate.toml").write_text(RULES)
    return str(tmp_path / "leafgate.toml"), tmp_path / "recorded"


def told(text: str) -> list[tuple[str, str, str]]:
    return [(one["rule"], one["subject"], one["payload"]) for one in map(json.loads, text.splitlines())]


def test_recording_plays_in_its_own_time(files, capsys) -> None:
    config, recorded = files
    samples = [("raw.a", "10", 100.0), ("raw.a", "30", 105.0), ("$SYS.x", "50", 106.0), ("raw.a", "5", 111.0)]
    lines = [json.dumps({"subject": name, "payload": text, "time": time}) for name, text, time in samples]
    recorded.write_text("\n".join(lines) + "\n\n")
    assert main(["rules", "test", str(recorded), "-c", config]) == 0
    said = capsys.readouterr()
    assert told(said.out) == [
        ("warm", "warm.raw.a", "30"),
        ("mean", "mean.a", "20.0"),
        ("mean", "mean.a", "5.0"),
    ]
    assert said.err.splitlines() == [
        "rule mean: 3 taken, 2 made, 0 filtered, 0 held, 0 errors",
        "rule warm: 3 taken, 1 made, 2 filtered, 0 held, 0 errors",
    ]


def test_message_without_a_result_is_told_and_ends_with_1(files, capsys) -> None:
    config, recorded = files
    recorded.write_text('{"subject":"raw.a","payload":"on"}\n{"subject":"raw.a","payload_base64":"/w=="}\n')
    assert main(["rules", "test", str(recorded), "-c", config, "--rule", "warm"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "rule warm: not-comparable: text > a number says nothing",
        "rule warm: not-text: the payload is neither JSON nor text",
        "rule warm: 2 taken, 0 made, 0 filtered, 0 held, 2 errors",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raw.a: 5\n", "recorded:1: no message as `leafgate sub --json` writes it"),
        ('{"subject":"a b"}\n', "recorded:1: 'a b' is no subject"),
        ('{"subject":"a","payload_base64":"?"}\n', "recorded:1: no message"),
        ('{"subject":"a","time":"x"}\n', "recorded:1: no message"),
        ("[" * 100_000 + "\n", "recorded:1: no message"),
    ],
)
def test_what_is_no_recording_is_told_with_its_line(files, capsys, text: str, said: str) -> None:
    config, recorded = files
    recorded.write_text(text)
    assert main(["rules", "test", str(recorded), "-c", config]) == 1
    assert said in capsys.readouterr().err


def test_rule_or_file_that_is_not_there_is_told(files, capsys) -> None:
    config, recorded = files
    assert main(["rules", "test", str(recorded), "-c", config]) == 1
    assert "recorded: cannot be read: No such file" in capsys.readouterr().err
    assert main(["rules", "test", str(recorded), "-c", config, "--rule", "cold"]) == 2
    assert "there is no rule 'cold'; there are mean, warm" in capsys.readouterr().err
