"""NATS client protocol, server role: what a client may send, and what it is sent."""

import msgspec

from protocols.cache import GenerationCache
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.foreign_text import is_legal
from protocols.nats.framing import (
    MOST_HEADER_LINES,
    NEEDING_NO_SPACE,
    REMEMBERED_LINES,
    Framing,
    parse_size,
    split_arguments,
    split_operation,
)
from protocols.nats.head import PayloadHead
from protocols.nats.heartbeats import Ping, Pong
from protocols.nats.login import NOBODY, Login, LoginFields, read_connect
from protocols.subjects import RESERVED_SUBJECTS

OK = b"+OK\r\n"

OPERATIONS = frozenset((b"PUB", b"HPUB", b"SUB", b"UNSUB", b"CONNECT", b"PING", b"PONG", b"+OK", b"-ERR", b"INFO"))

# Not even known as operations when nothing follows them on their line.
NEVER_ALONE = frozenset((b"PUB", b"HPUB", b"SUB", b"UNSUB", b"-ERR"))

RESERVED_REPLIES = (b"_R_.", b"$JS.ACK.", b"_GR_.", b"$GR.")

_heads: GenerationCache = GenerationCache(REMEMBERED_LINES)


class ConnectOptions(msgspec.Struct, kw_only=True, frozen=True):
    """The fields of CONNECT that the gateway reads, with what holds before and without a CONNECT."""

    verbose: bool = True
    pedantic: bool = True
    echo: bool = True
    headers: bool = False
    no_responders: bool = False
    protocol: int = 0
    name: str = ""
    lang: str = ""
    version: str = ""
    user: str = ""
    account: str = ""
    new_account: bool = False
    tls_required: bool = False
    # Ours alone: the subject on which the gateway tells that this client is there; nats-server reads past it.
    presence: str = ""


class Connect(msgspec.Struct):
    """`fields` are the ones present in the CONNECT; the others keep the value they had. Secrets are in `login` only."""

    fields: dict[str, object]
    login: Login = NOBODY


DEFAULT_OPTIONS = ConnectOptions()


class Subscribe(msgspec.Struct):
    subject: bytes
    queue: bytes
    sid: bytes


class Unsubscribe(msgspec.Struct):
    """`maximum` counts deliveries since SUB; 0 unsubscribes at once."""

    sid: bytes
    maximum: int


class _ConnectFields(LoginFields):
    """Types of CONNECT's fields."""

    verbose: bool | None = None
    pedantic: bool | None = None
    echo: bool | None = None
    headers: bool | None = None
    no_responders: bool | None = None
    protocol: int | None = None
    name: str | None = None
    lang: str | None = None
    version: str | None = None
    account: str | None = None
    new_account: bool | None = None
    tls_required: bool | None = None
    presence: str | None = None


class ServerDecoder(Framing):
    """Decodes what a NATS client sends. Events: Message, Refused, Connect, Subscribe, Unsubscribe, Ping, Pong,
    PeerViolation.

    `headers` says whether HPUB is agreed on: the last CONNECT that named it decides, for what follows in the same
    batch too.
    """

    __slots__ = ()

    def __init__(self, max_payload: int, max_control_line: int, max_header_lines: int = MOST_HEADER_LINES) -> None:
        super().__init__(max_payload, max_control_line, _heads, OPERATIONS, b"PUB ", b"HPUB ", None, max_header_lines)
        self.headers = False

    def parse_line(self, line: bytes) -> object:
        operation, _, rest = line.partition(b" ")
        if operation == b"PUB" and rest:
            return self._publish(line, rest)
        operation, rest = split_operation(line)
        if operation in NEVER_ALONE and len(operation) == len(line.rstrip(b"\r")):
            return self.unknown_operation()
        if operation == b"PUB":
            return self._publish(b"", rest)
        if operation == b"HPUB":
            return self._publish_with_header(line, rest)
        if operation == b"SUB":
            return self._subscribe(rest)
        if operation == b"UNSUB":
            return self._unsubscribe(rest)
        if operation == b"-ERR":
            return self.violation(CloseReason.CLIENT_CLOSED, f"client sent -ERR {rest[:200].decode('latin-1')}", b"")
        if operation.startswith(NEEDING_NO_SPACE):
            return self._parse_beginning(line)
        return self.unknown_operation()

    def _parse_beginning(self, line: bytes) -> object:
        beginning = line[:7].upper()
        if beginning.startswith(b"PING"):
            return Ping()
        if beginning.startswith(b"PONG"):
            return Pong()
        if beginning == b"CONNECT":
            return self._connect(line[7:].strip(b" \t\r"))
        return None

    def _publish(self, line: bytes, rest: bytes) -> object:
        arguments = split_arguments(rest.rstrip(b"\r"))
        count = len(arguments)
        if count == 2:
            subject, size = arguments[0], parse_size(arguments[1])
            reply = b""
        elif count == 3:
            subject, reply, size = arguments[0], arguments[1], parse_size(arguments[2])
        else:
            return self._malformed("PUB", "takes a subject, an optional reply subject and a size")
        if size < 0:
            return self._malformed("PUB", "has a bad payload size")
        return _payload_head(line, b"PUB", arguments, subject, reply, 0, size)

    def _publish_with_header(self, line: bytes, rest: bytes) -> object:
        arguments = split_arguments(rest.rstrip(b"\r"))
        if len(arguments) not in (3, 4):
            return self._malformed("HPUB", "takes a subject, an optional reply subject and two sizes")
        header_size, size = parse_size(arguments[-2]), parse_size(arguments[-1])
        if header_size < 0 or size < header_size:
            return self._malformed("HPUB", "has bad sizes")
        reply = arguments[1] if len(arguments) == 4 else b""
        return _payload_head(line, b"HPUB", arguments, arguments[0], reply, header_size, size)

    def _subscribe(self, rest: bytes) -> object:
        arguments = split_arguments(rest)
        if len(arguments) == 2:
            return Subscribe(arguments[0], b"", arguments[1])
        if len(arguments) == 3:
            return Subscribe(arguments[0], arguments[1], arguments[2])
        return self._malformed("SUB", "takes a subject, an optional queue group and a sid")

    def _unsubscribe(self, rest: bytes) -> object:
        arguments = split_arguments(rest)
        if len(arguments) == 1:
            return Unsubscribe(arguments[0], 0)
        if len(arguments) == 2:
            # A count that is no number unsubscribes at once, as nats-server does.
            return Unsubscribe(arguments[0], max(parse_size(arguments[1]), 0))
        return self._malformed("UNSUB", "takes a sid and an optional count")

    def _connect(self, rest: bytes) -> object:
        try:
            present, login = read_connect(rest, _ConnectFields)
        except ValueError as error:
            return self._malformed("CONNECT", f"is no valid JSON object: {error}")
        self.headers = bool(present.get("headers", self.headers))
        return Connect(present, login)

    def _malformed(self, operation: str, complaint: str) -> PeerViolation:
        """nats-server closes without a word on malformed arguments, and clients expect just that."""
        return self.violation(CloseReason.PROTOCOL_VIOLATION, f"{operation} {complaint}", b"")


def _payload_head(
    line: bytes, operation: bytes, arguments: list[bytes], subject: bytes, reply: bytes, header_size: int, size: int
) -> PayloadHead:
    reserved = subject.startswith(RESERVED_SUBJECTS) or (reply != b"" and reply.startswith(RESERVED_REPLIES))
    # Whoever subscribes would lose its connection over what it cannot read.
    reserved = reserved or not (is_legal(subject) and is_legal(reply))
    canonical = line == b"%b %b\r" % (operation, b" ".join(arguments))
    tail_size = 0
    # An HPUB without a header block goes on as a plain message, whose tail has one size only.
    if canonical and not reserved and (header_size or operation == b"PUB"):
        tail_size = len(line) - len(operation) - len(subject) - 2
    head = PayloadHead(subject, reply, header_size, size, tail_size)
    head.reserved = reserved
    return head


def merge_options(options: ConnectOptions, connect: Connect) -> ConnectOptions:
    """The options after another CONNECT: fields that it leaves out keep their value."""
    return msgspec.structs.replace(options, **connect.fields)


def encode_info(fields: dict[str, object]) -> bytes:
    """The space before CRLF is nats-server's; some clients look for it."""
    return b"INFO %b \r\n" % msgspec.json.encode(fields)


def no_responders_header(subject: bytes) -> bytes:
    """The header block of the 503 that answers a request which nobody listens to."""
    return b"NATS/1.0 503\r\nNats-Subject: %b\r\n\r\n" % subject
