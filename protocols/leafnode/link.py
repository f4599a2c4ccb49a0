"""Leafnode protocol, what both ends of a link say alike: interest, messages, heartbeats and errors."""

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
# Each side listens on one subject of its own below this; hearing its own back means a loop of links.
LOOP_PREFIX = b"$LDS."
ACK_PREFIX = b"$JS.ACK."
ACK_TOKENS = 8

_heads: GenerationCache = GenerationCache(REMEMBERED_LINES)


class Permissions(msgspec.Struct, frozen=True):
    """Subjects allowed (none listed: all) and denied."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None


class LeafSubscribe(msgspec.Struct):
    """Interest of the other end; `queue` is b"" for a plain one."""

    subject: bytes
    queue: bytes
    weight: int


class LeafUnsubscribe(msgspec.Struct):
    subject: bytes
    queue: bytes


class PeerError(msgspec.Struct):
    """-ERR of the other end, without its quotes; it closes the link itself where that is meant."""

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


class LinkDecoder(Framing):
    """Decodes what the other end of a link sends. Events: Message, Redirected, Refused, LeafSubscribe, LeafUnsubscribe,
    PeerError, Ping, Pong, PeerViolation, and those of its role. A Message's `queues` are never None: a group that is
    not named does not get it.
    """

    __slots__ = ()

    def __init__(
        self,
        max_payload: int,
        max_control_line: int,
        operations: frozenset[bytes] = OPERATIONS,
        max_header_lines: int = 0,
    ) -> None:
        super().__init__(max_payload, max_control_line, _heads, operations, b"LMSG ", b"HMSG ", (), max_header_lines)

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
        if operation == b"-ERR":
            return PeerError(rest.strip(b"'"))
        if operation == b"+OK":
            return None
        return self.parse_introduction(operation, rest)

    def parse_introduction(self, operation: bytes, rest: bytes) -> object:
        """The event of an operation that only one of the two ends has."""
        return self.unknown_operation()

    def _message(self, line: bytes, operation: bytes, rest: bytes, sizes: int) -> object:
        """`<subject> [reply] <sizes>`, `<subject> + <reply> <queues> <sizes>` or `<subject> | <queues> <sizes>`."""
        arguments = split_arguments(rest)
        names, numbers = arguments[:-sizes], [parse_size(size) for size in arguments[-sizes:]]
        if not names or min(numbers) < 0 or numbers[-1] < numbers[0]:
            return self.malformed(operation, "takes a subject and sizes")
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
            return self.malformed(operation, "names queue groups without + or |")
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
        return self.malformed(b"LS+", "takes a subject, or a subject, a queue group and a weight")

    def _unsubscribe(self, rest: bytes) -> object:
        arguments = split_arguments(rest)
        if len(arguments) in (1, 2):
            return LeafUnsubscribe(arguments[0], arguments[1] if len(arguments) == 2 else b"")
        return self.malformed(b"LS-", "takes a subject and an optional queue group")

    def malformed(self, operation: bytes, complaint: str) -> PeerViolation:
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


def encode_interest(subject: bytes, queue: bytes, count: int) -> bytes:
    """LS+ or LS-, for `count` subscriptions on a subject (in a queue group unless that is b"")."""
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
