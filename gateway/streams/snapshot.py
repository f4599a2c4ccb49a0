"""Snapshot: a stream with its consumers, sent to a subject piece by piece, as fast as whoever listens takes them."""

import logging
from collections.abc import AsyncIterator

import msgspec
import trio

from gateway.dataplane.port import Port, Receiver
from gateway.runtime.identity import new_token
from gateway.streams import archive
from gateway.streams.archived_consumer import archive_consumer
from gateway.streams.message_headers import status
from gateway.streams.roles import Home
from gateway.streams.served_stream import ServedStream
from protocols.foreign_json import Int64
from protocols.message import Message, make_message
from protocols.s2.stream import BEGIN, encode_frames

log = logging.getLogger("leafgate.streams")

PIECE_BYTES, WINDOW_BYTES = 128 << 10, 8 << 20
LEAST_PIECE, MOST_PIECE = 1 << 10, 1 << 20
MOST_WINDOW = 32 << 20
# How long whoever listens may take before he asks for more, and to begin with it.
PATIENCE_SECONDS = 5.0
FIRST_SECONDS = 2.0
LOOK_SECONDS = 0.05
MESSAGES_AT_ONCE, BYTES_AT_ONCE = 512, 256 << 10


class Asked(msgspec.Struct):
    """A request for one; sizes in bytes."""

    deliver_subject: str = ""
    no_consumers: bool = False
    chunk_size: Int64 = 0
    window_size: Int64 = 0
    jsck: bool = False


class Acknowledgements(Receiver):
    """Counts what whoever listens has taken; `moved` is set with each."""

    __slots__ = ("count", "moved")

    def __init__(self, subject: bytes) -> None:
        super().__init__(Port(None), subject + b".>", b"")
        self.count = 0
        self.moved = trio.Event()

    def deliver(self, message: Message, source: Port) -> bool:
        self.count += 1
        self.moved.set()
        self.moved = trio.Event()
        return True


class Snapshot:
    """One that is being sent."""

    def __init__(self, home: Home, stream: ServedStream, asked: Asked, state: dict[str, object]) -> None:
        self._home = home
        self._stream = stream
        self._asked = asked
        self._state = state
        self._subject = asked.deliver_subject.encode("utf-8", "surrogateescape")
        self._piece = min(max(asked.chunk_size or PIECE_BYTES, LEAST_PIECE), MOST_PIECE)
        window = min(max(asked.window_size or WINDOW_BYTES, LEAST_PIECE), MOST_WINDOW)
        self._ahead = max(window // self._piece, 1)
        self._path = f"$JS.SNAPSHOT.ACK.{stream.name}.{new_token()}".encode()
        self._sent = 0

    async def send(self) -> None:
        acknowledgements = Acknowledgements(self._path)
        self._home.subscribe(acknowledgements)
        name = self._stream.name
        self._home.tell("snapshot_create", f"STREAM.SNAPSHOT_CREATE.{name}", stream=name, state=self._state)
        begun = trio.current_time()
        try:
            complaint = await self._send(acknowledgements)
        finally:
            self._home.unsubscribe(acknowledgements)
        header = status(complaint or "204")
        self._home.publish(make_message(self._subject, b"", header=header))
        self._home.flush()
        fields = {"error": complaint} if complaint else {}
        self._home.tell("snapshot_complete", f"STREAM.SNAPSHOT_COMPLETE.{name}", stream=name, **fields)
        seconds = trio.current_time() - begun
        log.info("event=snapshot stream=%s pieces=%d seconds=%.1f reason=%r", name, self._sent, seconds, complaint)

    async def _send(self, acknowledgements: Acknowledgements) -> str:
        """Send all; returns why that could not be done."""
        with trio.move_on_after(FIRST_SECONDS):
            # Who asked may hear what matches an inbox of his already, and not listen to this subject yet.
            while not self._home.is_awaited(self._subject):  # noqa: ASYNC110 - it comes soon, or never
                await trio.sleep(LOOK_SECONDS)
        waiting = bytearray(BEGIN)
        async for content in self._content():
            waiting += await trio.to_thread.run_sync(encode_frames, content)
            while len(waiting) >= self._piece:
                complaint = await self._send_piece(bytes(waiting[: self._piece]), acknowledgements)
                if complaint:
                    return complaint
                del waiting[: self._piece]
        if waiting:
            self._publish(bytes(waiting), b"")
        return ""

    async def _send_piece(self, piece: bytes, acknowledgements: Acknowledgements) -> str:
        self._sent += 1
        self._publish(piece, b"%b.%d.%d" % (self._path, len(piece), self._sent))
        while self._sent - acknowledgements.count >= self._ahead:
            if not self._home.has_interest(self._subject, b""):
                return "408 No Interest"
            with trio.move_on_after(PATIENCE_SECONDS) as scope:
                await acknowledgements.moved.wait()
            if scope.cancelled_caught:
                return "408 No Flow Response"
        await trio.lowlevel.checkpoint()
        return ""

    def _publish(self, piece: bytes, reply: bytes) -> None:
        self._home.publish(make_message(self._subject, piece, reply))
        self._home.flush()

    async def _content(self) -> AsyncIterator[bytes]:
        """The archive, as it is before it is compressed."""
        stored = self._stream.stored
        last = stored.committed
        now = stored.store.wall_ns()
        state = archive.Entry(archive.STATE, now, 0, b"", msgspec.json.encode(self._state))
        consumers = [] if self._asked.no_consumers else kept_consumers(self._stream)
        texts = []
        for name in consumers:
            text = archive_consumer(self._stream.consumers[name])
            texts.append(archive.Entry(archive.CONSUMERS + name.encode(), now, 0, b"", text))
        yield archive.MAGIC + b"".join(archive.encode(entry) for entry in [state, *texts])
        first = stored.first
        while first <= last:
            found, first = await stored.read(first, MESSAGES_AT_ONCE, BYTES_AT_ONCE)
            yield b"".join(archive.encode_message(message) for message in found if message.sequence <= last)
        yield archive.encode(archive.END)


def kept_consumers(stream: ServedStream) -> list[str]:
    """The consumers that a snapshot has."""
    return [name for name, consumer in stream.consumers.items() if not consumer.config.is_hidden]
