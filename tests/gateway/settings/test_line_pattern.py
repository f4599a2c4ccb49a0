"""Patterns for serial lines: what takes too long is refused before a line comes."""

import re

import pytest

from gateway.settings.file import KeyedValueError
from gateway.settings.line_pattern import LONGEST_LINE, SHORTEST_LINE, longest_line
from gateway.settings.serial import Serial

WHOLE = [
    r"(?P<subject>(a|ab)*)(?P<payload>c)",
    r"(?P<subject>[^=\s]+)=(?P<payload>.*)",
    r"(?P<subject>[^=]+)=(?P<payload>.*)",
    r"(?P<subject>\w+): (?P<payload>\d+)",
    r"(?:\[\d+\] )?(?P<subject>\w+) = (?P<payload>-?\d+(\.\d+)?)",
    r"^(?P<subject>[A-Za-z]{1,8})\s+(?P<payload>[0-9.]+)$",
    r"(?P<subject>\W+|\w+?)(?P<payload>)",
]
SHORTER = [
    r"(?P<subject>temp|humidity)=(?P<payload>\S+).*",
    r"(?P<subject>\w+):\s*(?P<payload>.*)",
    r"(?P<subject>.*)=(?P<payload>.*)",
    r"\s*(?P<subject>\S+)\s+(?P<payload>.*)",
    r"(?P<subject>(?:\w+\.)*\w+)=(?P<payload>.*)",
    r"(?i)(?P<subject>[^=]+)=(?P<payload>.*)",
]
REFUSED = [
    r"(?P<subject>(a+)+)=(?P<payload>.*)",
    r"(?P<subject>(a|a)*)(?P<payload>b)",
    r"(?P<subject>(x{0,5}){0,500})(?P<payload>b)",
    r"(?P<subject>(x?){500})(?P<payload>b)",
    r"(?P<subject>(.*)*)(?P<payload>b)",
    r".*.*.*(?P<subject>.*)=(?P<payload>.*)",
    r"(?P<subject>.*)=(?P<payload>.*);",
    r"(?P<subject>x)\1(?P<payload>.*)",
    r"(?P<subject>x)(?=y*)(?P<payload>.*)",
    f"(?P<subject>{'x?' * 25})(?P<payload>{'x' * 25})",
    r"(?P<subject>((a[bc]*)+d?)+)(?P<payload>e)",
    "(?P<subject>(",
]


@pytest.mark.parametrize("pattern", WHOLE)
def test_pattern_with_one_way_through_a_line_takes_lines_of_any_length(pattern: str):
    assert longest_line(pattern) == LONGEST_LINE


@pytest.mark.parametrize("pattern", SHORTER)
def test_pattern_with_a_way_for_each_byte_takes_shorter_lines(pattern: str):
    assert SHORTEST_LINE <= longest_line(pattern) < LONGEST_LINE


@pytest.mark.parametrize("pattern", REFUSED)
def test_pattern_that_could_stall_is_no_configuration(pattern: str):
    with pytest.raises(KeyedValueError):
        Serial(port="/dev/ttyX", pattern=pattern)


@pytest.mark.parametrize("pattern", WHOLE + SHORTER)
def test_pattern_that_is_taken_matches_what_repeats_itself(pattern: str):
    """It comes back at all: a pattern that backtracks without end would never."""
    length = longest_line(pattern)
    compiled = re.compile(pattern.encode())
    for piece in (b"a", b"=", b"a=", b" ", b"a ", b"a.", b"1", b"a:", b"\t", b"temp=1 "):
        for end in (b"", b"!", b"\x00"):
            compiled.fullmatch((piece * length)[: length - len(end)] + end)
