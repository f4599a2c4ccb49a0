"""Leafnode protocol, spoke role: what a hub may send, and what it is sent."""

from collections.abc import Iterable

import msgspec

from protocols.cache import GenerationCache
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.foreign_text import is_legal
from protocols.message import Message
from protocols.nats.framing import (
    REMEMBERED_LINES,
    Framing,
    Refused,
    parse_size,
    split_arguments,
    split_operation,
)
from protocols.nats.head import PayloadHead
from protocols.nats.heartbeats import Ping, Pong
from protocols.subjects import matches

OPERATIONS = frozenset((b"LMSG", b"HMSG", b"LS+", b"LS-", b"INFO", b"PING", b"PONG", b"+OK", b"-ERR"))
# A hub's INFO carries its permissions and the URLs of its cluster.
MAX_CONTROL_LINE = 1 << 18
# The most that any hub allows; it tells its own limit in INFO.
MAX_PAYLOAD = 1 << 26
# Each side listens on one subject of its own below this; hearing its own back means a loop of links.
LOOP_PREFIX = b"$LDS."
ACK_PREFIX = b"$JS.ACK."
# Subject and queue group of what a hub with JetStream takes, but never tells leafnodes: what is published to key-value
# buckets, and requests that read a message directly from a stream.
UNTOLD_INTERESTS = ((b"$KV.>", b""), (b"$JS.API.DIRECT.GET.>", b"_sys_"))
ACK_TOKENS = 8
# Version of the leafnode protocol: hubs refuse spokes below 2.8.0 when they are told to.
SPOKEN_VERSION = "2.15.1"


_heads: GenerationCache = GenerationCache(REMEMBERED_LINES)


class Permissions(msgspec.Struct, frozen=True):
    """Subjects allowed (none listed: all) and denied."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None


class HubInfo(msgspec.Struct, rename={"may_receive": "import", "may_send": "export"}):
    """INFO of a hub: the first names it, a later one (`connect_info`) says what the link may carry."""

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    proto: int = 0
    client_id: int = 0
    max_payload: int = 0
    tls_required: bool = False
    info_on_connect: bool = False
    jetstream: bool = False
    domain: str = ""
    connect_info: bool = False
    remote_account: str = ""
    leafnode_urls: tuple[str, ...] | None = None
    may_receive: Permissions | None = None
    may_send: Permissions | None = None


class LeafSubscribe(msgspec.Struct):
    """Interest on the hub's side; `queue` is b"" for a plain one."""

    subject: bytes
    queue: bytes
    weight: int


class LeafUnsubscribe(msgspec.Struct):
    subject: bytes
    queue: bytes


class HubError(msgspec.Struct):
    """-ERR from the hub, without its quotes; it closes the link itself where that is meant."""

    error: bytes

    @property
    def text(self) -> str:
        return self.error.decode("utf-8", "replace")


class Redirected(msgspec.Struct):
    """A message that is routed by `subject` but seen by its receivers with the subject that it was stored under.

    A JetStream consumer delivers to its deliver subject, and names the original subject behind `@` in the reply.
    """

    subject: bytes
    message: Message


_info_decoder = msgspec.json.Decoder(HubInfo)


class SpokeDecoder(Framing):
    """Decodes what a hub sends. Events: Message, Redirected, Refused, LeafSubscribe, LeafUnsubscribe, HubInfo,
    HubError, Ping, Pong, PeerViolation. A Message's `queues` are never None: a group that is not named does not get it.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(MAX_PAYLOAD, MAX_CONTROL_LINE, _heads, OPERATIONS, b"LMSG ", b"HMSG ", ())

    def parse_line(self, line: bytes) -> object:
        operation, rest = split_operation(line)
        if operation == b"LMSG":
            return self._message(line, operation, rest, 1)
        if operation == b"HMSG":
            return self._message(line, operation, rest, 2)
        if operation == b"LS+":
            return self._subscribe(rest)
        if operation == b"LS-":
            return self._unsubscribe(rest)
        if operation == b"PING":
            return Ping()
        if operation == b"PONG":
            return Pong()
        if operation == b"INFO":
            return self._info(rest)
        if operation == b"-ERR":
            return HubError(rest.strip(b"'"))
        if operation == b"+OK":
            return None
        return self.unknown_operation()

    def _message(self, line: bytes, operation: bytes, rest: bytes, sizes: int) -> object:
        """`<subject> [reply] <sizes>`, `<subject> + <reply> <queues> <sizes>` or `<subject> | <queues> <sizes>`."""
        arguments = split_arguments(rest)
        names, numbers = arguments[:-sizes], [parse_size(size) for size in arguments[-sizes:]]
        if not names or min(numbers) < 0 or numbers[-1] < numbers[0]:
            return self._malformed(operation, "takes a subject and sizes")
        size, header_size = numbers[-1], numbers[0] if sizes == 2 else 0
        subject, reply = names[0], b""
        queues: tuple[bytes, ...] = ()
        if len(names) == 2:
            reply = names[1]
        elif len(names) > 2 and names[1] == b"+":
            reply, queues = names[2], tuple(names[3:])
        elif len(names) > 2 and names[1] == b"|":
            queues = tuple(names[2:])
        elif len(names) > 2:
            return self._malformed(operation, "names queue groups without + or |")
        tail_size = 0
        if len(names) < 3 and line == b"%b %b\r" % (operation, b" ".join(arguments)) and (header_size or sizes == 1):
            tail_size = len(line) - len(operation) - len(subject) - 2
        head = PayloadHead(subject, reply, header_size, size, tail_size, queues)
        if (reply.startswith(ACK_PREFIX) and b"@" in reply) or not (is_legal(subject) and is_legal(reply)):
            head.tail_size = 0
            head.reserved = True
        return head

    def reserved_event(self, message: Message) -> object:
        if not (is_legal(message.subject) and is_legal(message.reply)):
            return Refused(message)
        reply, original = split_ack_reply(message.reply)
        if not original:
            return message
        redirected = Message(original, reply, message.header_size, message.size, None, message.queues)
        redirected.set_body(message.body())
        return Redirected(message.subject, redirected)

    def _subscribe(self, rest: bytes) -> object:
        arguments = split_arguments(rest)
        if len(arguments) == 1:
            return LeafSubscribe(arguments[0], b"", 0)
        if len(arguments) == 3 and (weight := parse_size(arguments[2])) >= 0:
            return LeafSubscribe(arguments[0], arguments[1], weight)
        return self._malformed(b"LS+", "takes a subject, or a subject, a queue group and a weight")

    def _unsubscribe(self, rest: bytes) -> object:
        arguments = split_arguments(rest)
        if len(arguments) in (1, 2):
            return LeafUnsubscribe(arguments[0], arguments[1] if len(arguments) == 2 else b"")
        return self._malformed(b"LS-", "takes a subject and an optional queue group")

    def _info(self, rest: bytes) -> object:
        try:
            return _info_decoder.decode(rest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._malformed(b"INFO", f"is no valid JSON object: {error}")

    def _malformed(self, operation: bytes, complaint: str) -> PeerViolation:
        return self.violation(CloseReason.PROTOCOL_VIOLATION, f"{operation.decode()} {complaint}", b"")


def split_ack_reply(reply: bytes) -> tuple[bytes, bytes]:
    """The acknowledgement subject and the original subject behind its `@`, or the reply as it is and b"".

    Only an `@` behind the eighth dot counts: stream and consumer names may hold one.
    """
    place = -1
    for _ in range(ACK_TOKENS):
        place = reply.find(b".", place + 1)
        if place < 0:
            return reply, b""
    mark = reply.find(b"@", place)
    if mark < 0:
        return reply, b""
    return reply[:mark], reply[mark + 1 :]


def encode_connect(fields: dict[str, object]) -> bytes:
    return b"CONNECT %b\r\n" % msgspec.json.encode(fields)


def encode_interest(subject: bytes, queue: bytes, count: int) -> bytes:
    """LS+ or LS-, for `count` subscriptions that a spoke has on a subject (in a queue group unless that is b"")."""
    if not queue:
        return (b"LS+ %b\r\n" if count else b"LS- %b\r\n") % subject
    if count:
        return b"LS+ %b %b %d\r\n" % (subject, queue, count)
    return b"LS- %b %b\r\n" % (subject, queue)


def is_permitted(subject: bytes, permissions: Permissions | None) -> bool:
    """Whether permissions let a literal subject pass."""
    if permissions is None:
        return True
    if permissions.allow and not _any_matches(permissions.allow, subject):
        return False
    return not _any_matches(permissions.deny or (), subject)


def _any_matches(patterns: Iterable[str], subject: bytes) -> bool:
    return any(matches(pattern.encode(), subject) for pattern in patterns)
