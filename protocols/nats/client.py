"""NATS client protocol, client role: what a server sends and what it may be sent. Not on the message path.

Commands that are typed wait for this module, so it imports little: JSON is the standard library's.
"""

import json
import re
from typing import NamedTuple

from protocols.cache import GenerationCache
from protocols.close_reason import CloseReason
from protocols.errors import MisuseError, PeerViolation
from protocols.nats.framing import Framing, parse_size, split_arguments, split_operation
from protocols.nats.head import PayloadHead
from protocols.nats.heartbeats import PING, PONG, Ping, Pong

OPERATIONS = frozenset((b"INFO", b"MSG", b"HMSG", b"PING", b"PONG", b"+OK", b"-ERR"))
# INFO carries the addresses of a whole cluster; servers allow their own peers the same.
MAX_CONTROL_LINE = 64 * 1024

HEADER_VERSION = b"NATS/1.0"
WHITE_SPACE = re.compile(rb"[\x00-\x20\x7f]")


class ServerInfo(NamedTuple):
    """The fields of INFO, as the server wrote them; it may send more than one."""

    fields: dict[str, object]


class Ok(NamedTuple):
    """Only in verbose mode."""


class ServerError(NamedTuple):
    """The text of -ERR without its quotes. Whether the server closes after it depends on the text."""

    text: str


class ClientDecoder(Framing):
    """Decodes what a NATS server sends. Events: Message, ServerInfo, Ping, Pong, Ok, ServerError, PeerViolation.

    `max_payload` bounds what is taken from the server, in bytes. A Message does not tell its sid.
    """

    __slots__ = ()

    def __init__(self, max_payload: int) -> None:
        # Stays empty: only heads that come with a ready-made tail are remembered.
        super().__init__(max_payload, MAX_CONTROL_LINE, GenerationCache(1), OPERATIONS, b"", b"", None)

    def parse_line(self, line: bytes) -> object:
        operation, rest = split_operation(line)
        if operation == b"MSG":
            return self._delivery(rest)
        if operation == b"HMSG":
            return self._delivery_with_header(rest)
        if operation == b"PING":
            return Ping()
        if operation == b"PONG":
            return Pong()
        if operation == b"+OK":
            return Ok()
        if operation == b"-ERR":
            return ServerError(rest.strip(b"'").decode("utf-8", "replace"))
        if operation == b"INFO":
            return self._info(rest)
        return self.unknown_operation()

    def _delivery(self, rest: bytes) -> object:
        arguments = split_arguments(rest)
        if len(arguments) not in (3, 4):
            return self._malformed("MSG", "takes a subject, a sid, an optional reply subject and a size")
        size = parse_size(arguments[-1])
        if size < 0:
            return self._malformed("MSG", "has a bad payload size")
        reply = arguments[2] if len(arguments) == 4 else b""
        return PayloadHead(arguments[0], reply, 0, size, 0)

    def _delivery_with_header(self, rest: bytes) -> object:
        arguments = split_arguments(rest)
        if len(arguments) not in (4, 5):
            return self._malformed("HMSG", "takes a subject, a sid, an optional reply subject and two sizes")
        header_size, size = parse_size(arguments[-2]), parse_size(arguments[-1])
        if header_size < 0 or size < header_size:
            return self._malformed("HMSG", "has bad sizes")
        reply = arguments[2] if len(arguments) == 5 else b""
        return PayloadHead(arguments[0], reply, header_size, size, 0)

    def _info(self, rest: bytes) -> object:
        try:
            fields = json.loads(rest)
        except (ValueError, RecursionError) as error:
            return self._malformed("INFO", f"is no valid JSON: {error}")
        if not isinstance(fields, dict):
            return self._malformed("INFO", "is no JSON object")
        return ServerInfo(fields)

    def _malformed(self, operation: str, complaint: str) -> PeerViolation:
        return self.violation(CloseReason.PROTOCOL_VIOLATION, f"{operation} {complaint}", b"")


def encode_connect(fields: dict[str, object]) -> bytes:
    return b"CONNECT %b\r\n" % json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def encode_publish(subject: bytes, payload: bytes, reply: bytes = b"", header: bytes = b"") -> bytes:
    """PUB, or HPUB when there is a header block. Raises MisuseError for a subject that no line can hold."""
    check_subject(subject)
    lead = b"%b %b" % (subject, check_subject(reply)) if reply else subject
    if header:
        return b"HPUB %b %d %d\r\n%b%b\r\n" % (lead, len(header), len(header) + len(payload), header, payload)
    return b"PUB %b %d\r\n%b\r\n" % (lead, len(payload), payload)


def encode_subscribe(subject: bytes, sid: bytes, queue: bytes = b"") -> bytes:
    """SUB. Raises MisuseError for a subject or a queue group that no line can hold."""
    check_subject(subject)
    lead = b"%b %b" % (subject, check_subject(queue)) if queue else subject
    return b"SUB %b %b\r\n" % (lead, sid)


def encode_unsubscribe(sid: bytes, maximum: int = 0) -> bytes:
    """`maximum` counts deliveries since SUB; 0 unsubscribes at once."""
    return b"UNSUB %b %d\r\n" % (sid, maximum) if maximum else b"UNSUB %b\r\n" % sid


def check_subject(subject: bytes) -> bytes:
    """The subject itself. Raises MisuseError if it is empty or holds white space or control characters."""
    if not subject or WHITE_SPACE.search(subject):
        raise MisuseError(f"{subject.decode('utf-8', 'replace')!r} is not a subject")
    return subject


def encode_header(fields: list[tuple[str, str]]) -> bytes:
    """The header block of `fields`, b"" for none. Raises MisuseError for a field that would break the block."""
    if not fields:
        return b""
    lines = [HEADER_VERSION]
    for key, value in fields:
        if not key or ":" in key or WHITE_SPACE.search(key.encode()) or "\r" in value or "\n" in value:
            raise MisuseError(f"{key!r}: {value!r} is not a header field")
        lines.append(f"{key}: {value}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


def read_status(header: bytes) -> tuple[int, str]:
    """Code and description of a header block's first line, such as 503; (0, "") where there is none."""
    first, _, _ = header.partition(b"\r\n")
    code, _, description = first.removeprefix(HEADER_VERSION).strip().partition(b" ")
    return (int(code), description.decode("utf-8", "replace").strip()) if code[:9].isdigit() else (0, "")


def read_header(header: bytes) -> list[tuple[str, str]]:
    """The fields of a header block, in order; what is no field is left out."""
    fields: list[tuple[str, str]] = []
    for line in header.split(b"\r\n")[1:]:
        key, colon, value = line.partition(b":")
        if key and colon:
            fields.append((key.decode("utf-8", "replace"), value.decode("utf-8", "replace").strip()))
    return fields


__all__ = [
    "PING",
    "PONG",
    "ClientDecoder",
    "Ok",
    "Ping",
    "Pong",
    "ServerError",
    "ServerInfo",
    "check_subject",
    "encode_connect",
    "encode_header",
    "encode_publish",
    "encode_subscribe",
    "encode_unsubscribe",
    "read_header",
    "read_status",
]
