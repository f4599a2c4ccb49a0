"""Streams: what is appended is there in order once its commit is over, and after a restart."""

from pathlib import Path

import pytest
import trio

from gateway.storage.streams.limits import Limits
from gateway.storage.streams.stored_message import StoredMessage
from tests.gateway.storage.streams.running_store import durable, opened, read_all


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "disk" else None


async def test_messages_are_read_as_they_were_appended(place: Path | None):
    async with opened(place) as store:
        stream = store.create("$G", "s")
        for number in range(1, 1001):
            header = b"NATS/1.0\r\nA: 1\r\n\r\n" if number % 3 else b""
            assert stream.append(b"a.%d" % (number % 7), header, b"x" * (number % 50)) == number
        assert (stream.last, stream.committed) == (1000, 0)
        assert await read_all(stream) == []
        await durable(store)
        assert (stream.committed, stream.messages) == (1000, 1000)
        for again in range(2):
            found = await read_all(stream)
            assert [message.sequence for message in found] == list(range(1, 1001))
            for message in found:
                assert message.subject == b"a.%d" % (message.sequence % 7)
                assert message.header == (b"NATS/1.0\r\nA: 1\r\n\r\n" if message.sequence % 3 else b"")
                assert message.payload == b"x" * (message.sequence % 50)
            if not again:
                stream.tail.clear()  # From the disk, then.


async def test_stream_is_there_after_a_restart(tmp_path: Path):
    limits = Limits(max_messages=500)
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s", limits, "mine")
        for number in range(1000):
            stream.append(b"a", b"", b"%d" % number)
        await durable(store)
        messages = await read_all(stream)
        assert [message.sequence for message in messages] == list(range(501, 1001))
        ids = [stream.message_id(sequence) for sequence in (501, 1000)]
    async with opened(tmp_path) as store:
        (stream,) = store.streams("$G")
        assert (stream.name, stream.limits, stream.note) == ("s", limits, "mine")
        assert (stream.first, stream.last, stream.committed, stream.messages) == (501, 1000, 1000, 500)
        assert await read_all(stream) == messages
        assert [stream.message_id(sequence) for sequence in (501, 1000)] == ids
        assert stream.append(b"a", b"", b"") == 1001
        assert stream.epoch_of(1001) != stream.epoch_of(1000)


async def test_the_last_of_a_subject_is_found_though_it_is_replaced_meanwhile(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s", Limits(max_per_subject=1))
        stream.append(b"k", b"", b"old")
        await durable(store)
        stream.tail.clear()
        found: list[StoredMessage | None] = []

        async def look() -> None:
            found.append(await stream.last_of(b"k"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await trio.lowlevel.checkpoint()  # It waits for the disk.
            stream.append(b"k", b"", b"new")
        assert [one.payload for one in found if one is not None] in ([b"new"], [b"old"])
