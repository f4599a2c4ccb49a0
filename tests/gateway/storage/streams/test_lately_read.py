"""Single messages are read by the chunk, which stays in memory for the others of it: bounded, and never out of date."""

from pathlib import Path

import pytest

from gateway.storage.streams.chunk import StoredChunk, encode
from gateway.storage.streams.lately_read import LatelyRead, message_in, size_of
from gateway.storage.streams.limits import Limits
from gateway.storage.streams.reads import KeysRead
from gateway.storage.streams.stored_message import StoredMessage
from tests.gateway.storage.streams.running_store import durable, opened


def chunk_of(first: int, count: int = 4, stream: int = 1) -> StoredChunk:
    messages = [StoredMessage(first + number, 17, b"s", b"", b"%d" % number) for number in range(count)]
    row = encode(stream, messages, 0)
    return StoredChunk(row.key, row.last, row.messages, row.crc, row.offsets, row.body)


def test_those_asked_for_longest_ago_give_way() -> None:
    chunks = [chunk_of(1 + 10 * number) for number in range(3)]
    lately = LatelyRead(2 * size_of(chunks[0]))
    for chunk in chunks[:2]:
        lately.add(chunk)
    assert lately.find(chunks[0].key, chunks[0].last) is chunks[0]
    lately.add(chunks[2])
    assert [lately.find(chunk.key, chunk.last) for chunk in chunks] == [chunks[0], None, chunks[2]]
    assert lately.bytes == 2 * size_of(chunks[0])


def test_a_chunk_that_was_folded_since_is_not_found() -> None:
    lately = LatelyRead()
    lately.add(chunk_of(1))
    assert lately.find(chunk_of(1).key, 9) is None


def test_a_stream_is_forgotten_with_its_chunks() -> None:
    lately = LatelyRead()
    lately.add(chunk_of(1, stream=1))
    lately.add(chunk_of(1, stream=2))
    lately.forget(1)
    assert lately.find(chunk_of(1, stream=1).key, 4) is None
    assert lately.find(chunk_of(1, stream=2).key, 4) is not None
    assert lately.bytes == size_of(chunk_of(1))


@pytest.mark.parametrize(("sequence", "payload"), [(4, None), (5, b"0"), (8, b"3"), (9, None)])
def test_a_message_is_found_in_its_chunk(sequence: int, payload: bytes | None) -> None:
    found = message_in(chunk_of(5), sequence)
    assert (found.payload if found is not None else None) == payload


@pytest.mark.parametrize("limits", [Limits(), Limits(max_per_subject=1)])
async def test_what_was_written_last_is_there_where_single_messages_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    monkeypatch.setattr("gateway.storage.streams.store.MOST_TAIL_BYTES", 0)
    async with opened(tmp_path, lately_bytes=100_000) as store:
        stream = store.create("$G", "S", limits)
        for number in range(5000):
            stream.append(b"s.%d" % number, b"", bytes(100))
        await durable(store)
        assert (stream.find(5000) is not None) == limits.is_exact
        assert stream.find(1) is None
        assert store.reading.lately.bytes <= 100_000


async def test_messages_of_one_chunk_are_read_with_one_look_at_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[list[int]] = []
    read = KeysRead.read

    def counted(self: KeysRead, connection: object) -> None:
        looks.append(self.keys)
        read(self, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(KeysRead, "read", counted)
    async with opened(tmp_path) as store:
        stream = store.create("$G", "S", Limits())
        for number in range(20):
            stream.append(b"s.%d" % number, b"", b"%d" % number)
        await durable(store)
        stream.tail.clear()
        for number in range(20):
            message = await stream.get(number + 1)
            assert message is not None
            assert message.payload == b"%d" % number
        assert len(looks) == 1
        stream.delete(message)
        assert await stream.get(20) is None
        assert await stream.last_of(b"s.7") is not None
        assert len(looks) == 1
