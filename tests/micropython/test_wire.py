"""Lines and payloads come out as they went in, however the stream is cut; under this interpreter, for hypothesis."""

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.micropython.unix_port import load_here


wire = load_here("wire")


class Stream:
    """Bytes that come in pieces of these sizes, the last for ever; now and then with nothing yet."""

    def __init__(self, data: bytes = b"", sizes: list[int] | None = None) -> None:
        self.sent = b""
        self._data = data
        self._sizes = list(sizes or [4096])
        self._idle = False

    async def readinto(self, buffer: memoryview) -> int | None:
        self._idle = not self._idle
        if self._idle:
            return None
        size = min(self._sizes.pop(0) if len(self._sizes) > 1 else self._sizes[0], len(buffer), len(self._data))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size

    def write(self, data: bytes | memoryview) -> None:
        self.sent += bytes(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def wait_closed(self) -> None:
        raise OSError("gone already")


def connected(stream: Stream, rx: int, tx: int = 64) -> Any:
    return wire.Wire(stream, bytearray(rx), bytearray(tx), None)


lines = st.binary(max_size=90).map(lambda line: line.replace(b"\r", b"x"))
parts = st.lists(st.tuples(st.sampled_from(["line", "read", "skip"]), lines), max_size=12)


@given(parts, st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(16, 80))
@example([("line", b"x" * 31), ("read", b"y" * 30), ("skip", b"z" * 99), ("line", b"")], [1], 32)
def test_any_cut_of_the_stream_gives_the_same(parts: list[tuple[str, bytes]], sizes: list[int], rx: int):
    async def take() -> None:
        ours = connected(Stream(b"".join(data + b"\r\n" for _, data in parts), sizes), rx)
        for kind, data in parts:
            if kind == "line":
                assert await ours.line() == data
            elif kind == "read":
                assert await ours.read(len(data)) == data
            else:
                await ours.skip(len(data) + 2)
        with pytest.raises(OSError, match="closed by the server"):
            await ours.line()

    asyncio.run(take())


@given(st.lists(st.one_of(st.none(), st.binary(max_size=90)), max_size=6), st.integers(2, 80))
def test_messages_are_sent_whole_whatever_the_buffer(payloads: list[bytes | None], tx: int):
    async def send() -> bytes:
        stream = Stream()
        ours = connected(stream, 16, tx)
        for payload in payloads:
            await ours.send("HEAD\r\n", payload)
        return stream.sent

    assert asyncio.run(send()) == b"".join(
        b"HEAD\r\n" + (b"" if payload is None else payload + b"\r\n") for payload in payloads
    )


def test_line_that_does_not_end_is_refused():
    async def take() -> None:
        await connected(Stream(b"x" * 20_000), 64).line()

    with pytest.raises(OSError, match="line too long"):
        asyncio.run(take())


def test_closed_wire_sends_nothing():
    async def send() -> None:
        ours = connected(Stream(), 16)
        await ours.close()
        await ours.send("PING\r\n")

    with pytest.raises(OSError, match="connection lost"):
        asyncio.run(send())
