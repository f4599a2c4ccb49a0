"""No regular expression takes more than linear time over what a peer sends.

Each one in the source is listed here: with the inputs that would make it slow if any did, or with the reason why no
peer has a hand in its input. A pattern that is not listed fails, and so does a list that names what is gone.
"""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest

from tests.backtracking import Engine, steps
from tests.test_architecture import REPOSITORY, sources

# Twice the input may take this many times the steps; a square takes four.
MOST_GROWTH = 2.3
SIZES = (100, 200, 400)


class Attack(NamedTuple):
    """What is matched is `lead`, `pump` many times and `end`."""

    method: str
    lead: bytes | str
    pump: bytes | str
    end: bytes | str


BLANKS = (b" ", b"\t", b" \t")
AUDITED: dict[str, list[Attack]] = {
    "protocols.topic_mapping._ESCAPE": [Attack("search", b"", pump, b"") for pump in (b"/", b"/s", b"x/")],
    **{
        f"protocols.topic_mapping.{name}": [
            Attack("fullmatch", lead, pump, end)
            for lead in (b"", b"/")
            for pump in (b"a", b"/s", b"//", b"a/s")
            for end in (b"", b"/", b"/x")
        ]
        for name in ("_MADE", "_MADE_ALONE")
    },
    "protocols.mqtt.header_mapping._STATUS_LINE": [
        Attack("fullmatch", lead, pump, end)
        for lead in (b"NATS/1.0", b"NATS/1.0 503", b"NATS/1.0 503 a", b"NATS/1.0 503 a ")
        for pump in (*BLANKS, b"a", b"a ", b"5")
        for end in (b"", b"\r", b"\rX", b"\nX", b" \r")
    ],
    "protocols.mqtt.header_mapping._STATUS_CODE": [Attack("fullmatch", b"", b"5", b"")],
    "protocols.mqtt.header_mapping._NAME": [Attack("fullmatch", b"", b"a", end) for end in (b"", b":", b" ")],
    "protocols.mqtt.header_mapping._SECONDS": [Attack("fullmatch", b"", b"5", end) for end in (b"", b"x")],
    **{
        f"protocols.numbers.{name}": [Attack("search", "", pump, "") for pump in ("a", " ", "=", "\1")]
        for name in (
            "remote_write._UNFIT_METRIC",
            "remote_write._UNFIT_LABEL",
            "line_protocol._UNFIT",
            "line_protocol._IN_MEASUREMENT",
            "line_protocol._IN_KEY",
        )
    },
    "protocols.mqtt.primitives._UNFIT": [Attack("search", "", pump, end) for pump in ("a", "é") for end in ("", "\1")],
    "protocols.nats.client.WHITE_SPACE": [Attack("search", b"", b"a", end) for end in (b"", b" ")],
    **{
        f"gateway.accounts.nkeys.{name}": [
            Attack("fullmatch", lead, pump, end)
            for lead in ("", "S", "SU", "U")
            for pump in ("A", "2", "SU")
            for end in ("", "=", "\n")
        ]
        for name in ("_PUBLIC_TEXT", "_SEED_TEXT")
    },
    "gateway.monitoring.parameters.INTEGER": [Attack("fullmatch", "", "1", end) for end in ("", "x")],
    "protocols.foreign_text._TERMINAL_SEQUENCE": [
        Attack("search", lead, pump, end)
        for lead in (b"", b"\x1b[", b"\x1b[0 ")
        for pump in (b"0", b" ", b"0 ", b"\x1b", b"\x1b[0", b"\x1b[ ")
        for end in (b"", b"\x1b")
    ],
    # The URLs of a hub's INFO as well.
    "gateway.settings.addresses.HOST_NAME": [
        Attack("fullmatch", "", pump, end) for pump in ("a", "a.", ".", "ab.") for end in ("", "!", ".", "..")
    ],
    "gateway.settings.addresses.NUMERIC_HOST": [Attack("fullmatch", "", "1.", end) for end in ("", "x")],
    "gateway.settings.addresses.URL_PATH": [Attack("fullmatch", "", "/a", end) for end in ("", "?")],
}
# Those of libraries, over what is let through to them.
BORROWED = {
    "h11._readers.header_field_re": [
        Attack("fullmatch", lead, pump, end)
        for lead in (b"", b"a", b"a:", b"a: x")
        for pump in (*BLANKS, b"x", b"x ", b":", b"a:", b"\x01")
        for end in (b"", b" ", b"x", b"\xff")
    ],
    "h11._readers.request_line_re": [
        Attack("fullmatch", lead, pump, end)
        for lead in (b"", b"GET ", b"GET / HTTP/1.1")
        for pump in (b" ", b"x", b"x ", b"HTTP/1.1 ")
        for end in (b"", b" HTTP/1.1", b" HTTP/1.1 ")
    ],
}
# What the operator wrote, or what we made ourselves.
OUR_OWN = {
    "gateway.command.device.PREFIX": "an argument of a command",
    "gateway.command.streams.buckets.BUCKET": "an argument of a command",
    "gateway.command.streams.buckets.KEY": "an argument of a command",
    "gateway.devices.ports.selection.USB_IDS": "the configuration",
    "gateway.settings.file.PATH_SUFFIX": "what msgspec says about the configuration",
    "gateway.settings.file.POSITION_SUFFIX": "what tomllib says about the configuration",
    "gateway.settings.file.UNKNOWN_KEY": "what msgspec says about the configuration",
    "gateway.settings.file.MISSING_KEY": "what msgspec says about the configuration",
    "gateway.settings.file.STEP": "what msgspec says about the configuration",
    "gateway.runtime.logs.FIELD": "log lines, which are cut at 2 KiB",
    "gateway.settings.serial": "the operator's pattern, compiled to look at its groups",
    "gateway.settings.line_pattern": "a class of characters, tried on single bytes",
    "gateway.devices.lines": "the operator's pattern",
    "gateway.settings.numbers.TARGET": "the configuration",
    "gateway.settings.numbers.LABEL": "the configuration",
    **{
        f"gateway.command.importing.nats_dialect.{name}": "the operator's file, read by a command"
        for name in ("NUMBER", "FLOAT", "VARIABLE", "DURATION")
    },
}


def uses_of_re(source: str) -> Iterator[tuple[str, str]]:
    """Names that patterns are assigned to, "" for any other use, and the function of `re` that is called."""
    tree = ast.parse(source)
    named = {
        id(node.value): target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "re":
            yield "", "import"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "re":
                yield named.get(id(node), ""), node.func.attr


def used() -> set[str]:
    found = set()
    for room in ("gateway", "protocols"):
        for path in sources(room):
            module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            for name, function in uses_of_re(path.read_text()):
                assert function == "compile", f"{module}: re.{function} hides its pattern from this list"
                found.add(f"{module}.{name}" if name else module)
    return found


def pattern_of(name: str) -> "re.Pattern[bytes] | re.Pattern[str]":
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def growth(pattern: "re.Pattern[bytes] | re.Pattern[str]", attack: Attack) -> float:
    """The largest factor between the steps over an input and those over one twice as long."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        counts = [steps(pattern, attack.lead + attack.pump * size + attack.end, attack.method) for size in SIZES]
    finally:
        sys.setrecursionlimit(limit)
    return max(later / max(earlier, 100) for earlier, later in pairwise(counts))


def test_uses_of_re_are_found_wherever_they_stand():
    source = "import re\nA = re.compile('a')\ndef f():\n    x = re.compile('b')\n    return re.match('c', 'c')\n"
    assert sorted(uses_of_re(source)) == [("", "compile"), ("", "match"), ("A", "compile")]


def test_every_pattern_is_audited_or_nobody_elses():
    assert used() == AUDITED.keys() | OUR_OWN.keys()


@pytest.mark.parametrize(
    ("pattern", "attack"),
    [
        (rb"\r\nId:[ \t]*([^\r\n]*?)[ \t]*\r\n", Attack("search", b"\r\nId: a", b" ", b"b")),
        (rb"a+[ \t]+([0-9]{3})(?:[ \t]+([^\r\n]*))?", Attack("fullmatch", b"a 503", b" ", b"\rX")),
        (rb"a*a*", Attack("fullmatch", b"", b"a", b"b")),
    ],
)
def test_pattern_that_looks_back_is_told(pattern: bytes, attack: Attack):
    assert growth(re.compile(pattern), attack) > 3


@pytest.mark.parametrize("name", sorted(AUDITED | BORROWED))
def test_steps_grow_as_the_input_does(name: str):
    pattern = pattern_of(name)
    for attack in (AUDITED | BORROWED)[name]:
        assert growth(pattern, attack) <= MOST_GROWTH, attack


@pytest.mark.parametrize(
    "pattern", [rb"a[ \t]+([0-9]{3})?x", rb"(?:[^/]|/[st])+", rb"(?P<a>\d+)-[^\x00\s]*", rb"a.c|b"]
)
@pytest.mark.parametrize("text", [b"a 503x", b"a  x", b"/s/t/", b"12-ab", b"12-", b"abc", b"zb", b""])
@pytest.mark.parametrize("method", ["match", "fullmatch", "search"])
def test_engine_that_counts_finds_what_re_finds(pattern: bytes, text: bytes, method: str):
    compiled = re.compile(pattern)
    found = getattr(compiled, method)(text)
    engine = Engine(compiled, text)
    starts = range(len(text) + 1) if method == "search" else [0]
    ends = [end for start in starts for end in engine.ends(engine.items, start)]
    if method == "fullmatch":
        ends = [end for end in ends if end == len(text)]
    assert (found.end() if found else None) == (ends[0] if ends else None)
