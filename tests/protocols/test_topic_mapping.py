"""The mapping between MQTT topics and subjects."""

import tomllib
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.mqtt.topics import is_topic_filter, is_topic_name
from protocols.subjects import is_valid_filter, is_valid_literal, matches
from protocols.topic_mapping import filter_to_subjects, share_name_to_queue, subject_to_topic, topic_to_subject

with (Path(__file__).parents[1] / "vectors" / "topics.toml").open("rb") as file:
    VECTORS = tomllib.load(file)

WHITE_SPACE = " \t\n\r\v\f"
# What the rules are made of, so that their corners come up.
PIECES = st.sampled_from(["/", ".", " ", "\u2215", " \u2215", "*", ">", "$", "s", "t", "a", "\t", "\x7f"])
CHARACTERS = st.characters(exclude_characters="+#\0", exclude_categories=["Cs"])
TEXTS = st.lists(PIECES | CHARACTERS, min_size=1).map("".join)
TOPICS = TEXTS.map(str.encode)
SUBJECTS = TEXTS.map(lambda text: text.translate(dict.fromkeys(map(ord, WHITE_SPACE))).encode()).filter(
    is_valid_literal
)
LEVELS = st.sampled_from(
    ["a", "b", "", "a.b", ".", "$x", "*", ">", "a b", " ", " \u2215", "a \u2215b", "a \u2215b.", "Living Room"]
)
ROWS = st.lists(LEVELS, min_size=1, max_size=4).filter(lambda levels: levels != [""])


def is_subject(subject: bytes) -> bool:
    return is_valid_literal(subject) and not set(subject) & set(WHITE_SPACE.encode())


@pytest.mark.parametrize(
    ("topic", "subject"),
    [
        pair
        for table in ("topics", "escaped-topics", "shown-slashes", "stepped-aside")
        for pair in VECTORS[table].items()
    ],
)
def test_topic_maps_to_its_subject_and_back(topic, subject):
    assert topic_to_subject(topic.encode()) == subject.encode()
    assert subject_to_topic(subject.encode()) == topic.encode()


@pytest.mark.parametrize("topic", VECTORS["refused-topics"].values(), ids=VECTORS["refused-topics"].keys())
def test_what_is_no_topic_name_has_no_subject(topic):
    assert topic_to_subject(topic.encode()) is None


@given(TOPICS)
def test_every_topic_has_a_subject_and_comes_back(topic):
    subject = topic_to_subject(topic)
    assert subject is not None
    assert is_subject(subject)
    assert subject_to_topic(subject) == topic
    assert subject.startswith(b"$") == topic.startswith(b"$")


@given(SUBJECTS)
def test_every_subject_has_a_topic_and_comes_back(subject):
    topic = subject_to_topic(subject)
    assert is_topic_name(topic)
    assert topic.decode()
    assert topic_to_subject(topic) == subject


@pytest.mark.parametrize("pieces", [["/", ".", " ", "\u2215", "s", "a"], ["/", " \u2215", ".", "*", ">", "$"]])
def test_short_topics_map_one_to_one(pieces):
    topics = {"".join(row).encode() for size in range(1, 6) for row in product(pieces, repeat=size)}
    subjects = {topic_to_subject(topic) for topic in topics}
    assert len(subjects) == len(topics)
    assert all(is_subject(subject) for subject in subjects)
    assert {subject_to_topic(subject) for subject in subjects} == topics


def test_short_subjects_map_one_to_one():
    rows = (row for size in range(1, 6) for row in product(["/", ".", "\u2215", "*", ">", "s", "a"], repeat=size))
    subjects = set(filter(is_subject, ("".join(row).encode() for row in rows)))
    topics = {subject_to_topic(subject) for subject in subjects}
    assert len(topics) == len(subjects)
    assert {topic_to_subject(topic) for topic in topics} == subjects


def test_repeated_topic_keeps_its_subject():
    assert {topic_to_subject(b"hall/Living Room") for _ in range(3)} == {b"hall.Living/sRoom"}
    long = b"a b/" * 40
    assert {topic_to_subject(long) for _ in range(3)} == {b"a/sb." * 40 + b"/"}


@pytest.mark.parametrize(("topic_filter", "subjects"), VECTORS["filters"].items())
def test_topic_filter_maps_to_subject_filters(topic_filter, subjects):
    assert filter_to_subjects(topic_filter.encode()) == tuple(subject.encode() for subject in subjects)


@pytest.mark.parametrize("topic_filter", VECTORS["refused-filters"].values(), ids=VECTORS["refused-filters"].keys())
def test_topic_filter_without_subjects_is_refused(topic_filter):
    assert filter_to_subjects(topic_filter.encode()) is None


def test_filter_with_wildcards_is_refused_where_it_is_too_deep():
    assert filter_to_subjects(b"a/" * 300 + b"+") is None
    assert filter_to_subjects(b"a/" * 300 + b"a") == (b"a." * 300 + b"a",)


@given(TOPICS)
def test_filter_without_wildcards_is_the_subject_of_the_topic(topic):
    if not topic.startswith(b"$MQTT/"):
        assert filter_to_subjects(topic) == (topic_to_subject(topic),)


def topic_matches(topic_filter: list[str], topic: list[str]) -> bool:
    """MQTT's own rule (MQTT 5.0, 4.7) without that for `$`."""
    if topic_filter[:1] == ["#"]:
        return True
    if not topic_filter or not topic:
        return not topic_filter and not topic
    return topic_filter[0] in ("+", topic[0]) and topic_matches(topic_filter[1:], topic[1:])


@given(ROWS, ROWS, st.lists(st.booleans(), max_size=4), st.booleans(), st.booleans())
@example([" \u2215"], [""], [], True, False)
@example([" \u2215"], [" \u2215"], [], True, False)
@example(["", ""], [""], [True], True, False)
def test_subject_filters_match_what_the_topic_filter_matches(topic, levels, wildcards, rest, own):
    levels = topic if own else levels
    topic_filter = ["+" if wild else level for level, wild in zip(levels, [*wildcards, *[False] * 4], strict=False)]
    if rest:
        topic_filter.append("#")
    subject = topic_to_subject("/".join(topic).encode())
    subjects = filter_to_subjects("/".join(topic_filter).encode())
    assert subject is not None
    assert subjects is not None
    assert any(matches(one, subject) for one in subjects) is topic_matches(topic_filter, topic)


@given(st.binary() | TEXTS.map(str.encode))
def test_any_bytes_map_without_error(data):
    subject = topic_to_subject(data)
    assert (subject is None) == (not is_topic_name(data))
    assert subject is None or is_subject(subject)
    subjects = filter_to_subjects(data)
    if is_topic_filter(data) and not data.startswith(b"$MQTT/"):
        assert subjects is not None
    assert subjects is None or all(map(is_valid_filter, subjects))
    assert isinstance(subject_to_topic(data), bytes)


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        (b"g", b"g"),
        (b"my.group", b"my.group"),
        (b"my group", b"my/sgroup"),
        (b"\t", b"/t"),
        ("é".encode(), "é".encode()),
    ],
)
def test_share_name_is_its_queue_group_but_for_white_space(name, queue):
    assert share_name_to_queue(name) == queue


@given(*[st.text(st.sampled_from(" s\tt\rrn\n."), min_size=1)] * 2)
def test_share_names_are_queue_groups_of_their_own(one, other):
    queues = share_name_to_queue(one.encode()), share_name_to_queue(other.encode())
    assert (queues[0] == queues[1]) == (one == other)
    assert not any(set(queue) & set(WHITE_SPACE.encode()) for queue in queues)
