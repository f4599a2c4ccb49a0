"""What is kept, what is found, and what has no room."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.retained_messages import RetainedMessages
from gateway.storage.storage import Storage
from protocols.message import make_message
from protocols.subjects import matches
from tests.gateway.storage.running_journal import commit

PLENTY = 1 << 20


def keep(retained: RetainedMessages, subject: bytes, payload: bytes) -> bool:
    return retained.keep(make_message(subject, payload))


def found(retained: RetainedMessages, subject_filter: bytes) -> dict[bytes, bytes]:
    return {one.subject: one.payload() for one in retained.matching(subject_filter) if one is not None}


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


def test_messages_are_found_by_what_they_contain():
    retained = RetainedMessages(10, PLENTY)
    retained.keep(make_message(b"a", b"1", header=b"NATS/1.0\r\nUnit: C\r\n\r\n"))
    keep(retained, b"b", b"in Unit: C")
    keep(retained, b"Unit: C", b"1")
    assert sorted(retained.containing(b"Unit: C")) == [b"a", b"b"]


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


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_message_comes_back_as_it_was():
    retained = RetainedMessages(10, PLENTY)
    for expires_at in (0.0, 9e12):
        message = make_message(b"a", b"payload", b"reply.to", b"NATS/1.0\r\nA: b\r\n\r\n")
        message.qos = 2
        assert retained.keep(message, expires_at)
        found_message = retained.get(b"a")
        assert found_message is not None
        assert found_message.body() == message.body()
        assert found_message.header() == message.header()
        assert (found_message.subject, found_message.reply, found_message.qos) == (b"a", b"reply.to", 2)
        assert retained.expires_at(b"a") == expires_at
    assert retained.get(b"b") is None
    assert retained.expires_at(b"b") == 0.0


def test_header_without_payload_deletes():
    retained = RetainedMessages(10, PLENTY)
    keep(retained, b"a", b"1")
    assert retained.keep(make_message(b"a", b"", header=b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"))
    assert (len(retained), retained.bytes) == (0, 0)


def test_expired_message_is_not_given_out_and_leaves():
    clock = Clock()
    retained = RetainedMessages(10, PLENTY, clock=clock)
    for subject, expires_at in ((b"a", 1001.0), (b"b", 1002.0), (b"c", 0.0)):
        retained.keep(make_message(subject, b"1"), expires_at)
    clock.now = 1001.0
    assert set(found(retained, b">")) == {b"b", b"c"}
    assert len(retained) == 2
    clock.now = 1002.0
    assert retained.get(b"b") is None
    assert (len(retained), retained.bytes) == (1, 2)


def test_sweep_removes_what_expired_a_part_at_a_time():
    clock = Clock()
    retained = RetainedMessages(10_000, PLENTY, clock=clock)
    for number in range(3000):
        retained.keep(make_message(b"a.%04d" % number, b"1"), 1001.0 if number % 3 else 0.0)
    clock.now = 1001.0
    retained.sweep(100)
    assert 1000 < len(retained) < 3000
    for _ in range(100):
        retained.sweep(100)
    assert len(retained) == 1000


def test_half_read_answer_goes_on_among_changes():
    retained = RetainedMessages(10_000, PLENTY)
    for number in range(3000):
        keep(retained, b"a.%04d" % number, b"old")
    answer = filter(None, retained.matching(b">"))
    first = [next(answer).subject for _ in range(1000)]
    for number in range(0, 3000, 2):
        keep(retained, b"a.%04d" % number, b"")
    keep(retained, b"a.2999", b"new")
    rest = {message.subject: message.payload() for message in answer}
    assert first == [b"a.%04d" % number for number in range(1000)]
    assert set(rest) == {b"a.%04d" % number for number in range(1001, 3000, 2)}
    assert rest[b"a.2999"] == b"new"


def test_what_is_kept_outlives_the_process_but_for_what_expired(tmp_path: Path):
    storage = Storage(tmp_path, 10_000, PLENTY)
    for number in range(1000):
        storage.global_account.retained.keep(make_message(b"a.%d" % number, b"%d" % number, b"r", b"NATS/1.0\r\n\r\n"))
    storage.global_account.retained.keep(make_message(b"a.1", b""))
    storage.global_account.retained.keep(make_message(b"b", b"1"), 1.0)
    storage.global_account.retained.keep(make_message(b"c", b"1"), 9e12)
    commit(storage.journal)
    storage.close()
    storage = Storage(tmp_path, 10, 10)
    assert found(storage.global_account.retained, b"a.*") == {b"a.%d" % n: b"%d" % n for n in range(1000) if n != 1}
    assert found(storage.global_account.retained, b"b") == {}
    assert storage.global_account.retained.expires_at(b"c") == 9e12
    assert not storage.global_account.retained.keep(make_message(b"new", b"1"))
    storage.close()
