"""Which ids at a hub are a stream's own."""

import pytest

from gateway.forwarding.message_ids import number_of
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream


@pytest.fixture
def stream() -> Stream:
    stream = StreamStore(None).create("$G", "one")
    for number in range(3):
        stream.append(b"a", b"", b"%d" % number)
    return stream


def test_ids_of_the_stream_are_known(stream: Stream):
    assert [number_of(stream, stream.message_id(number)) for number in (1, 2, 3)] == [1, 2, 3]


def test_ids_of_others_are_not(stream: Stream):
    other = StreamStore(None).create("$G", "other")
    other.append(b"a", b"", b"")
    assert number_of(stream, other.message_id(1)) is None


@pytest.mark.parametrize("text", ["", "-", "x", "12", "-1", "%x-", "%x-x", "%x-1 ", "%x-01", "%x-" + "9" * 40, "%x--1"])
def test_what_is_no_id_is_nobodys(stream: Stream, text: str):
    text = text % stream.epoch_of(1) if "%" in text else text
    assert number_of(stream, text.encode()) is None
