"""Frames of the serial link: layout, check sum, escaping, and finding them in what a line carries.

README.md section 2 is the specification. What is no frame comes out as text where it reads as text, else as damage.
"""

import struct
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

END = b"\xc0"
ESCAPE = b"\xc1"
FLIP = 0x20
VERSION = 0x10
HEADER_SIZE = 4
CHECK_SIZE = 4
# Header, check sum and the END behind them.
OVERHEAD = HEADER_SIZE + CHECK_SIZE + 1
LARGEST_PAYLOAD = 4096
LONGEST_LINE = 1024

# What a terminal may print; ESC opens colour codes of boot logs.
PRINTABLE = bytes((*range(0x07, 0x0E), 0x1B, *range(0x20, 0x7F)))
ESCAPED_ALWAYS = END + ESCAPE
# Consoles act on control characters (Ctrl-C stops a program, XOFF stops the line), so a peer may want none of them.
ESCAPED_FOR_CONSOLES = ESCAPED_ALWAYS + bytes(range(0x20))

HELLO_MAGIC = b"NL1"
HELLO_FIELDS = struct.Struct("<3sBIIHHHB")
LONGEST_NAME = 64


class FrameType(IntEnum):
    HELLO = 0
    DATA = 1
    ACK = 2
    PING = 3
    PONG = 4
    BAUD = 5
    BYE = 6


FRAME_TYPES = {int(kind): kind for kind in FrameType}


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose check sum held. `credit` is in bytes."""

    type: FrameType
    seq: int
    ack: int
    credit: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """What the line carried outside frames: a boot log, a prompt, a line of a device that only prints."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that were neither; `size` of them."""

    size: int


LineEvent: TypeAlias = Frame | Text | Damage


@dataclass(frozen=True, slots=True)
class Hello:
    """Payload of HELLO. `sid` 0 only asks who is there; `peer_sid` 0 stands for not known."""

    sid: int
    peer_sid: int
    mtu: int
    receive_buffer: int
    name: str = ""
    wants_answer: bool = True
    console: bool = False
    changes_baud: bool = False

    def encode(self) -> bytes:
        name = self.name.encode()[:LONGEST_NAME]
        capabilities = self.console | self.changes_baud << 1
        return (
            HELLO_FIELDS.pack(
                HELLO_MAGIC,
                self.wants_answer,
                self.sid,
                self.peer_sid,
                self.mtu,
                self.receive_buffer,
                capabilities,
                len(name),
            )
            + name
        )


def decode_hello(payload: bytes) -> Hello | None:
    """None for what is no HELLO of this protocol. Bytes behind the name are for later versions."""
    if len(payload) < HELLO_FIELDS.size:
        return None
    magic, flags, sid, peer_sid, mtu, receive_buffer, capabilities, length = HELLO_FIELDS.unpack_from(payload)
    name = payload[HELLO_FIELDS.size : HELLO_FIELDS.size + length]
    if magic != HELLO_MAGIC or len(name) != length or length > LONGEST_NAME or mtu == 0:
        return None
    return Hello(
        sid,
        peer_sid,
        mtu,
        receive_buffer,
        name.decode(errors="replace"),
        wants_answer=bool(flags & 1),
        console=bool(capabilities & 1),
        changes_baud=bool(capabilities & 2),
    )


def encode_frame(
    kind: FrameType, seed: int, seq: int, ack: int, credit: int, payload: bytes, console: bool = False
) -> bytes:
    """The wire bytes of a frame, END behind it. `credit` in bytes; `console`: with no control character in them."""
    body = bytes((VERSION | kind, seq, ack, min(credit // 64, 255))) + payload
    body += crc32(body, seed).to_bytes(CHECK_SIZE, "little")
    return escape(body, ESCAPED_FOR_CONSOLES if console else ESCAPED_ALWAYS) + END


def escape(body: bytes, special: bytes = ESCAPED_ALWAYS) -> bytes:
    """Replace each special byte by ESCAPE and the byte with bit 5 flipped."""
    if len(special) == len(ESCAPED_ALWAYS):
        return body.replace(ESCAPE, b"\xc1\xe1").replace(END, b"\xc1\xe0")
    return b"".join(ESCAPE + bytes((byte ^ FLIP,)) if byte in special else bytes((byte,)) for byte in body)


def unescape(wire: bytes) -> bytes | None:
    """What `escape` was given, for any set of special bytes; None when an ESCAPE stands last."""
    if ESCAPE not in wire:
        return wire
    first, *rest = wire.split(ESCAPE)
    if not all(rest):
        return None
    return first + b"".join(bytes((part[0] ^ FLIP,)) + part[1:] for part in rest)


class FrameDecoder:
    """Finds frames in a byte stream. `seed` checks every frame but HELLO, whose seed is 0; None: none can be valid.

    `mtu` is the largest payload that passes; work and memory stay in proportion to it.
    """

    def __init__(self, mtu: int, seed: int | None = None) -> None:
        self.seed = seed
        self._limit = 2 * (max(mtu, HELLO_FIELDS.size + LONGEST_NAME) + OVERHEAD)
        self._partial = b""
        self._lost = 0  # Bytes of a chunk that is too long to be a frame.

    def receive(self, data: bytes) -> Iterator[LineEvent]:
        """What is complete, one by one: a HELLO may change `seed` for what follows it. Exhaust it."""
        *chunks, rest = data.split(END)
        for chunk in chunks:
            whole, self._partial = self._partial + chunk, b""
            if self._lost:
                yield Damage(self._lost + len(whole))
                self._lost = 0
                continue
            lines, frame = cut_lines(whole, ended=True)
            yield from map(judge, lines)
            if frame:
                yield self._check(frame) if len(frame) <= self._limit else Damage(len(frame))
        rest = self._partial + rest
        if self._lost:
            self._lost += len(rest)
            return
        lines, self._partial = cut_lines(rest, ended=False)
        yield from map(judge, lines)
        if len(self._partial) > self._limit and starts_frame(self._partial[0]):
            self._lost, self._partial = len(self._partial), b""

    def _check(self, chunk: bytes) -> LineEvent:
        body = unescape(chunk)
        if body is None or len(body) < HEADER_SIZE + CHECK_SIZE:
            return Damage(len(chunk))
        kind = FRAME_TYPES.get(body[0] - VERSION)
        seed = 0 if kind is FrameType.HELLO else self.seed
        content = body[:-CHECK_SIZE]
        if kind is None or seed is None or crc32(content, seed) != int.from_bytes(body[-CHECK_SIZE:], "little"):
            return Damage(len(chunk))
        return Frame(kind, body[1], body[2], body[3] * 64, content[HEADER_SIZE:])


def cut_lines(chunk: bytes, *, ended: bool) -> tuple[list[bytes], bytes]:
    """The lines before what may be a frame, with their ends and none longer than LONGEST_LINE; and what is behind them.

    `ended`: nothing more belongs to `chunk`, so that its last line is whole.
    """
    lines: list[bytes] = []
    at = 0
    while at < len(chunk) and not starts_frame(chunk[at]):
        end = chunk.find(b"\n", at, at + LONGEST_LINE) + 1 or at + LONGEST_LINE
        if end > len(chunk) and not ended:
            break
        lines.append(chunk[at:end])
        at = end
    return lines, chunk[at:]


def starts_frame(first: int) -> bool:
    """Frames start with a control character of their own, or with an escaped one: no line of text does."""
    return first == ESCAPE[0] or first - VERSION in FRAME_TYPES


def judge(line: bytes) -> Text | Damage:
    return Text(line) if is_text(line) else Damage(len(line))


def is_text(data: bytes) -> bool:
    foreign = data.translate(None, PRINTABLE)
    if not foreign:
        return True
    if min(foreign) < 0x80:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
