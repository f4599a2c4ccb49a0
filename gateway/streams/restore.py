"""Restore: a stream made out of the pieces of a snapshot, of this gateway or of nats-server 2.15 and newer.

Until the last piece it takes no messages. One that is cut short leaves no stream behind, nor does one that ends with a
restart.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import trio

from gateway.dataplane.port import Port, Receiver
from gateway.runtime.identity import new_token
from gateway.storage.streams.limits import RefusedError
from gateway.streams import archive, consumer_check, consumer_config, errors
from gateway.streams.archive import ArchiveReader, Entry
from gateway.streams.archived_consumer import read_consumer
from gateway.streams.consumer import Consumer
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.consumer_state import ConsumerState
from gateway.streams.errors import ApiError, fault_of
from gateway.streams.roles import Home
from gateway.streams.served_stream import ServedStream
from gateway.streams.stream_config import StreamConfig
from gateway.streams.times import SECOND
from protocols import foreign_json
from protocols.foreign_json import Int64
from protocols.message import Message
from protocols.s2.block import CorruptError
from protocols.s2.stream import StreamReader

log = logging.getLogger("leafgate.streams")

# How long the next piece may take, and what may wait until it is stored.
PATIENCE_SECONDS = 30.0
MOST_WAITING_BYTES = 32 << 20
# What may be on its way to the disk before the next messages are taken, and how many are stored in a row.
MOST_PENDING_BYTES = 4 << 20
STORED_IN_A_ROW = 128
END_TYPE = "stream_create"

Describe = Callable[[ServedStream], Awaitable[dict[str, object]]]


class RestoringHome(Home, Protocol):
    """The streams of an account, where one is made out of a snapshot."""

    def create_consumer(self, stream: ServedStream, config: ConsumerConfig, state: ConsumerState) -> Consumer: ...

    async def begin_restored(self, stream: ServedStream) -> None: ...

    def delete(self, stream: ServedStream) -> None: ...


class State(msgspec.Struct):
    """What a snapshot says of its stream."""

    first_seq: Int64 = 0
    last_seq: Int64 = 0
    consumer_count: Int64 = 0


class Pieces(Receiver):
    """Takes the pieces as they come; `came` is set with each."""

    __slots__ = ("bytes", "came", "waiting")

    def __init__(self, subject: bytes) -> None:
        super().__init__(Port(None), subject, b"")
        self.waiting: deque[tuple[bytes, bytes, Port]] = deque()
        self.bytes = 0
        self.came = trio.Event()

    def deliver(self, message: Message, source: Port) -> bool:
        if self.bytes + message.size > MOST_WAITING_BYTES:
            return False
        self.waiting.append((message.payload(), message.reply, source))
        self.bytes += message.size
        self.came.set()
        return True

    async def next(self) -> tuple[bytes, bytes, Port]:
        """The next piece, where to say that it was stored, and who brought it. Raises trio.TooSlowError."""
        with trio.fail_after(PATIENCE_SECONDS):
            while not self.waiting:
                self.came = trio.Event()
                await self.came.wait()
        piece = self.waiting.popleft()
        self.bytes -= len(piece[0])
        return piece


class Restore:
    """One that is under way; `subject` is where its pieces go."""

    def __init__(self, home: RestoringHome, config: StreamConfig, stream: ServedStream, describe: Describe) -> None:
        self._home = home
        self._describe = describe
        self._config = config
        self._stream = stream
        self.subject = f"$JS.SNAPSHOT.RESTORE.{config.name}.{new_token()}"
        self._pieces = Pieces(self.subject.encode("utf-8", "surrogateescape"))
        self._compressed, self._archive = StreamReader(), ArchiveReader()
        self._state: State | None = None
        self._consumers: list[bytes] = []
        self._is_whole = False
        home.subscribe(self._pieces)

    async def run(self) -> None:
        """Take pieces until the last one, which is empty, and answer that with the stream that was made."""
        name = self._config.name
        self._home.tell("restore_create", f"STREAM.RESTORE_CREATE.{name}", stream=name)
        total, reply, asker = 0, b"", Port(None)
        try:
            while True:
                piece, reply, asker = await self._pieces.next()
                if not reply:
                    raise CorruptError("each piece needs a reply subject")
                if not piece:
                    break
                total += len(piece)
                await self._take(piece)
                self._home.answer(reply, b"", asker)
                self._home.flush()
            await self._complete()
            told = await self._describe(self._stream)
            told.pop("domain", None)
            self._answer(reply, asker, told)
        except (CorruptError, msgspec.DecodeError, RefusedError, ApiError, trio.TooSlowError, UnicodeError) as error:
            self._home.delete(self._stream)
            self._answer(reply, asker, {"error": self._fault(error).told()})
            log.warning("event=restore-failed stream=%s bytes=%d reason=%r", name, total, str(error))
        finally:
            self._home.unsubscribe(self._pieces)
        self._home.tell("restore_complete", f"STREAM.RESTORE_COMPLETE.{name}", stream=name, bytes=total)

    def _fault(self, error: Exception) -> errors.Fault:
        if isinstance(error, ApiError):
            return error.fault
        if isinstance(error, RefusedError):
            return fault_of(error, self._config.storage == "memory")
        text = "nothing came any more" if isinstance(error, trio.TooSlowError) else str(error)
        return errors.RESTORE_FAILED.with_text(text)

    def _answer(self, reply: bytes, asker: Port, told: dict[str, object]) -> None:
        if reply:
            kind = {"type": f"io.nats.jetstream.api.v1.{END_TYPE}_response"}
            self._home.answer(reply, msgspec.json.encode(kind | told), asker)
            self._home.flush()

    async def _take(self, piece: bytes) -> None:
        """Raises CorruptError, RefusedError and others."""
        entries = await trio.to_thread.run_sync(self._read, piece)
        commits = self._stream.stored.commits
        for number, entry in enumerate(entries):
            self._store(entry)
            if number % STORED_IN_A_ROW == 0:
                await trio.lowlevel.checkpoint()
                if commits.pending_bytes > MOST_PENDING_BYTES:
                    await self._durable()

    def _read(self, piece: bytes) -> list[Entry]:
        return self._archive.feed(self._compressed.feed(piece))

    async def _durable(self) -> None:
        stored = trio.Event()
        self._stream.promises.when_durable(stored.set)
        with trio.fail_after(PATIENCE_SECONDS):
            await stored.wait()

    def _store(self, entry: Entry) -> None:
        if self._is_whole:
            raise CorruptError("there is more behind the end")
        if self._state is None:
            if entry.name != archive.STATE:
                raise CorruptError("the snapshot does not begin with its state")
            self._state = foreign_json.decode(entry.payload, State)
        elif len(self._consumers) < self._state.consumer_count:
            if not entry.name.startswith(archive.CONSUMERS):
                raise CorruptError("a consumer is missing")
            self._consumers.append(entry.payload)
        elif entry.is_end:
            self._is_whole = True
        else:
            self._store_message(entry)

    def _store_message(self, entry: Entry) -> None:
        stored = self._stream.stored
        if entry.sequence <= stored.last:
            raise CorruptError("the messages are out of order")
        stored.skip_to(entry.sequence)
        stored.append(entry.name, entry.header, entry.payload, entry.time_ns)

    async def _complete(self) -> None:
        """Everything came: be a stream like others."""
        self._compressed.finish()
        self._archive.finish()
        if not self._is_whole or self._state is None:
            raise CorruptError("the snapshot is cut short")
        stored, config = self._stream.stored, self._config
        stored.skip_to(max(self._state.last_seq, self._state.first_seq - 1) + 1)
        await self._durable()
        for text in self._consumers:
            wanted, state = read_consumer(text, trio.current_time())
            wanted.name = wanted.name or wanted.durable_name
            consumer_config.complete(wanted, config)
            consumer_check.check(wanted, config)
            for pending in state.pending.values():
                pending.deadline += wanted.ack_wait / SECOND
            self._home.create_consumer(self._stream, wanted, state)
        await self._home.begin_restored(self._stream)
        await self._durable()
