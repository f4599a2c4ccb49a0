"""Filters compared with each other in a tree: as one by one, and in steps that grow with what is written alone."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.streams.filter_tree import FilterTree, collide, have_covered, have_overlaps
from protocols.subjects import is_subset, is_valid_filter, overlaps

MOST_GROWTH = 2.3

tokens = st.sampled_from([b"a", b"b", b"*", b">", b"a*"])
filters = st.lists(tokens, min_size=1, max_size=4).map(b".".join).filter(is_valid_filter)


@given(st.lists(filters, max_size=6), filters)
def test_a_tree_finds_what_comparing_one_by_one_finds(row: list[bytes], other: bytes):
    tree = FilterTree()
    for one in row:
        tree.add(one)
    assert tree.overlaps(other) == any(overlaps(one, other) for one in row)
    assert tree.covers(other) == any(is_subset(other, one) for one in row)


@given(st.lists(filters, max_size=5), st.lists(st.lists(filters, max_size=3), max_size=3))
def test_rows_of_filters_are_compared_as_one_by_one(row: list[bytes], others: list[list[bytes]]):
    numbered = list(enumerate(row))
    pairs = [(one, other) for index, one in numbered for place, other in numbered if index != place]
    assert have_overlaps(row) == any(overlaps(one, other) for one, other in pairs)
    assert have_covered(row) == any(is_subset(one, other) for one, other in pairs)
    assert collide(row, others) == any(overlaps(one, other) for one in row for theirs in others for other in theirs)


@pytest.mark.parametrize("compare", [have_overlaps, have_covered])
@pytest.mark.parametrize("lead", [b"", b"a.b.c.d.e.f.g.h.", b"a.*.a.*.a.*."])
def test_steps_grow_with_what_is_written(compare, lead: bytes):
    def steps(count: int) -> int:
        row = [lead + b"x%d.y" % number for number in range(count)]
        done = 0

        def count_line(frame, event, argument):
            nonlocal done
            done += event == "line"
            return count_line

        sys.settrace(count_line)
        try:
            assert not compare(row)
        finally:
            sys.settrace(None)
        return done

    assert steps(400) < MOST_GROWTH * steps(200)
