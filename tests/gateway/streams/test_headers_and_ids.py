"""Headers of published messages, the ids among them, and what comes back as acknowledgement."""

import pytest

from gateway.streams import message_headers as headers
from gateway.streams.acknowledgement import delay_of
from gateway.streams.duplicates import ID_BYTES, Duplicates, IdRoom
from gateway.streams.errors import ApiError


def test_the_first_field_of_each_name_counts() -> None:
    block = b"NATS/1.0\r\nOther: 1\r\nNats-Msg-Id:  a \r\nNats-Msg-Id: b\r\nnats-ttl: 5\r\nNats-TTL:5\r\n\r\n"
    assert headers.nats_fields(block) == {b"Nats-Msg-Id": b"a", b"Nats-TTL": b"5"}


def test_fields_are_put_behind_those_that_there_are() -> None:
    assert headers.with_fields(b"", (b"A", b"1")) == b"NATS/1.0\r\nA: 1\r\n\r\n"
    assert headers.with_fields(b"NATS/1.0\r\nB: 2\r\n\r\n", (b"A", b"1")) == b"NATS/1.0\r\nB: 2\r\nA: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "nanoseconds"), [(b"never", -1), (b"5", 5 * 10**9), (b"2s", 2 * 10**9), (b"1h", 3600 * 10**9), (b"0", 0)]
)
def test_a_lifetime_is_read(text: bytes, nanoseconds: int) -> None:
    assert headers.lifetime_ns(text) == nanoseconds


@pytest.mark.parametrize("text", [b"1ms", b"soon", b"-5", b"1" * 30, b"\xff"])
def test_what_is_no_lifetime_is_refused(text: bytes) -> None:
    with pytest.raises(ApiError):
        headers.lifetime_ns(text)


def test_ids_are_known_for_their_window_and_give_their_room_back() -> None:
    room = IdRoom(ID_BYTES * 2)
    ids = Duplicates(room, 100)
    ids.note(b"a", 1, 1000)
    assert ids.find(b"a", 1050) == 1
    assert ids.has_room()
    ids.note(b"b", 2, 1060)
    assert not ids.has_room()
    assert ids.find(b"a", 1101) == 0
    assert ids.has_room()
    ids.clear()
    assert room.bytes == 0


def test_an_id_that_is_used_again_behind_its_window_is_known_for_a_new_one() -> None:
    ids = Duplicates(IdRoom(), 100)
    ids.note(b"a", 1, 0)
    assert ids.find(b"a", 150) == 0
    ids.note(b"a", 9, 150)
    assert ids.find(b"a", 240) == 9


@pytest.mark.parametrize(
    ("text", "delay"),
    [(b"", 0), (b" 5s", 5 * 10**9), (b' {"delay": 7}', 7), (b"{nonsense", 0), (b' {"delay": "x"}', 0), (b"soon", 0)],
)
def test_how_long_a_refused_message_waits(text: bytes, delay: int) -> None:
    assert delay_of(text) == delay


def test_the_id_of_a_message_is_known_for_as_long_as_its_repeats() -> None:
    room = IdRoom()
    ids = Duplicates(room, 100, placed=True)
    ids.note(b"a", 1, 1000)
    ids.note(b"b", 2, 1060)
    assert ids.id_of(1, 1050) == (b"a", 1000)
    assert ids.id_of(1, 1101) is None
    assert ids.id_of(2, 1101) == (b"b", 1060)
    ids.clear()
    assert room.bytes == 0


def test_ids_that_came_before_it_was_asked_for_their_messages_have_none() -> None:
    room = IdRoom()
    ids = Duplicates(room, 100)
    ids.note(b"a", 1, 1000)
    ids.placed = True
    ids.note(b"b", 2, 1000)
    assert (ids.id_of(1, 1000), ids.id_of(2, 1000)) == (None, (b"b", 1000))
    ids.expire(2000)
    assert room.bytes == 0
