"""Subject grammar, and the mapping between MQTT topics and subjects."""

import tomllib
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.subjects import (
    filter_to_subjects,
    is_literal,
    is_subset,
    is_valid_filter,
    is_valid_literal,
    matches,
    subject_to_topic,
    topic_to_subject,
)

with (Path(__file__).parents[1] / "vectors" / "topics.toml").open("rb") as file:
    VECTORS = tomllib.load(file)

TOKENS = st.sampled_from([b"a", b"b", b"*", b">", b"a*", b">b", b""])
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=4).map(b".".join)
FILTERS = SUBJECTS.filter(is_valid_filter)
UNMAPPABLE = " \t\n\r\f\x7f"
TOPIC_CHARACTERS = st.sampled_from("/.") | st.characters(
    exclude_characters=UNMAPPABLE + "+#\0", exclude_categories=["Cs"]
)
TOPICS = st.text(TOPIC_CHARACTERS, min_size=1).map(str.encode)


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


@pytest.mark.parametrize(("topic", "subject"), VECTORS["topics"].items())
def test_topic_maps_to_its_subject_and_back(topic, subject):
    assert topic_to_subject(topic.encode()) == subject.encode()
    assert subject_to_topic(subject.encode()) == topic.encode()


@pytest.mark.parametrize("topic", VECTORS["refused-topics"].values(), ids=VECTORS["refused-topics"].keys())
def test_topic_without_a_subject_is_refused(topic):
    assert topic_to_subject(topic.encode()) is None


@pytest.mark.parametrize(("topic_filter", "subjects"), VECTORS["filters"].items())
def test_topic_filter_maps_to_subject_filters(topic_filter, subjects):
    assert filter_to_subjects(topic_filter.encode()) == tuple(subject.encode() for subject in subjects)


@pytest.mark.parametrize("topic_filter", VECTORS["refused-filters"].values(), ids=VECTORS["refused-filters"].keys())
def test_topic_filter_without_subjects_is_refused(topic_filter):
    assert filter_to_subjects(topic_filter.encode()) is None


@pytest.mark.parametrize(("subject", "topic"), VECTORS["one-way"].items())
def test_lone_slash_of_a_subject_is_lost(subject, topic):
    assert subject_to_topic(subject.encode()) == topic.encode()


@given(TOPICS)
def test_every_topic_without_white_space_comes_back_as_it_was(topic):
    subject = topic_to_subject(topic)
    assert subject is not None
    assert b"" not in subject.split(b".")
    assert subject_to_topic(subject) == topic


@given(st.binary())
def test_any_bytes_map_without_error(data):
    subject = topic_to_subject(data)
    assert subject is None or b"" not in subject.split(b".")
    subjects = filter_to_subjects(data)
    assert subjects is None or all(map(is_valid_filter, subjects))
    assert isinstance(subject_to_topic(data), bytes)


def topic_matches(topic_filter: list[str], topic: list[str]) -> bool:
    """MQTT's own rule (MQTT 5.0, 4.7)."""
    if topic_filter[:1] == ["#"]:
        return True
    if not topic_filter or not topic:
        return not topic_filter and not topic
    return topic_filter[0] in ("+", topic[0]) and topic_matches(topic_filter[1:], topic[1:])


LEVELS = st.lists(st.sampled_from(["a", "b", "", "a.b", ".", "$x"]), min_size=1, max_size=4)


@given(LEVELS, LEVELS, st.lists(st.booleans(), max_size=4), st.booleans())
def test_subject_filters_match_what_the_topic_filter_matches(topic, levels, wildcards, rest):
    topic_filter = ["+" if wild else level for level, wild in zip(levels, [*wildcards, *[False] * 4], strict=False)]
    if rest:
        topic_filter.append("#")
    subject = topic_to_subject("/".join(topic).encode())
    subjects = filter_to_subjects("/".join(topic_filter).encode())
    if subject is not None and subjects is not None:
        expected = topic_matches(topic_filter, topic)
        assert any(matches(one, subject) for one in subjects) is expected
