"""The commands `pub`, `sub` and `request`: a small NATS client for trying out any server. No reconnecting, no TLS."""

import os
import secrets
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from gateway.errors import ClientError
from gateway.settings.addresses import ServerUrl
from gateway.version import VERSION
from protocols.errors import PeerViolation
from protocols.message import Message
from protocols.nats.client import (
    PING,
    PONG,
    ClientDecoder,
    Ping,
    Pong,
    ServerError,
    ServerInfo,
    encode_connect,
    encode_publish,
    encode_subscribe,
    encode_unsubscribe,
    read_header,
    read_status,
)

RECEIVE_SIZE = 64 * 1024
# The largest that any server of the field can be told to let through.
MAX_PAYLOAD = 64 * 1024 * 1024
ANSWER_SECONDS = 5.0
NO_RESPONDERS = 503
SID = b"1"


class NatsLink:
    """An open connection to a server, one event at a time. PINGs are answered on the way."""

    def __init__(self, stream: trio.abc.Stream, url: ServerUrl) -> None:
        self._stream = stream
        self._url = url
        self._decoder = ClientDecoder(MAX_PAYLOAD)
        self._events: deque[object] = deque()
        self._max_payload = MAX_PAYLOAD

    async def greet(self) -> None:
        """Take INFO, send CONNECT, and wait until the server let us in."""
        info = await self._next_event()
        if not isinstance(info, ServerInfo):
            raise ClientError(f"{self._url} does not speak NATS: it did not begin with INFO")
        self._note_info(info)
        if info.fields.get("tls_required"):
            raise ClientError(f"{self._url} requires TLS, which this client does not speak yet")
        await self.send(encode_connect(connect_fields(self._url)))
        await self.settle()

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            # What the server said before it closed tells more than the broken pipe; reading on ends in that error.
            while True:
                await self._next_event()

    async def settle(self) -> None:
        """Wait until the server has processed everything sent so far. Messages that come meanwhile are kept."""
        kept: list[Message] = []
        await self.send(PING)
        while not isinstance(event := await self._next_event(), Pong):
            if isinstance(event, Message):
                kept.append(event)
        self._events.extendleft(reversed(kept))

    async def next_message(self) -> Message:
        while not isinstance(event := await self._next_event(), Message):
            pass
        return event

    def check_payload(self, size: int) -> None:
        if size > self._max_payload:
            raise ClientError(f"the payload has {size} bytes, {self._url} takes at most {self._max_payload}")

    async def _next_event(self) -> object:
        """The next event but PING and later INFO. Raises ClientError when the connection ends or is refused."""
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, Ping):
                    await self.send(PONG * event.count)
                elif isinstance(event, ServerError):
                    raise ClientError(f"{self._url} says: {event.text}")
                elif isinstance(event, PeerViolation):
                    raise ClientError(f"{self._url} does not speak NATS: {event.detail}")
                else:
                    return event
            try:
                data = await self._stream.receive_some(RECEIVE_SIZE)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                raise ClientError(f"{self._url} closed the connection")
            self._events.extend(self._decoder.receive(bytes(data)))

    def _note_info(self, info: ServerInfo) -> None:
        limit = info.fields.get("max_payload")
        if isinstance(limit, int):
            self._max_payload = min(limit, MAX_PAYLOAD)


def connect_fields(url: ServerUrl) -> dict[str, object]:
    """The fields of CONNECT. A user without a password is a token, as every NATS client has it."""
    fields: dict[str, object] = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
    fields |= {"name": "leafgate command line", "lang": "python", "version": VERSION, "protocol": 1}
    if url.user is not None and url.password is None:
        fields["auth_token"] = url.user
    elif url.user is not None:
        fields |= {"user": url.user, "pass": url.password}
    return fields


@contextmanager
def _patience(url: ServerUrl) -> Iterator[None]:
    try:
        with trio.fail_after(ANSWER_SECONDS):
            yield
    except trio.TooSlowError:
        raise ClientError(f"{url} did not answer within {ANSWER_SECONDS:g} s") from None


@asynccontextmanager
async def open_link(url: ServerUrl) -> AsyncIterator[NatsLink]:
    with _patience(url):
        try:
            stream = await trio.open_tcp_stream(url.host, url.port)
        except OSError as error:
            raise ClientError(f"cannot connect to {url}: {_cause(error)}") from None
        link = NatsLink(stream, url)
        try:
            await link.greet()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
    async with stream:
        yield link


def _cause(error: OSError) -> str:
    """trio tries every address of a name and wraps the failures; the first tells enough."""
    while isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error.__cause__, BaseExceptionGroup):
        error = next((part for part in error.__cause__.exceptions if isinstance(part, OSError)), error)
    # Not `strerror` where there is a number: trio puts the address in front of it.
    text = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return (text or str(error)).lower()


async def publish(url: ServerUrl, subject: bytes, payload: bytes, reply: bytes, header: bytes) -> None:
    """Return once the server has taken the message."""
    line = encode_publish(subject, payload, reply, header)
    async with open_link(url) as link:
        link.check_payload(len(header) + len(payload))
        with _patience(url):
            await link.send(line)
            await link.settle()


async def subscribe(url: ServerUrl, subject: bytes, queue: bytes, count: int, *, raw: bool) -> None:
    """Print every message, `count` of them (0: for ever). Tells on standard error when the subscription stands."""
    line = encode_subscribe(subject, SID, queue)
    if count:
        line += encode_unsubscribe(SID, count)
    async with open_link(url) as link:
        with _patience(url):
            await link.send(line)
            await link.settle()
        print(f"subscribed to {subject.decode('utf-8', 'replace')} at {url}", file=sys.stderr, flush=True)
        received = 0
        while not count or received < count:
            message = await link.next_message()
            write_line(message.payload() if raw else describe(message).encode())
            received += 1


async def request(url: ServerUrl, subject: bytes, payload: bytes, timeout: float) -> None:
    """Print the first reply's payload. Raises ClientError when nobody listens or nobody answers in time."""
    inbox = b"_INBOX." + secrets.token_hex(11).encode()
    line = encode_subscribe(inbox, SID) + encode_unsubscribe(SID, 1) + encode_publish(subject, payload, inbox)
    name = subject.decode("utf-8", "replace")
    async with open_link(url) as link:
        link.check_payload(len(payload))
        try:
            with trio.fail_after(timeout):
                await link.send(line)
                answer = await link.next_message()
        except trio.TooSlowError:
            raise ClientError(f"no reply to {name} within {timeout:g} s") from None
    if not answer.payload() and read_status(answer.header())[0] == NO_RESPONDERS:
        raise ClientError(f"no responders: nobody is subscribed to {name}")
    write_line(answer.payload())


def describe(message: Message) -> str:
    """One line: `subject [-> reply] [(Key: value; …)]: payload`, with what a terminal would act on escaped."""
    parts = [message.subject.decode("utf-8", "backslashreplace")]
    if message.reply:
        parts.append("-> " + message.reply.decode("utf-8", "backslashreplace"))
    if message.header_size:
        code, description = read_status(message.header())
        fields = [f"{key}: {value}" for key, value in read_header(message.header())]
        status = [f"{code} {description}".rstrip()] if code else []
        parts.append(f"({'; '.join(status + fields)})")
    return _escape(f"{' '.join(parts)}: {message.payload().decode('utf-8', 'backslashreplace')}")


def _escape(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def write_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
