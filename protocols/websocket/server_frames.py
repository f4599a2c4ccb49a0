"""Frames of a server, as a client reads them [RFC 6455 5]: no mask, and binary data alone.

A hub puts a whole batch into each frame, so there are few of them; a client's many small ones are frames.py's.
"""

from protocols.websocket.close_codes import CloseCode
from protocols.websocket.control_frames import LARGEST_CONTROL_PAYLOAD, Pings, read_close
from protocols.websocket.errors import FrameError

# As in frames.py, where they are C constants that nobody can import.
FIN = 0x80
RESERVED = 0x70
OPCODE = 0x0F
CONTROL = 0x08
TEXT = 0x01
BINARY = 0x02
CLOSE = 0x08
PING = 0x09
OPCODES = frozenset((0x00, TEXT, BINARY, CLOSE, PING, 0x0A))
WHOLE_BINARY = FIN | BINARY
MASKED = 0x80
MEDIUM = 126
SHORTEST_HEAD = 2
MOST_PINGS_ANSWERED = 64
# So many frames are read in one go.
FRAMES_AT_ONCE = 2048


class ServerFrameDecoder:
    """Reads a server's frames; see `receive`. Nothing but a head or a control frame is ever held back; of many small
    frames the rest, while `has_more`: then `receive(b"")` goes on.
    """

    __slots__ = ("_in_message", "_left", "_pending", "has_more", "stopped")

    def __init__(self) -> None:
        self.stopped = self.has_more = False
        self._pending = b""
        # Bytes of the data frame's payload that are still to come, and whether its message goes on behind them.
        self._left = 0
        self._in_message = False

    def receive(self, data: bytes) -> list[object]:
        """First what the data frames held, joined, if there was any; then Pings, at the end Closed or FrameError."""
        if self.stopped:
            return []
        pieces: list[bytes] = []
        pings: list[bytes] = []
        endings: list[object] = []
        if self._pending:
            data = self._pending + data
            self._pending = b""
        try:
            self._decode(data, pieces, pings, endings)
        except FrameError as fault:
            endings.append(fault)
        self.stopped = bool(endings)
        self.has_more = self.has_more and not self.stopped
        events: list[object] = []
        if pieces:
            events.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if pings:
            events.append(Pings(tuple(pings[-MOST_PINGS_ANSWERED:]), len(pings)))
        return events + endings

    def _decode(self, data: bytes, pieces: list[bytes], pings: list[bytes], endings: list[object]) -> None:
        position, end = 0, len(data)
        left = FRAMES_AT_ONCE
        self.has_more = False
        while position < end:
            if self._left:
                piece = data[position : position + self._left]
                self._left -= len(piece)
                position += len(piece)
                pieces.append(piece)
                continue
            if end - position < SHORTEST_HEAD:
                break
            if not left:
                self.has_more = True
                break
            left -= 1
            first, size = data[position], data[position + 1]
            self._check(first, size)
            start = position + SHORTEST_HEAD
            if size >= MEDIUM:
                start += 2 if size == MEDIUM else 8
                if start > end:
                    break
                size = _read_size(data[position + SHORTEST_HEAD : start])
            if not first & CONTROL:
                self._in_message = not first & FIN
                self._left = size
                position = start
                continue
            if size > end - start:
                break
            position = start + size
            opcode = first & OPCODE
            if opcode == PING:
                pings.append(data[start:position])
            elif opcode == CLOSE:
                endings.append(read_close(data[start:position]))
                return
        self._pending = data[position:]

    def _check(self, first: int, size: int) -> None:
        """Raises FrameError for a head that must not come now."""
        opcode = first & OPCODE
        detail = ""
        if opcode not in OPCODES:
            detail = f"opcode {opcode} is unknown"
        elif first & RESERVED:
            detail = "reserved bit set"
        elif size & MASKED:  # 5.1
            detail = "a server's frame with a mask"
        elif opcode & CONTROL:
            if not first & FIN:  # 5.5
                detail = "control frame in fragments"
            elif size > LARGEST_CONTROL_PAYLOAD:
                detail = f"control frame of more than {LARGEST_CONTROL_PAYLOAD} bytes"
        elif opcode == TEXT:
            raise FrameError(CloseCode.UNSUPPORTED_DATA, "text where only binary frames are expected")
        elif (opcode == BINARY) == self._in_message:  # 5.4
            detail = "message within a message" if self._in_message else "continuation of nothing"
        if detail:
            raise FrameError(CloseCode.PROTOCOL_ERROR, detail)


def _read_size(field: bytes) -> int:
    """The size of a payload that stands in two or eight bytes [RFC 6455 5.2]. Raises FrameError."""
    size = int.from_bytes(field, "big")
    if size >> 63:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "size with the highest bit")
    if size < (MEDIUM if len(field) == 2 else 1 << 16):
        raise FrameError(CloseCode.PROTOCOL_ERROR, "size that is not written the shortest way")
    return size
