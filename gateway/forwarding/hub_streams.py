"""Hub streams: what a hub's JetStream says of its streams, and how far ours have come in each.

$JS.API.STREAM.LIST, $JS.API.STREAM.INFO.NAME, $JS.API.STREAM.MSG.GET.NAME
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import msgspec
import trio

from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.verdicts import FilterSet
from gateway.forwarding.message_headers import MESSAGE_ID
from gateway.runtime.identity import new_token
from gateway.uplink.link_line import LinkLine
from protocols import foreign_json
from protocols.message import Message, make_message
from protocols.nats.headers import find_field

INBOX = b"_INBOX."
# Errors of the JetStream API (err_code).
NO_MESSAGE = 10037


class HubError(Exception):
    """The hub did not answer, or not as it should; in a sentence."""


class ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class Reply(msgspec.Struct, kw_only=True):
    """What is in every answer of JetStream."""

    error: ApiError | None = None


class Acknowledgement(Reply):
    """What a stream answers to a message: PubAck."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False


ReplyKind = TypeVar("ReplyKind", bound=Reply)


class StreamConfig(msgspec.Struct):
    name: str = ""
    subjects: list[str] = []


class StreamState(msgspec.Struct):
    messages: int = 0
    last_seq: int = 0


class StreamInfo(Reply):
    config: StreamConfig = msgspec.field(default_factory=StreamConfig)
    state: StreamState = msgspec.field(default_factory=StreamState)


class StreamList(Reply):
    total: int = 0
    streams: list[StreamInfo] | None = None


class StoredMessage(msgspec.Struct):
    subject: str = ""
    seq: int = 0
    hdrs: str = ""


class MessageAnswer(Reply):
    message: StoredMessage | None = None


class LastOfSubject(NamedTuple):
    """The last message on a subject: its sequence in the hub's stream, and its number here where it is ours; else 0."""

    sequence: int
    number: int


class HubStream:
    """A stream of the hub. `last_id` is the id of ours that it has as its last, or that was sent last; without one the
    next message is to follow the sequence `last_sequence`. `stored_through`: up to this number it has ours.

    `is_shared`: others feed it, too, so nothing can be said of what is its last. `is_through`: nothing that was sent to
    it before is still to come there, so that what it tells now is all there is.
    """

    def __init__(self, name: str, subjects: Iterable[str]) -> None:
        self.name = name
        self.filters = FilterSet(subject.encode() for subject in subjects)
        self.is_settled = False
        self.last_id = b""
        self.last_sequence = 0
        self.stored_through = 0
        self.is_shared = False
        self.is_through = False
        # How often its last message was not ours although it was to be.
        self.strangers = 0
        # Whether its last message is not ours, and what the last one is of the subjects that it was asked for.
        self.is_foreign = False
        self.looked_up: dict[bytes, LastOfSubject] = {}

    def unsettle(self) -> None:
        """What was said of it may not be true any more."""
        self.is_settled = False
        self.last_id = b""
        self.stored_through = 0
        self.is_foreign = False
        self.looked_up.clear()


class Inbox(Receiver):
    """Takes the answers of one hub: to requests, and to messages, `answered` by their number."""

    __slots__ = ("_answered", "_count", "_line", "_requests", "prefix")

    def __init__(self, line: LinkLine, answered: Callable[[int, Message], None]) -> None:
        self.prefix = INBOX + new_token().encode() + b"."
        super().__init__(Port(None), self.prefix + b"*", b"")
        self._line = line
        self._answered = answered
        self._requests: dict[bytes, Answer] = {}
        self._count = 0

    def deliver(self, message: Message, source: Port) -> bool:
        if not self._line.brings(source):
            return False
        token = message.subject[len(self.prefix) :]
        if token.isdigit():
            self._answered(int(token), message)
            return True
        answer = self._requests.pop(token, None)
        if answer is not None:
            answer.message = message
            answer.came.set()
        return answer is not None

    async def request(self, subject: bytes, payload: bytes, seconds: float) -> bytes:
        """The payload of the answer. Raises HubError."""
        self._count += 1
        token = b"r%d" % self._count
        answer = self._requests[token] = Answer()
        try:
            if not self._line.send(
                make_message(subject, payload, self.prefix + token), self._line.way(subject, told=False)
            ):
                raise HubError("the link does not take requests to JetStream")
            self._line.flush()
            with trio.move_on_after(seconds):
                await answer.came.wait()
        finally:
            self._requests.pop(token, None)
        if answer.message is None:
            raise HubError("JetStream at the hub does not answer")
        if answer.message.header().startswith(b"NATS/1.0 503"):
            raise HubError("the hub has no JetStream")
        return answer.message.payload()

    def give_up(self) -> None:
        """The link is gone: no request is answered any more."""
        for answer in self._requests.values():
            answer.came.set()


class Answer:
    __slots__ = ("came", "message")

    def __init__(self) -> None:
        self.came = trio.Event()
        self.message: Message | None = None


class HubStreams:
    """The streams of one hub that take what some filters match; `domain` is that of its JetStream, or empty."""

    def __init__(self, inbox: Inbox, domain: str, filters: Iterable[bytes], seconds: float) -> None:
        self._inbox = inbox
        self._api = f"$JS.{domain}.API." if domain else "$JS.API."
        self._filters = list(filters)
        self._seconds = seconds
        self._streams: dict[str, HubStream] = {}
        self._found: dict[bytes, HubStream | None] = {}

    def unsettle(self) -> None:
        """Nothing is known of how far ours have come; what was learnt of who feeds a stream stays."""
        for stream in self._streams.values():
            stream.unsettle()
            stream.is_through = False

    async def learn(self) -> None:
        """Ask which streams there are. Raises HubError."""
        found: dict[str, HubStream] = {}
        for subject in self._filters:
            offset = 0
            while True:
                request = msgspec.json.encode({"offset": offset, "subject": subject.decode()})
                answer = await self._ask("STREAM.LIST", request, StreamList)
                for info in answer.streams or ():
                    name = info.config.name
                    known = self._streams.get(name)
                    stream = HubStream(name, info.config.subjects)
                    if known is not None:
                        known.filters = stream.filters
                        stream = known
                    found[name] = stream
                offset += len(answer.streams or ())
                if not answer.streams or offset >= answer.total:
                    break
        self._streams = found
        self._found.clear()

    def of(self, subject: bytes) -> HubStream | None:
        """The stream that takes messages on a subject."""
        if subject in self._found:
            return self._found[subject]
        if len(self._found) >= 65_536:
            self._found.clear()
        stream = next((one for one in self._streams.values() if one.filters.matches(subject)), None)
        self._found[subject] = stream
        return stream

    async def settle(self, stream: HubStream, number_of: Callable[[bytes], int | None]) -> None:
        """Find out how far ours have come. Raises HubError."""
        info = await self._ask(f"STREAM.INFO.{stream.name}", b"", StreamInfo)
        stream.unsettle()
        stream.last_sequence = info.state.last_seq
        if info.state.messages:
            identifier = id_of(await self._last(stream, b">"))
            number = number_of(identifier) if identifier else None
            if number is None:
                stream.is_foreign = True
            else:
                stream.last_id = identifier
                stream.stored_through = number
        stream.is_settled = True

    async def look_up(
        self, stream: HubStream, subjects: Iterable[bytes], number_of: Callable[[bytes], int | None]
    ) -> None:
        """Find out for some subjects how far ours have come in them. Raises HubError."""
        errors: list[HubError] = []

        async def ask(subject: bytes) -> None:
            try:
                last = await self._last(stream, subject)
            except HubError as error:
                errors.append(error)
            else:
                identifier = id_of(last)
                number = number_of(identifier) if identifier else None
                stream.looked_up[subject] = LastOfSubject(last.seq, number or 0)

        async with trio.open_nursery() as nursery:
            for subject in subjects:
                nursery.start_soon(ask, subject)
        if errors:
            raise errors[0]

    async def _last(self, stream: HubStream, subject: bytes) -> StoredMessage:
        """The last message on a subject; where there is none its sequence is 0."""
        request = msgspec.json.encode({"last_by_subj": subject.decode()})
        answer = await self._ask(f"STREAM.MSG.GET.{stream.name}", request, MessageAnswer, NO_MESSAGE)
        return answer.message or StoredMessage()

    async def _ask(self, request: str, payload: bytes, shape: type[ReplyKind], permitted: int = 0) -> ReplyKind:
        body = await self._inbox.request((self._api + request).encode(), payload, self._seconds)
        try:
            answer = foreign_json.decode(body, shape)
        except msgspec.MsgspecError as error:
            raise HubError(f"JetStream at the hub answers what cannot be read: {error}") from None
        if answer.error is not None and answer.error.err_code != permitted:
            raise HubError(f"JetStream at the hub says: {answer.error.description}")
        return answer


def id_of(message: StoredMessage) -> bytes:
    """What a message of the hub's says in `Nats-Msg-Id`; b"" for nothing."""
    try:
        header = base64.b64decode(message.hdrs)
    except binascii.Error:
        return b""
    return find_field(header, MESSAGE_ID) or b""
