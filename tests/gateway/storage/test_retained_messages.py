"""What is kept, what is found, and what has no room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.retained_messages import RetainedMessages
from protocols.message import make_message
from protocols.subjects import matches

PLENTY = 1 << 20


def keep(retained: RetainedMessages, subject: bytes, payload: bytes) -> bool:
    return retained.keep(make_message(subject, payload))


def found(retained: RetainedMessages, subject_filter: bytes) -> dict[bytes, bytes]:
    return {message.subject: message.payload() for message in retained.matching(subject_filter)}


def test_last_message_of_a_subject_is_kept():
    retained = RetainedMessages(10, PLENTY)
    assert keep(retained, b"a.b", b"1")
    assert keep(retained, b"a.b", b"2")
    assert found(retained, b"a.b") == {b"a.b": b"2"}
    assert len(retained) == 1


def test_empty_payload_deletes():
    retained = RetainedMessages(10, PLENTY)
    keep(retained, b"a", b"1")
    assert keep(retained, b"a", b"")
    assert keep(retained, b"never.kept", b"")
    assert found(retained, b">") == {}
    assert (len(retained), retained.bytes) == (0, 0)


def test_filter_finds_all_that_it_matches():
    retained = RetainedMessages(10, PLENTY)
    for subject in (b"a", b"a.b", b"a.c", b"a.b.c", b"b"):
        keep(retained, subject, subject)
    assert set(found(retained, b"a.*")) == {b"a.b", b"a.c"}
    assert set(found(retained, b"a.>")) == {b"a.b", b"a.c", b"a.b.c"}
    assert set(found(retained, b">")) == {b"a", b"a.b", b"a.c", b"a.b.c", b"b"}
    assert found(retained, b"c") == {}


def test_subject_that_looks_like_a_filter_hides_no_others():
    retained = RetainedMessages(10, PLENTY)
    keep(retained, b"a.*", b"1")
    keep(retained, b"a.b", b"2")
    assert found(retained, b"a.*") == {b"a.*": b"1", b"a.b": b"2"}


def test_new_subject_is_refused_when_all_places_are_taken():
    retained = RetainedMessages(2, PLENTY)
    assert keep(retained, b"a", b"1")
    assert keep(retained, b"b", b"1")
    assert not keep(retained, b"c", b"1")
    assert keep(retained, b"b", b"2")
    assert found(retained, b">") == {b"a": b"1", b"b": b"2"}
    assert retained.refused == 1
    keep(retained, b"a", b"")
    assert keep(retained, b"c", b"1")


@pytest.mark.parametrize("payload", [b"1234", b"12345678"])
def test_message_that_has_no_room_leaves_the_kept_one(payload: bytes):
    retained = RetainedMessages(10, 7)
    assert keep(retained, b"a", b"12")
    assert keep(retained, b"b", b"123")
    assert not keep(retained, b"a", payload)
    assert found(retained, b"a") == {b"a": b"12"}
    assert (retained.bytes, retained.refused) == (7, 1)


subjects = st.sampled_from([b"a", b"b", b"a.b", b"a.c", b"a.*", b"$s.a", b"/.a"])
operations = st.lists(st.tuples(subjects, st.binary(max_size=6)), max_size=40)


@given(operations, st.sampled_from([b"a", b"*", b"a.*", b">", b"a.>", b"$s.>", b"/.*"]))
def test_bounds_hold_and_all_that_was_taken_is_found(stored: list[tuple[bytes, bytes]], subject_filter: bytes):
    retained = RetainedMessages(4, 30)
    expected: dict[bytes, bytes] = {}
    for subject, payload in stored:
        if keep(retained, subject, payload):
            expected.pop(subject, None)
            if payload:
                expected[subject] = payload
        assert len(retained) == len(expected) <= 4
        assert retained.bytes == sum(map(len, expected)) + sum(map(len, expected.values())) <= 30
    matching = {subject: payload for subject, payload in expected.items() if matches(subject_filter, subject)}
    assert found(retained, subject_filter) == matching
