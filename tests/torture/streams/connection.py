"""A connection of a NATS client that knows at once when it is lost, and what it asks for in answers to inboxes."""

import asyncio
import json
import os
from typing import Any, NamedTuple

from protocols.errors import PeerViolation
from protocols.message import Message
from protocols.nats.client import (
    PING,
    PONG,
    ClientDecoder,
    Ping,
    Pong,
    ServerError,
    encode_connect,
    encode_header,
    encode_publish,
    encode_subscribe,
    encode_unsubscribe,
    read_header,
    read_status,
)

MAX_PAYLOAD = 8 << 20
READ_SIZE = 1 << 16
# Who is not answered takes the connection for lost, as the gateway's disk may be full or slow.
ANSWER_SECONDS = 10.0


# The subscription to the inboxes of requests.
REQUESTS = "1"


class LostError(Exception):
    """There is no connection any more, or no answer; what was asked for may have been done or not."""


class Answer(NamedTuple):
    """`status` is 0 for what is none of a server's own words."""

    subject: str
    reply: str
    payload: bytes
    fields: dict[str, str]
    status: int

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.payload)
        return found


class NumberedDecoder(ClientDecoder):
    """Its messages have their sid in front of their subject, and a `/` between."""

    __slots__ = ()

    def _delivery(self, rest: bytes) -> object:
        return super()._delivery(numbered(rest))

    def _delivery_with_header(self, rest: bytes) -> object:
        return super()._delivery_with_header(numbered(rest))


def numbered(rest: bytes) -> bytes:
    subject, sid, others = rest.split(b" ", 2)
    return b"%b/%b %b %b" % (sid, subject, sid, others)


class Connection:
    """Made by `open`. Everything raises LostError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = NumberedDecoder(MAX_PAYLOAD)
        self._inbox = f"_INBOX.{os.urandom(8).hex()}"
        self._count = 0
        # By sid, and for answers to requests by their inbox.
        self._queues: dict[str, asyncio.Queue[Answer | None]] = {}
        self._ready = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._read())
        self.is_lost = False

    @classmethod
    async def open(cls, address: tuple[str, int]) -> "Connection":
        try:
            reader, writer = await asyncio.open_connection(*address)
        except OSError as error:
            raise LostError from error
        connection = cls(reader, writer)
        fields = {"verbose": False, "headers": True, "no_responders": True, "protocol": 1}
        inboxes = encode_subscribe(f"{connection._inbox}.*".encode(), REQUESTS.encode())
        connection._send(encode_connect(fields) + inboxes + PING)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection._ready
        except TimeoutError as error:
            connection.close()
            raise LostError from error
        return connection

    def close(self) -> None:
        self._task.cancel()
        self._lose()

    def abort(self) -> None:
        """Break it off, with whatever is under way."""
        self._writer.transport.abort()

    def publish(self, subject: str, payload: bytes = b"", reply: str = "", **fields: str) -> None:
        header = encode_header([(name.replace("_", "-"), value) for name, value in fields.items()])
        self._send(encode_publish(subject.encode(), payload, reply.encode(), header))

    async def request(self, subject: str, payload: bytes = b"", **fields: str) -> Answer:
        """One answer."""
        inbox, queue = self.new_inbox()
        try:
            self.publish(subject, payload, inbox, **fields)
            return await self.next(queue)
        finally:
            self.forget(inbox)

    async def ask(self, api: str, **fields: Any) -> dict[str, Any]:
        """A request to the API of streams."""
        answer = await self.request(f"$JS.API.{api}", json.dumps(fields).encode() if fields else b"")
        if answer.status:
            raise LostError(f"{answer.status} for {api}")
        return answer.json()

    def new_inbox(self) -> "tuple[str, asyncio.Queue[Answer | None]]":
        """For answers to requests; it is forgotten with `forget`."""
        self._count += 1
        inbox = f"{self._inbox}.{self._count}"
        queue = self._queues[inbox] = asyncio.Queue()
        return inbox, queue

    def subscribe(self, subject: str) -> "tuple[str, asyncio.Queue[Answer | None]]":
        """What comes on a subject, and what it is forgotten by."""
        self._count += 1
        sid = f"s{self._count}"
        queue = self._queues[sid] = asyncio.Queue()
        self._send(encode_subscribe(subject.encode(), sid.encode()))
        return sid, queue

    def forget(self, key: str) -> None:
        """Of an inbox or of a subscription."""
        del self._queues[key]
        if key.startswith("s") and not self._writer.transport.is_closing():
            self._send(encode_unsubscribe(key.encode()))

    async def next(self, queue: "asyncio.Queue[Answer | None]", seconds: float = ANSWER_SECONDS) -> Answer:
        """What comes next to an inbox."""
        if self.is_lost and queue.empty():
            raise LostError
        try:
            async with asyncio.timeout(seconds):
                found = await queue.get()
        except TimeoutError as error:
            raise LostError from error
        if found is None:
            raise LostError
        return found

    def _send(self, data: bytes) -> None:
        if self.is_lost or self._writer.transport.is_closing():
            raise LostError
        self._writer.write(data)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(READ_SIZE):
                for event in self._decoder.receive(data):
                    self._take(event)
        except OSError:
            pass
        finally:
            self._lose()

    def _take(self, event: object) -> None:
        match event:
            case Message():
                sid, _, subject = event.subject.decode().partition("/")
                queue = self._queues.get(subject if sid == REQUESTS else sid)
                if queue is not None:
                    queue.put_nowait(answer_of(event, subject))
            case Ping():
                self._writer.write(PONG * event.count)
            case Pong():
                if not self._ready.done():
                    self._ready.set_result(None)
            case ServerError() | PeerViolation():
                self.abort()

    def _lose(self) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        self._writer.transport.abort()
        if not self._ready.done():
            self._ready.set_exception(LostError())
        for queue in self._queues.values():
            queue.put_nowait(None)


def answer_of(message: Message, subject: str) -> Answer:
    header = message.header() if message.header_size else b""
    status = read_status(header)[0] if header else 0
    reply = (message.reply or b"").decode()
    return Answer(subject, reply, message.payload(), dict(read_header(header)) if header else {}, status)
