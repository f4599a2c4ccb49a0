"""nats-server's dialect of configuration, as its own parser reads it."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.command.importing.nats_dialect import go_seconds, read_nats_file
from gateway.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def read_text(text: str):
        path = tmp_path / "nats.conf"
        path.write_text(text)
        return read_nats_file(path)

    return read_text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\nb = 2\nc 3", {"a": 1, "b": 2, "c": 3}),
        ("a: 1; b: 2, c: 3", {"a": 1, "b": 2, "c": 3}),
        ('{"a": 1, "b": [true, "x"]}', {"a": 1, "b": [True, "x"]}),
        ("a { b { c: d } }", {"a": {"b": {"c": "d"}}}),
        ("a = [1, 2\n 3\n]", {"a": [1, 2, 3]}),
        ("# one\na: 1 // two\n// three", {"a": 1}),
        ("a: yes\nb: Off\nc: TRUE", {"a": True, "b": False, "c": True}),
        ("a: 1k\nb: 1kb\nc: 2MiB\nd: 1g\ne: -5", {"a": 1000, "b": 1024, "c": 2 << 20, "d": 10**9, "e": -5}),
        ("a: 1.5\nb: 1.2.3\nc: 127.0.0.1:4222", {"a": 1.5, "b": "1.2.3", "c": "127.0.0.1:4222"}),
        ('a: "x\\ty\\"\\x41"\nb: \'raw\\n\'', {"a": 'x\ty"A', "b": "raw\\n"}),
        ("a: (\none\ntwo\n)\nb: 1", {"a": "one\ntwo", "b": 1}),
        ("url: nats://a:b@hub:7422\nb: 1", {"url": "nats://a:b@hub:7422", "b": 1}),
        ("p: $2a$11$abc\n", {"p": "$2a$11$abc"}),
        ('"a.*": b', {"a.*": "b"}),
        ("", {}),
    ],
)
def test_text_is_read(read, text, found):
    assert read(text) == found


def test_variables_come_from_the_maps_around_and_then_from_the_environment(read, monkeypatch):
    monkeypatch.setenv("LIMIT_OF_A_TEST", "10k")
    assert read("V = 7\na { b: $V, V = 8, c: $V }\nd: $LIMIT_OF_A_TEST") == {"a": {"b": 7, "V": 8, "c": 8}, "d": 10_000}


def test_files_are_included_where_they_are_named(read, tmp_path: Path):
    (tmp_path / "more.conf").write_text("b: $V\nc { d: 1 }")
    assert read("V = 7\na: 1\ninclude 'more.conf'\ne { include ./more.conf }") == {
        "a": 1,
        "b": 7,
        "c": {"d": 1},
        "e": {"b": 7, "c": {"d": 1}},
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\nb: [1, 2", r":2: \] is missing"),
        ("a {", r":1: } is missing"),
        ("a: $UNSET_IN_ANY_TEST", r":1: the variable UNSET_IN_ANY_TEST is not set"),
        ('a: "x', r":1: a quote is not closed"),
        ("a: 'x", r":1: a quote is not closed"),
        ("a:\n}", r":2: a value is missing"),
        (": 1", r":1: a key is expected, not ':'"),
        ("{a: 1}\nb: 2", r":2: something follows the closing brace"),
        ("include nothing.conf", r"nothing.conf: cannot be read"),
        ("include nats.conf", r"files include each other too deeply"),
        ('a: "\\q"', r":1: \\q is no escape"),
    ],
)
def test_fault_names_file_and_line(read, text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read(text)


@given(text=st.text(alphabet="ab $\"'\\[]{}()=:;,\n#/1k.", max_size=60))
def test_any_text_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("dialect") / "nats.conf"
    path.write_text(text)
    with suppress(ConfigError):
        assert isinstance(read_nats_file(path), dict)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2m", 120), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25), ("5", None), ("", None), ("2 m", None)],
)
def test_durations_are_go_s(text, seconds):
    assert go_seconds(text) == seconds
