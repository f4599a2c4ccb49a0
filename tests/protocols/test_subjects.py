"""Subject grammar."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.subjects import is_literal, is_subset, is_valid_filter, is_valid_literal, matches, overlaps

TOKENS = st.sampled_from([b"a", b"b", b"*", b">", b"a*", b">b", b""])
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=4).map(b".".join)
FILTERS = SUBJECTS.filter(is_valid_filter)


@pytest.mark.parametrize(
    ("subject", "valid", "literal"),
    [
        (b"a", True, True),
        (b"a.b", True, True),
        (b"*", True, False),
        (b">", True, False),
        (b"a.*.b", True, False),
        (b"a.>", True, False),
        (b"a*.b>", True, True),
        (b"**", True, True),
        ("café.$x/y".encode(), True, True),
        (b"", False, True),
        (b".", False, True),
        (b"a.", False, True),
        (b".a", False, True),
        (b"a..b", False, True),
        (b"a.>.b", False, False),
        (b">.>", False, False),
    ],
)
def test_filter_has_no_empty_token_and_the_rest_wildcard_only_at_its_end(subject, valid, literal):
    assert (is_valid_filter(subject), is_literal(subject)) == (valid, literal)
    assert is_valid_literal(subject) == (valid and literal)


@pytest.mark.parametrize(
    ("subject_filter", "subject", "expected"),
    [
        (b"a.b", b"a.b", True),
        (b"a.b", b"a.c", False),
        (b"a.b", b"a", False),
        (b"a.*", b"a.b", True),
        (b"a.*", b"a", False),
        (b"a.*", b"a.b.c", False),
        (b"*.b", b"a.b", True),
        (b"a.>", b"a.b", True),
        (b"a.>", b"a.b.c", True),
        (b"a.>", b"a", False),
        (b">", b"a", True),
        (b"*.>", b"a", False),
        (b"a*", b"ab", False),
        (b"a*", b"a*", True),
        (b"a.*", b"a.*", True),
        (b"a.*", b"a.>", True),
        (b"a.>", b"a.*", True),
        (b"a.b", b"a.*", False),
        (b">", b"a..b", False),
        (b"a.>", b"a.", False),
        (b"*", b"", False),
    ],
)
def test_filter_matches_token_by_token(subject_filter, subject, expected):
    assert matches(subject_filter, subject) is expected


@pytest.mark.parametrize(
    ("subject", "pattern", "expected"),
    [
        (b"a.b", b"a.b", True),
        (b"a.b", b"a.*", True),
        (b"a.b", b"a.>", True),
        (b"a.*", b"a.*", True),
        (b"a.*", b"a.>", True),
        (b"a.>", b"a.>", True),
        (b"a.*.>", b"a.>", True),
        (b"a.b.>", b"a.*.>", True),
        (b">", b">", True),
        (b"*", b">", True),
        (b"a.*", b"a.b", False),
        (b"a.>", b"a.*", False),
        (b"a.>", b"a.*.>", False),
        (b">", b"*.>", False),
        (b">", b"a.>", False),
        (b"a", b"a.>", False),
        (b"*.b", b"a.*", False),
    ],
)
def test_subset_covers_every_subject_of_a_filter(subject, pattern, expected):
    assert is_subset(subject, pattern) is expected


@given(FILTERS, FILTERS)
def test_subset_agrees_with_matching_subject_by_subject(subject, pattern):
    # One token that neither filter names stands for all the others.
    tokens = [b"a", b"b", b"a*", b">b", b"other"]
    subjects = [b".".join(row) for size in (1, 2, 3, 4) for row in product(tokens, repeat=size)]
    longer = [b".".join([*one.split(b"."), b"other"]) for one in subjects[-100:]]
    expected = all(matches(pattern, one) for one in subjects + longer if matches(subject, one))
    assert is_subset(subject, pattern) is expected


@given(FILTERS, FILTERS)
def test_filters_overlap_when_some_subject_matches_both(one: bytes, other: bytes):
    subjects = [
        b".".join(tokens) for count in range(1, 6) for tokens in product((b"a", b"b", b"a*", b">b"), repeat=count)
    ]
    expected = any(matches(one, subject) and matches(other, subject) for subject in subjects)
    assert overlaps(one, other) == expected
