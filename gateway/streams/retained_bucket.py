"""Retained bucket: the retained messages of an account and the keys of a key-value bucket are the same, as far as both
can be: what is retained on a subject is the value of the key of that name, and the other way round.

The order of the bucket is the order of both. What is retained goes into the bucket, with a field in its header that
says so; what comes out of the bucket is retained where something else is, unless what is retained is yet to come into
the bucket: then that is later, and has its turn. Neither side is told what came from it, so nothing goes round.
"""

import logging
from itertools import islice

import msgspec
import trio

from gateway.dataplane.port import Port, Receiver
from gateway.runtime.identity import new_token
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams.account_streams import AccountStreams
from gateway.streams.errors import ApiError
from gateway.streams.message_headers import nats_fields, with_fields
from gateway.streams.served_stream import ServedStream
from gateway.streams.stores import INTEGRATION_PREFIX
from gateway.streams.stream_config import StreamConfig
from protocols import foreign_json
from protocols.foreign_text import is_legal_literal
from protocols.message import RETAIN_HEADER, Message, make_message

log = logging.getLogger("leafgate.streams")

CURSOR = INTEGRATION_PREFIX + "retained"
MARK = b"Leafgate-Retained"
OPERATION = b"KV-Operation"
DELETE = (b"DEL", b"PURGE")
# Subjects that begin so are of protocols; the bucket's own are among them.
NOT_KEYS = b"$"
LOOK_SECONDS = 1.0
READ_MESSAGES, READ_BYTES = 200, 256 << 10
PUTS_AT_ONCE = 64


class PubAck(msgspec.Struct):
    duplicate: bool = False
    error: dict[str, object] | None = None


class Acks(Receiver):
    """What the stream says of puts that it did not take: their keys, by the last token of the subject."""

    __slots__ = ("_bucket",)

    def __init__(self, bucket: "RetainedBucket", subject: bytes) -> None:
        super().__init__(Port(None), subject + b".*", b"")
        self._bucket = bucket

    def deliver(self, message: Message, source: Port) -> bool:
        self._bucket.answered(message.subject.rpartition(b".")[2], message.payload())
        return True


class RetainedBucket:
    """Of one account. `refused` counts what the bucket did not take."""

    def __init__(self, home: AccountStreams, name: str) -> None:
        self._home = home
        self._account = home.account
        self._stream_name = f"KV_{name}"
        self._prefix = f"$KV.{name}.".encode()
        self._config = StreamConfig(
            name=self._stream_name,
            subjects=[f"$KV.{name}.>"],
            max_msgs_per_subject=1,
            discard="new",
            allow_rollup_hdrs=True,
            deny_delete=True,
            allow_direct=True,
        )
        self._port = home.account.bucket_port = Port(None)
        self._inbox = b"_INBOX." + new_token().encode()
        # Keys whose retained message is to go into the bucket.
        self._puts: dict[bytes, None] = {}
        # Puts that have not come out of the stream yet: by key how many, and the key of each by its number.
        self._pending: dict[bytes, int] = {}
        self._numbers: dict[bytes, bytes] = {}
        self._number = 0
        self._position = 1
        self._news = trio.Event()
        self.refused = 0

    async def run(self) -> None:
        """For ever."""
        self._home.subscribe(Acks(self, self._inbox))
        self._account.retained_changed = self._retained_changed
        while True:
            is_opened_later = self._stream_name in self._home.unopened
            stream = None if is_opened_later else self._home.streams.get(self._stream_name) or self._make()
            if stream is None:
                await trio.sleep(LOOK_SECONDS)
            else:
                await self._serve(stream)

    def _make(self) -> ServedStream | None:
        try:
            self._config.duplicate_window = 120_000_000_000
            stream = self._home.create(self._config)
        except ApiError as error:
            log.warning("event=no-retained-bucket stream=%s reason=%r", self._stream_name, str(error))
            return None
        log.info("event=retained-bucket stream=%s", self._stream_name)
        return stream

    async def _serve(self, stream: ServedStream) -> None:
        """As long as the stream is there."""
        stored = stream.stored
        cursor = stored.cursor(CURSOR)
        self._position = cursor.floor + 1
        self._pending.clear()
        self._numbers.clear()
        stored.listeners.append(self._wake)
        is_compared = False
        while self._home.streams.get(self._stream_name) is stream:
            if self._position <= stored.committed:
                messages, self._position = await stored.read(self._position, READ_MESSAGES, READ_BYTES)
                for message in messages:
                    await self._apply(message)
                through = self._position - 1
                self._account.durability.when_durable(lambda through=through: cursor.acknowledge_through(through))  # type: ignore[misc]
            elif not is_compared:
                is_compared = True
                await self._compare(stream)
            elif self._puts:
                self._put_some()
                await trio.lowlevel.checkpoint()
            else:
                with trio.move_on_after(LOOK_SECONDS):
                    await self._news.wait()
                self._news = trio.Event()

    def _wake(self) -> None:
        self._news.set()

    # Out of the bucket.

    async def _apply(self, message: StoredMessage) -> None:
        """Have retained what a key has now."""
        key = message.subject.removeprefix(self._prefix)
        fields = nats_fields(message.header) if message.header else {}
        if MARK in fields:
            self._settle(key)
        if key in self._pending or key in self._puts or not is_key(key):
            return
        payload = b"" if fields.get(OPERATION) in DELETE else message.payload
        current = self._account.retained.get(key)
        if (current.payload() if current is not None else b"") == payload:
            return
        while not await self._publish(key, payload):  # noqa: ASYNC110 -- the disk tells nobody that it has room
            await trio.sleep(LOOK_SECONDS)

    async def _publish(self, key: bytes, payload: bytes) -> bool:
        """False where the disk has no room for it."""
        message = make_message(key, payload, header=RETAIN_HEADER)
        done = trio.Event()
        self._account.publish(message, self._port, done=lambda _: done.set())
        self._home.flush()
        await done.wait()
        return not message.refused

    # Into it.

    def _retained_changed(self, message: Message, source: Port) -> None:
        if source is not self._port and is_key(message.subject):
            self._puts[message.subject] = None
            self._news.set()

    def _put_some(self) -> None:
        for key in list(islice(self._puts, PUTS_AT_ONCE)):
            del self._puts[key]
            message = self._account.retained.get(key)
            header = with_fields(b"", (MARK, b"1"))
            if message is None:
                header = with_fields(header, (OPERATION, DELETE[0]))
            payload = message.payload() if message is not None else b""
            self._number += 1
            number = b"%d" % self._number
            self._numbers[number] = key
            self._pending[key] = self._pending.get(key, 0) + 1
            put = make_message(self._prefix + key, payload, self._inbox + b"." + number, header)
            if not self._home.publish(put):
                self.answered(number, b'{"error":{"description":"the bucket has other subjects"}}')
        self._home.flush()

    def answered(self, number: bytes, payload: bytes) -> None:
        """What the stream says of a put: one that it has comes out of it, too."""
        key = self._numbers.pop(number, None)
        if key is None:
            return
        try:
            answer = foreign_json.decode(payload, PubAck)
        except msgspec.DecodeError:
            answer = PubAck(error={"description": "not understood"})
        if answer.error or answer.duplicate:
            self._settle(key)
            self.refused += 1
            reason = answer.error.get("description") if answer.error else "a duplicate"
            arguments = self._stream_name, reason
            key_of_line = ("not-in-bucket", self._stream_name)
            text = "event=not-in-bucket stream=%s reason=%r"
            self._home.runtime.repeats.log(log, logging.WARNING, key_of_line, text, *arguments)

    def _settle(self, key: bytes) -> None:
        left = self._pending.get(key, 0) - 1
        if left > 0:
            self._pending[key] = left
        else:
            self._pending.pop(key, None)

    async def _compare(self, stream: ServedStream) -> None:
        """What is retained, and is not the value of its key, goes into the bucket: it came while nobody looked."""
        known: dict[bytes, int] = {}
        position = stream.stored.first
        while position <= stream.stored.committed:
            messages, position = await stream.stored.read(position, READ_MESSAGES, READ_BYTES)
            for message in messages:
                known[message.subject.removeprefix(self._prefix)] = hash(message.payload)
        for kept in self._account.retained.matching(b">"):
            if kept is None:
                await trio.lowlevel.checkpoint()
            elif is_key(kept.subject) and known.get(kept.subject) != hash(kept.payload()):
                self._puts[kept.subject] = None


def is_key(subject: bytes) -> bool:
    """Whether a subject is a key, and a key a subject."""
    return not subject.startswith(NOT_KEYS) and is_legal_literal(subject)
