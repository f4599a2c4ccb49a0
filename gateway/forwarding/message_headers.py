"""The header block of a message that waits for a hub: what it is stored with, and what it is sent with."""

import time

from protocols.nats.headers import find_field

VERSION_LINE = b"NATS/1.0\r\n"
LINE_END = b"\r\n"
MESSAGE_ID = b"Nats-Msg-Id"
# What tells a stream how to take a message is said by who brings it there; the id that its publisher gave is kept.
OURS = (b"nats-msg-id:", b"nats-expected-", b"leafgate-")
PUBLISHERS_ID = b"Leafgate-Msg-Id"
NANOSECONDS = 1_000_000_000


def stored_header(header: bytes, user: str) -> bytes:
    """The block to store: what the publisher sent without what is for us to say, and who the publisher is."""
    if not header:
        return b"%bLeafgate-User: %b\r\n\r\n" % (VERSION_LINE, header_value(user)) if user else b""
    version, _, rest = header.partition(LINE_END)
    lines = [version, *(line for line in rest.split(LINE_END) if line and not line.lower().startswith(OURS))]
    identifier = find_field(header, MESSAGE_ID)
    if identifier:
        lines.append(b"%b: %b" % (PUBLISHERS_ID, identifier))
    if user:
        lines.append(b"Leafgate-User: %b" % header_value(user))
    return LINE_END.join(lines) + LINE_END + LINE_END


def header_value(text: str) -> bytes:
    """A text as one line of a header: what would end the line is left out."""
    return "".join(one for one in text if one.isprintable()).encode("utf-8", "replace")


class SentHeaders:
    """Makes the blocks that messages are sent with; it remembers how the last second is written."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def make(self, stored: bytes, time_ns: int, identifier: bytes, expected: bytes) -> bytes:
        """A stored block with id and time of reception (RFC 3339, UTC); `expected` is a whole line, or b""."""
        second, rest = divmod(time_ns, NANOSECONDS)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        begin = stored[:-2] if stored else VERSION_LINE
        return b"%bNats-Msg-Id: %b\r\n%bLeafgate-Time: %b.%09dZ\r\n\r\n" % (
            begin,
            identifier,
            expected,
            self._text,
            rest,
        )


def expect_last_id(identifier: bytes) -> bytes:
    """The stream's last message has this id."""
    return b"Nats-Expected-Last-Msg-Id: %b\r\n" % identifier


def expect_last_of_subject(sequence: int) -> bytes:
    """The stream's last message on the subject has this sequence; 0 where there is none."""
    return b"Nats-Expected-Last-Subject-Sequence: %d\r\n" % sequence


def expect_last_sequence(sequence: int) -> bytes:
    """The stream's last message has this sequence; 0 for a stream that never had one."""
    return b"Nats-Expected-Last-Sequence: %d\r\n" % sequence
