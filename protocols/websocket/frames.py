"""Frames of a client: heads checked before anything is kept, payloads unmasked and put together (hot) [RFC 6455 5].

What frames mean for the connection, and the frames to the peer, are codec.py's.
"""

from codecs import IncrementalDecoder, getincrementaldecoder

from protocols.websocket.close_codes import CloseCode
from protocols.websocket.compression import INFLATER_BYTES, MessageDeflate
from protocols.websocket.control_frames import LARGEST_CONTROL_PAYLOAD, Pings, read_close
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
# A session may take a thousand times as long as zlib to act on what is inflated.
SLICE_BYTES = 8192
# What inflating a piece costs beside its bytes, in bytes: a batch may hold many small messages.
PIECE_COST = 256
# What a frame costs, in bytes that are inflated.
FRAME_COST = 2
MOST_PINGS_ANSWERED = 64

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

    Nothing but a head or a control frame is ever held back: payload is given out as it comes. But what is compressed
    may hold a thousand times its size: of that each call gives out `slice_size` bytes or so, of many small frames
    fewer, and `has_more` says that there is another slice.
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
        "_pending_from",
        "_room",
        "_slice_size",
        "_utf8",
        "has_more",
        "stopped",
    )

    def __init__(self, takes_text: bool, deflate: MessageDeflate | None, slice_size: int = SLICE_BYTES) -> None:
        self.stopped = False
        self.has_more = False
        self._deflate = deflate
        # Which kinds of frames may come, and which ones between two messages.
        self._between = ALWAYS | BEGINS
        if takes_text:
            self._between |= BEGINS_TEXT
        if deflate is not None:
            self._between |= BEGINS_COMPRESSED | (BEGINS_COMPRESSED_TEXT if takes_text else 0)
        self._legal = self._between
        # From there on: the begin of a head or of a control frame, or all that is left for the next slices.
        self._pending = b""
        self._pending_from = 0
        # How much may still be inflated in this slice.
        self._room = 0
        self._slice_size = slice_size
        # Of the data frame that is not whole: bytes to come, and the key, the next byte's first.
        self._left = 0
        self._key = b""
        # Of the message: whether this frame is its last one, whether it is compressed, and what checks its text.
        self._final = True
        self._inflating = False
        self._utf8: IncrementalDecoder | None = None

    def unfinished_bytes(self) -> int:
        """About how many bytes are kept because something is not complete."""
        return len(self._pending) - self._pending_from + (INFLATER_BYTES if self._inflating else 0)

    def receive(self, data: bytes) -> list[object]:
        """First what the data frames held, joined, if there was any; then Pings, at the end Closed or FrameError.

        While `has_more`, `receive(b"")` goes on. Frame borders are lost: NATS and MQTT are streams [MQTT-6.0.0-2].
        """
        events: list[object] = []
        if self.stopped:
            return events
        position = 0
        if self._pending:
            if data:
                data = self._pending[self._pending_from :] + data
            else:
                data, position = self._pending, self._pending_from
            self._pending = b""
            self._pending_from = 0
        pieces: list[bytes] = []
        pings: list[int] = []
        endings: list[object] = []
        run = Unmasking(len(data) - position)
        self._room = self._slice_size
        try:
            self._decode(data, position, run, pieces, pings, endings)
        except FrameError as fault:
            self.stopped = True
            endings.append(fault)
        if self.stopped:
            self.has_more = False
        pieces.append(run.take())
        application = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if application:
            events.append(application)
        if pings:
            events.append(read_pings(data, pings))
        return events + endings

    def _decode(
        self,
        data: bytes,
        position: int,
        run: Unmasking,
        pieces: list[bytes],
        pings: list[int],
        endings: list[object],
    ) -> None:
        end = len(data)
        self._go_on(pieces)
        if self._left and position < end and self._room > 0:
            position = self._take_payload(data, position, end, self._key, 0, run, pieces)
        while end - position >= SHORTEST_HEAD and self._room > 0:
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
                self._take_control(first & OPCODE, data, start, position, pings, endings)
                if self.stopped:
                    return
            else:
                if first != WHOLE_BINARY:
                    self._begin_frame(first, size)
                self._left = size
                position = self._take_payload(data, start, end, data, start - KEY_SIZE, run, pieces)
            self._room -= FRAME_COST
        self.has_more = self._room <= 0
        if position < end:
            # What waits for another slice is not copied for each of them.
            self._pending = data if self.has_more else data[position:]
            self._pending_from = position if self.has_more else 0

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
            pieces.append(self._check_payload(run.take(), True))
        else:
            run.add(data, start, stop, keys, key_at)
        if self._left:
            turn = (stop - start) % KEY_SIZE
            self._key = keys[key_at + turn : key_at + KEY_SIZE] + keys[key_at : key_at + turn]
        elif self._final and not self._holds_back():
            self._end_message()
        return stop

    def _go_on(self, pieces: list[bytes]) -> None:
        """Inflate more of what is there already."""
        if self._holds_back():
            pieces.append(self._check_payload(b"", False))
            if self._final and not self._left and not self._holds_back():
                self._end_message()

    def _holds_back(self) -> bool:
        """Whether the message is not inflated as far as it is there."""
        return self._inflating and self._deflate is not None and self._deflate.has_more

    def _end_message(self) -> None:
        self._legal = self._between
        if self._inflating and self._deflate is not None:
            self._deflate.end()
        self._inflating = False
        self._utf8 = None

    def _check_payload(self, payload: bytes, is_new: bool) -> bytes:
        """The payload inflated, as far as there is room, and found to be text, if that is what it should be."""
        ends = self._final and not self._left
        if self._inflating and self._deflate is not None:
            payload = self._deflate.inflate(payload, ends and is_new, self._room)
            # There is no room left where some is held back.
            self._room -= len(payload) + PIECE_COST
            ends = ends and not self._deflate.has_more
        if self._utf8 is not None:
            try:
                self._utf8.decode(payload, ends)
            except UnicodeDecodeError:
                raise FrameError(CloseCode.INVALID_FRAME_PAYLOAD_DATA, "text is not UTF-8") from None  # 8.1
        return payload

    def _take_control(
        self, opcode: int, data: bytes, start: int, stop: int, pings: list[int], endings: list[object]
    ) -> None:
        """Append what a control frame says, of a ping where its payload begins and ends.

        A pong says nothing: like all that arrives it shows that the peer lives.
        """
        if opcode == PING:
            pings.append(start)
            pings.append(stop)
        elif opcode == CLOSE:
            self.stopped = True
            endings.append(read_close(read_control(data, start, stop)))

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


def read_control(data: bytes, start: int, stop: int) -> bytes:
    """The payload of a control frame, which stands there behind its key."""
    run = Unmasking(stop - start)
    run.add(data, start, stop, data, start - KEY_SIZE)
    return run.take()


def read_pings(data: bytes, places: list[int]) -> Pings:
    """What pings say whose payloads begin and end at these places in turn."""
    last = places[-2 * MOST_PINGS_ANSWERED :]
    payloads = [read_control(data, last[i], last[i + 1]) for i in range(0, len(last), 2)]
    return Pings(tuple(payloads), len(places) // 2)


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
