"""Completion scripts complete what the parser understands, in the shells themselves where they are installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.command.command_line import build_parser
from gateway.command.completion import script
from gateway.command.parser_tree import commands_of
from tests.integration.peers import require_peer
from tests.patience import PATIENCE_SECONDS

ASK = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_leafgate
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bash") / "leafgate.bash"
    path.write_text(script(build_parser(), "bash"))
    return path


def proposals(path: Path, words: str, directory: Path | None = None) -> set[str]:
    told = subprocess.run(
        ["bash", "-c", ASK.format(script=path, words=words)],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert told.stderr == ""
    return set(told.stdout.split())


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("leafgate re", {"reload", "request", "reply", "restore"}),
        ("leafgate device up", {"update"}),
        ("leafgate stream ex", {"export"}),
        ("leafgate stream add ORDERS --storage m", {"memory"}),
        ("leafgate kv h", {"history"}),
        ("leafgate pub a --re", {"--reply", "--retain"}),
        ("leafgate --server x", set()),
        ("leafgate completion ''", {"bash", "zsh", "fish", "-h", "--help"}),
        ("leafgate import --from ''", {"nats", "mosquitto"}),
        ("leafgate device flash --identity n", {"nkey", "none"}),
    ],
)
def test_bash_completes(bash_script, words, proposed):
    assert proposals(bash_script, words) == proposed


def test_bash_completes_files_where_an_option_takes_one(bash_script, tmp_path):
    (tmp_path / "edge.toml").touch()
    assert proposals(bash_script, "leafgate check --config ed", tmp_path) == {"edge.toml"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_their_script(shell, tmp_path):
    program = require_peer(shell)
    path = tmp_path / "script"
    path.write_text(script(build_parser(), shell))
    done = subprocess.run(
        [program, "-n", str(path)], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_knows_every_command_and_option(shell):
    text = script(build_parser(), shell)
    for node in commands_of(build_parser()):
        for name in [*node.words, *(one for option in node.options() for one in option.option_strings)]:
            assert (name.removeprefix("--") if shell == "fish" else name).lstrip("-") in text


def test_manual_page_is_the_one_of_this_parser(monkeypatch: pytest.MonkeyPatch):
    from gateway.command.manual import manual_page

    # They change the defaults that it names.
    for name in [one for one in os.environ if one.startswith("LEAFGATE_")]:
        monkeypatch.delenv(name)
    page = Path(__file__).parents[3] / "configs" / "leafgate.1"
    assert page.read_text() == manual_page(build_parser()), "run make man"


def test_manual_page_is_set_without_complaint():
    if shutil.which("man") is None:
        pytest.skip("man is not installed (Debian: man-db)")
    page = Path(__file__).parents[3] / "configs" / "leafgate.1"
    environment = os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    command = ["man", "--warnings=w", "-l", str(page)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "EXIT STATUS" in done.stdout
