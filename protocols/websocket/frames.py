"""Frames of a client: heads checked before anything is kept, payloads unmasked and put together (hot) [RFC 6455 5].

What frames mean for the connection, and the frames to the peer, are codec.py's.
"""

from codecs import IncrementalDecoder, getincrementaldecoder

from wsproto.frame_protocol import CloseReason as CloseCode

from protocols.websocket.compression import MessageDeflate
from protocols.websocket.control_frames import LARGEST_CONTROL_PAYLOAD, Ping, read_close
from protocols.websocket.errors import FrameError
from protocols.websocket.masking import KEY_SIZE, Unmasking

# The first byte of a head [RFC 6455 5.2]; RSV1 marks compressed messages [RFC 7692 6].
FIN = 0x80
RSV1 = 0x40
RESERVED = 0x70
OPCODE = 0x0F
CONTROL = 0x08
TEXT = 0x01
BINARY = 0x02
CLOSE = 0x08
PING = 0x09
PONG = 0x0A
WHOLE_BINARY = FIN | BINARY
OPCODES = frozenset((0x00, TEXT, BINARY, CLOSE, PING, PONG))
# The second byte: whether there is a key, and the size of the payload, or of the size that follows.
MASKED = 0x80
MEDIUM = 126
SHORTEST_HEAD = 2

# What a first byte can mean; which of these may come is all the state that there is between two frames.
ALWAYS = 0x01
GOES_ON = 0x02
BEGINS = 0x04
BEGINS_TEXT = 0x08
BEGINS_COMPRESSED = 0x10
BEGINS_COMPRESSED_TEXT = 0x20
WITHIN_MESSAGE = ALWAYS | GOES_ON


def kinds_of_frames() -> bytes:
    """By the first byte of a frame, which kind it is; 0 for what no frame begins with."""
    kinds = bytearray(256)
    for fin in (0, FIN):
        kinds[fin] = GOES_ON
        kinds[fin | BINARY] = BEGINS
        kinds[fin | TEXT] = BEGINS_TEXT
        kinds[fin | RSV1 | BINARY] = BEGINS_COMPRESSED
        kinds[fin | RSV1 | TEXT] = BEGINS_COMPRESSED_TEXT
    for opcode in (CLOSE, PING, PONG):
        kinds[FIN | opcode] = ALWAYS
    return bytes(kinds)


KINDS = kinds_of_frames()


class FrameDecoder:
    """Reads a client's frames; see `receive`. `deflate` is what compressed messages take, None where there are none.

    Nothing but a head or a control frame is ever held back: payload is given out as it comes.
    """

    __slots__ = (
        "_between",
        "_deflate",
        "_final",
        "_inflating",
        "_key",
        "_left",
        "_legal",
        "_pending",
        "_utf8",
        "stopped",
    )

    def __init__(self, takes_text: bool, deflate: MessageDeflate | None) -> None:
        self.stopped = False
        self._deflate = deflate
        # Which kinds of frames may come, and which ones between two messages.
        self._between = ALWAYS | BEGINS
        if takes_text:
            self._between |= BEGINS_TEXT
        if deflate is not None:
            self._between |= BEGINS_COMPRESSED | (BEGINS_COMPRESSED_TEXT if takes_text else 0)
        self._legal = self._between
        # The begin of a head or of a control frame.
        self._pending = b""
        # Of the data frame that is not whole: bytes to come, and the key, the next byte's first.
        self._left = 0
        self._key = b""
        # Of the message: whether this frame is its last one, whether it is compressed, and what checks its text.
        self._final = True
        self._inflating = False
        self._utf8: IncrementalDecoder | None = None

    def receive(self, data: bytes) -> list[object]:
        """First what the data frames held, joined, if there was any; then Ping, at the end Closed or FrameError.

        Frame borders are lost: NATS and MQTT are streams [MQTT-6.0.0-2].
        """
        events: list[object] = []
        if self.stopped:
            return events
        if self._pending:
            data = self._pending + data
            self._pending = b""
        pieces: list[bytes] = []
        run = Unmasking(len(data))
        try:
            self._decode(data, run, pieces, events)
        except FrameError as fault:
            self.stopped = True
            events.append(fault)
        pieces.append(run.take())
        application = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if application:
            events.insert(0, application)
        return events

    def _decode(self, data: bytes, run: Unmasking, pieces: list[bytes], events: list[object]) -> None:
        end = len(data)
        position = 0
        if self._left:
            position = self._take_payload(data, 0, end, self._key, 0, run, pieces)
        while end - position >= SHORTEST_HEAD:
            first = data[position]
            size = data[position + 1] - MASKED
            if size < 0 or not KINDS[first] & self._legal or (size > LARGEST_CONTROL_PAYLOAD and first & CONTROL):
                raise self._fault(first, size)
            start = position + SHORTEST_HEAD + KEY_SIZE
            if size >= MEDIUM:
                start += 2 if size == MEDIUM else 8
                if start - KEY_SIZE > end:
                    break
                size = read_size(data, position + SHORTEST_HEAD, start - KEY_SIZE)
            if start > end or (first & CONTROL and size > end - start):
                break
            if first & CONTROL:
                position = start + size
                self._take_control(first & OPCODE, data, start, position, events)
                if self.stopped:
                    return
                continue
            if first != WHOLE_BINARY:
                self._begin_frame(first, size)
            self._left = size
            position = self._take_payload(data, start, end, data, start - KEY_SIZE, run, pieces)
        if position < end:
            self._pending = data[position:]

    def _begin_frame(self, first: int, size: int) -> None:
        self._final = first >= FIN
        if first & OPCODE:
            self._legal = WITHIN_MESSAGE
            self._inflating = (first & RSV1) != 0
            self._utf8 = getincrementaldecoder("utf-8")() if first & OPCODE == TEXT else None
            if self._inflating and self._deflate is not None:
                self._deflate.begin()
        if self._inflating and self._deflate is not None:
            self._deflate.announce(size)

    def _take_payload(
        self, data: bytes, start: int, end: int, keys: bytes, key_at: int, run: Unmasking, pieces: list[bytes]
    ) -> int:
        """Take what `data[start:end]` holds of the frame's payload, whose key begins at `keys[key_at]`.

        Returns where the payload or the data ends.
        """
        stop = end if self._left > end - start else start + self._left
        self._left -= stop - start
        if self._inflating or self._utf8 is not None:
            if run.size:
                pieces.append(run.take())
            run.add(data, start, stop, keys, key_at)
            pieces.append(self._check_payload(run.take()))
        else:
            run.add(data, start, stop, keys, key_at)
        if self._left:
            turn = (stop - start) % KEY_SIZE
            self._key = keys[key_at + turn : key_at + KEY_SIZE] + keys[key_at : key_at + turn]
        elif self._final:
            self._legal = self._between
            self._inflating = False
            self._utf8 = None
        return stop

    def _check_payload(self, payload: bytes) -> bytes:
        """The payload inflated and found to be text, if that is what it should be."""
        ends = self._final and not self._left
        if self._inflating and self._deflate is not None:
            payload = self._deflate.inflate(payload, ends)
        if self._utf8 is not None:
            try:
                self._utf8.decode(payload, ends)
            except UnicodeDecodeError:
                raise FrameError(CloseCode.INVALID_FRAME_PAYLOAD_DATA, "text is not UTF-8") from None  # 8.1
        return payload

    def _take_control(self, opcode: int, data: bytes, start: int, stop: int, events: list[object]) -> None:
        """Append what a control frame says. A pong says nothing: like all that arrives it shows that the peer lives."""
        if opcode == PONG:
            return
        run = Unmasking(stop - start)
        run.add(data, start, stop, data, start - KEY_SIZE)
        payload = run.take()
        if opcode == PING:
            events.append(Ping(payload))
        else:
            events.append(read_close(payload))
            self.stopped = True

    def _fault(self, first: int, size: int) -> FrameError:
        """What is wrong with the first two bytes of a head; `size` is negative where the mask is missing."""
        opcode = first & OPCODE
        if opcode not in OPCODES:
            detail = f"opcode {opcode} is unknown"
        elif opcode & CONTROL and not first & FIN:  # 5.5
            detail = "control frame in fragments"
        elif opcode & CONTROL and size > LARGEST_CONTROL_PAYLOAD:
            detail = f"control frame of more than {LARGEST_CONTROL_PAYLOAD} bytes"
        elif size < 0:  # 5.1; nats-server's words, which peers know
            detail = "mask bit missing"
        elif KINDS[first & ~RESERVED] & self._legal:
            detail = "reserved bit set"
        elif opcode == 0:  # 5.4
            detail = "continuation of nothing"
        elif self._legal == WITHIN_MESSAGE:
            detail = "message within a message"
        else:
            return FrameError(CloseCode.UNSUPPORTED_DATA, "MQTT takes binary frames")  # [MQTT-6.0.0-1]
        return FrameError(CloseCode.PROTOCOL_ERROR, detail)


def read_size(data: bytes, start: int, stop: int) -> int:
    """The size of a payload that stands in two or eight bytes [RFC 6455 5.2]."""
    if stop - start > 2 and data[start] & 0x80:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "size with the highest bit")
    size = 0
    for i in range(start, stop):
        size = size << 8 | data[i]
    if size < (MEDIUM if stop - start == 2 else 1 << 16):
        raise FrameError(CloseCode.PROTOCOL_ERROR, "size that is not written the shortest way")
    return size
