"""Lines that every reader of the line protocol reads the same, whatever the names are made of."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.numbers import line_protocol

UNESCAPED = re.compile(r"(?<!\\)[ ]")


@pytest.mark.parametrize(
    ("name", "tags", "line"),
    [
        ("temp", {}, "temp v=1.5 7\n"),
        ("t e,m=p", {"a b": "c=d,e"}, "t\\ e\\,m=p,a\\ b=c\\=d\\,e v=1.5 7\n"),
        ("#x", {"b": "2", "a": "1", "none": ""}, "_#x,a=1,b=2 v=1.5 7\n"),
        ("a\nb", {"t": "x\\"}, "a_b,t=x v=1.5 7\n"),
        ("", {"t": "\\"}, "_,t=_ v=1.5 7\n"),
    ],
)
def test_names_are_escaped(name, tags, line):
    series = line_protocol.encode_series(name, tags)
    assert line_protocol.encode_point(series, [("v", 1.5)], 7) == line


@given(st.text(max_size=30), st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=10), max_size=4))
def test_line_has_three_parts_whatever_the_names_are(name, tags):
    line = line_protocol.encode_point(line_protocol.encode_series(name, tags), [("v", 1e22), ("w", -0.5)], 1)
    assert line.endswith(" v=1e+22,w=-0.5 1\n")
    assert "\n" not in line[:-1]
    assert len(UNESCAPED.split(line)) == 3
