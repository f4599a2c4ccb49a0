"""NATS framing, common to the client and the leafnode protocol: control lines, and payloads behind some of them (hot).

A subclass says what a control line means (`parse_line`), but the usual lines that announce a payload are read here.
Messages in a row with the same line make one Burst, at the cost of one comparison and one slice each.
"""

try:
    import cython
except ImportError:
    from protocols import form as cython

import sys

from protocols.cache import GenerationCache
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.message import LARGE, Buffer, Message
from protocols.nats.head import PayloadHead, read_head, scan_head
from protocols.nats.heartbeats import Ping, Pong
from protocols.scanning import begins_at, count_repeats, cut, find_byte, repeats_at

LF = 0x0A
CR = 0x0D
# The bit that tells lower from upper case, and letters in lower case.
LOWER, LETTER_P, LETTER_I, LETTER_O, LETTER_N, LETTER_G = 0x20, 0x70, 0x69, 0x6F, 0x6E, 0x67
# PING or PONG with its CR; no other operation is as short.
LONGEST_HEARTBEAT = 5

# Of header lines in one message, where nothing else is said.
MOST_HEADER_LINES = 1000
SHORTEST_LINE = 2
# A line that is read in the interpreter takes about as long as so many messages.
LINE_COST = 8
# The version before the lines of a header block, and the empty line behind them.
LINES_AROUND = 2
# More than anybody has; twice as much is a number of C still, on 32-bit machines too.
NO_LIMIT = min(1 << 40, sys.maxsize >> 1)

# A longer line is parsed anew each time: the cache is bounded in bytes, not only in entries.
LONGEST_REMEMBERED_LINE = 128
REMEMBERED_LINES = 4096
LONGEST_OPERATION = 8
# Known by their beginning alone, whatever follows it; so nats-server reads them.
NEEDING_NO_SPACE = (b"PING", b"PONG", b"+OK", b"INFO", b"CONNECT")


class Refused:
    """A message to or with a reply to a subject that is reserved or that clients cannot read: read and dropped."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message


class Framing:
    """Cuts a byte stream into messages and events; see `receive`.

    `max_payload` and `max_control_line` are in bytes; the latter counts a line without its operation. `operations`
    lists the operation names that the peer may use; `publish` and `publish_with_header` are those, with their
    space, that announce a payload without and with headers and name nothing but subject, reply and sizes (b"": there
    is none such), and `queues` is what their messages say of queue groups. `headed` is set once a message has come with
    headers. A header block of more than `max_header_lines` (0: no limit) is refused: it is cheap to send, and dear to
    whoever reads its lines. With `slice_size` each call decodes about so many messages, or fewer lines of other kinds:
    while `has_more`, `receive(b"")` goes on with what is there, after others have had their turn.
    """

    __slots__ = (
        "_cache",
        "_headed_prefix",
        "_heads",
        "_operations",
        "_pending",
        "_prefix",
        "_queues",
        "_rest",
        "_rest_from",
        "_room",
        "_short_header",
        "_wanted",
        "has_more",
        "headed",
        "headers",
        "max_control_line",
        "max_header_lines",
        "max_payload",
        "slice_size",
        "stopped",
    )

    def __init__(
        self,
        max_payload: int,
        max_control_line: int,
        cache: GenerationCache,
        operations: frozenset[bytes],
        publish: bytes,
        publish_with_header: bytes,
        queues: tuple[bytes, ...] | None,
        max_header_lines: int = 0,
    ) -> None:
        # Others may share it: what is too long here is not looked for.
        self._cache = cache
        self._heads = cache.young
        self.limit(max_payload, max_control_line, max_header_lines)
        self.headers = True
        self.headed = False
        self.stopped = False
        self._operations = operations
        self._prefix = publish
        self._headed_prefix = publish_with_header
        self._queues = queues
        self._pending: bytearray | None = None
        self._wanted = 0
        self.slice_size = NO_LIMIT
        # How much may still be decoded in this slice; and what is left for the next ones, from there on.
        self._room = 0
        self.has_more = False
        self._rest = b""
        self._rest_from = 0

    def limit(self, max_payload: int, max_control_line: int, max_header_lines: int = 0) -> None:
        """Change the limits for what comes."""
        self.max_payload = max_payload
        self.max_header_lines = max_header_lines
        # A block that is no longer holds no more lines, so that most need not be counted.
        self._short_header = max_header_lines * SHORTEST_LINE if max_header_lines else NO_LIMIT
        self.max_control_line = max_control_line

    def unfinished_bytes(self) -> int:
        """How many bytes are held back of a line or a message that is not complete."""
        return 0 if self._pending is None else len(self._pending)

    def parse_line(self, line: bytes) -> object:
        """What a control line (without its LF) means: a PayloadHead, an event, or None for nothing."""
        raise NotImplementedError

    def receive(self, data: bytes) -> list[object]:
        """Messages, bursts and events in the order in which they came; a PeerViolation is always the last of them."""
        events: list[object] = []
        position = 0
        self._room = NO_LIMIT
        if self.has_more:
            self.has_more = False
            position = self._rest_from
            if data:
                self._rest = self._rest[position:] + data
                position = 0
            data, self._rest = self._rest, b""
        elif self._pending is not None:
            position = self._resume(data, events)
        if not self.stopped:
            self._room = self.slice_size
            self._decode(data, position, events)
        return events

    def _resume(self, data: bytes, events: list[object]) -> int:
        """Go on with what is held back, a line or a message; returns where in `data` the next one begins."""
        position = 0
        while self._pending is not None:
            pending = self._pending
            held = len(pending)
            if self._wanted:
                stop = position + self._wanted - held
            else:
                line_end = data.find(b"\n", position)
                stop = line_end + 1 if line_end >= 0 else len(data) + 1
            pending += data[position:stop]
            if stop > len(data):
                if not self._wanted:
                    events.extend(self._check_partial_line())
                return len(data)
            position = stop
            self._pending = None
            self._wanted = 0
            self._decode(bytes(pending), 0, events)
        return position

    def _decode(self, data: bytes, position: int, events: list[object]) -> None:
        """Append what `data` holds from `position` on; hold back an incomplete end."""
        end = len(data)
        while not self._wanted:
            self._room -= 1
            if self._room < 0 and position < end:
                # What waits for another slice is not copied for each of them.
                self._rest, self._rest_from, self.has_more = data, position, True
                return
            if cython.compiled:
                # Mostly messages follow each other: their lines are read in one pass, and others looked at again.
                head = self._scan_head(data, position, end)
                if head is not None:
                    position = self._read_payload(head, data, position, head.line_end, events)
                    if self.stopped:
                        return
                    continue
            line_end = find_byte(data, LF, position, end) if cython.compiled else data.find(b"\n", position)
            if line_end < 0:
                break
            if line_end - position <= LONGEST_HEARTBEAT and is_heartbeat(data, position, line_end):
                position = read_heartbeats(data, position, line_end, events)
                continue
            head = self._find_head(data, position, line_end)
            if head is None:
                head = self._read_line(cut(data, position, line_end), events)
            if head is None:
                position = line_end + 1
            else:
                position = self._read_payload(head, data, position, line_end, events)
            if self.stopped:
                return
        if position < end:
            self._pending = bytearray(data[position:])
            if not self._wanted:
                events.extend(self._check_partial_line())

    def _read_payload(self, head: PayloadHead, data: bytes, position: int, line_end: int, events: list[object]) -> int:
        """Append the message whose line begins at `position`, or all that follow each other with that line.

        Returns where they end; of an incomplete message only the size is noted, in `_wanted`.
        """
        end = len(data)
        stop = line_end + 3 + head.size
        if head.header_size:
            self.headed = True
        if head.size > self.max_payload or (head.header_size and not self.headers):
            events.append(self._refuse_payload(head))
        elif stop > end:
            self._wanted = stop - position
            return position
        elif data[stop - 2] != CR or data[stop - 1] != LF:
            events.append(self.parse_error("payload does not end with CRLF"))
        elif head.header_size > self._short_header and self._has_too_many_lines(head, data, line_end + 1):
            events.append(self._refuse_header())
        elif not head.tail_size:
            events.append(self._uncommon_event(head, cut(data, line_end + 1, stop)))
        elif (
            not head.reply
            and head.header_size <= self._short_header
            and (
                head.size >= LARGE
                or (
                    repeats_at(data, position, line_end + 1 - position, stop, end)
                    if cython.compiled
                    else data.startswith(data[position : line_end + 1], stop)
                )
            )
        ):
            contents: list[Buffer] = []
            if not head.line:
                head.line = cut(data, position, line_end + 1)
            stop = head.read_burst(data, position, end, contents)
            events.append(head.burst(contents))
        else:
            events.append(head.message(data, line_end, stop))
        return stop

    def _has_too_many_lines(self, head: PayloadHead, data: bytes, start: int) -> bool:
        return data.count(b"\n", start, start + head.header_size) > self.max_header_lines + LINES_AROUND

    def reserved_event(self, message: Message) -> object:
        """The event for a message whose head is `reserved`."""
        return Refused(message)

    def _uncommon_event(self, head: PayloadHead, payload: bytes) -> object:
        """The event for a line that was not written the canonical way or is reserved; `payload` ends with CRLF."""
        message = Message(head.subject, head.reply, head.header_size, head.size, None, head.queues)
        message.set_body(payload[:-2])
        return self.reserved_event(message) if head.reserved else message

    def _scan_head(self, data: bytes, position: int, end: int) -> PayloadHead | None:
        """The head of a message without a header whose line begins at `position`, if it is written the usual way."""
        if not self._prefix or not begins_at(data, position, end, self._prefix):
            return None
        most = position + self.max_control_line + 1
        return scan_head(data, position + len(self._prefix), end if end < most else most, self._queues)

    def _find_head(self, data: bytes, position: int, line_end: int) -> PayloadHead | None:
        """The head that a line makes which is written the usual way, else None."""
        size = line_end - position
        if size > self.max_control_line or not self._prefix:
            return None
        if not cython.compiled:
            # For the interpreter it is less work to remember what a line parsed to than to parse it.
            line = data[position:line_end]
            head: PayloadHead | None = self._heads.get(line) or self._cache.recall(line)
            if head is not None:
                return head
        if begins_at(data, position, line_end, self._prefix):
            head = read_head(data, position + len(self._prefix), line_end, False, self._queues)
        elif begins_at(data, position, line_end, self._headed_prefix):
            head = read_head(data, position + len(self._headed_prefix), line_end, True, self._queues)
        else:
            return None
        if cython.compiled or head is None or head.reply or size > LONGEST_REMEMBERED_LINE:
            return head
        if self._cache.is_familiar(line):
            self._cache.remember(line, head)
        return head

    def _read_line(self, line: bytes, events: list[object]) -> PayloadHead | None:
        """The head of a payload, or None after appending the event that the line stands for, if any."""
        if len(line) > self.max_control_line:
            _, arguments = split_operation(line)
            if len(arguments) > self.max_control_line:
                events.append(self._refuse_line())
                return None
        self._room -= LINE_COST
        event = self.parse_line(line)
        if isinstance(event, PayloadHead):
            return event
        if event is not None:
            events.append(event)
        return None

    def _check_partial_line(self) -> list[object]:
        """A violation if no continuation could make a legal line out of what is held back."""
        pending = self._pending
        if pending is None or self._wanted or self.stopped:
            return []
        start = bytes(pending[: LONGEST_OPERATION + 1]).upper().replace(b"\t", b" ")
        operation, space, _ = start.partition(b" ")
        operation = operation.rstrip(b"\r")
        if space:
            known = operation in self._operations
        else:
            known = any(name.startswith(operation) for name in self._operations)
        known = known or operation.startswith(NEEDING_NO_SPACE)
        if not known:
            return [self.unknown_operation()]
        if len(pending) > self.max_control_line + LONGEST_OPERATION + 1:
            return [self._refuse_line()]
        return []

    def _refuse_line(self) -> PeerViolation:
        return self.violation(
            CloseReason.MAXIMUM_CONTROL_LINE_EXCEEDED,
            f"control line is longer than {self.max_control_line} bytes",
            encode_error("maximum control line exceeded"),
        )

    def _refuse_payload(self, head: PayloadHead) -> PeerViolation:
        if head.size > self.max_payload:
            return self.violation(
                CloseReason.MAXIMUM_PAYLOAD_EXCEEDED,
                f"payload of {head.size} bytes is longer than {self.max_payload}",
                encode_error("Maximum Payload Violation"),
            )
        return self.violation(CloseReason.PROTOCOL_VIOLATION, "headers were not agreed on", b"")

    def _refuse_header(self) -> PeerViolation:
        """nats-server has no such limit; of what it says this comes nearest."""
        return self.violation(
            CloseReason.MAXIMUM_PAYLOAD_EXCEEDED,
            f"the header has more than {self.max_header_lines} lines",
            encode_error("Maximum Payload Violation"),
        )

    def unknown_operation(self) -> PeerViolation:
        return self.parse_error("unknown protocol operation")

    def parse_error(self, detail: str) -> PeerViolation:
        return self.violation(CloseReason.PARSE_ERROR, detail, encode_error("Unknown Protocol Operation"))

    def violation(self, reason: CloseReason, detail: str, farewell: bytes) -> PeerViolation:
        """End the stream: later input is ignored."""
        self.stopped = True
        self._pending = None
        return PeerViolation(reason, detail, farewell)


def is_heartbeat(data: bytes, position: int, line_end: int) -> bool:
    """Whether a line is PING or PONG, in upper or lower case and with or without its CR, and nothing else."""
    size = line_end - position
    if size == LONGEST_HEARTBEAT and data[line_end - 1] == CR:
        size -= 1
    if size != LONGEST_HEARTBEAT - 1 or data[position] | LOWER != LETTER_P:
        return False
    second = data[position + 1] | LOWER
    return (
        second in (LETTER_I, LETTER_O)
        and data[position + 2] | LOWER == LETTER_N
        and data[position + 3] | LOWER == LETTER_G
    )


def read_heartbeats(data: bytes, position: int, line_end: int, events: list[object]) -> int:
    """Append one Ping and one Pong for all that stand in a row from this line on; returns where they end.

    In which order they came is lost: no answer depends on it.
    """
    end = len(data)
    pings = pongs = 0
    while line_end >= 0 and is_heartbeat(data, position, line_end):
        size = line_end + 1 - position
        count = count_repeats(data, position, size)
        if data[position + 1] | LOWER == LETTER_I:
            pings += count
        else:
            pongs += count
        position += count * size
        longest = position + LONGEST_HEARTBEAT + 1
        line_end = find_byte(data, LF, position, longest if longest < end else end)
    if pings:
        events.append(Ping(pings))
    if pongs:
        events.append(Pong(pongs))
    return position


def encode_error(text: str) -> bytes:
    return b"-ERR '%b'\r\n" % text.encode()


def split_arguments(text: bytes) -> list[bytes]:
    """The arguments of a control line; separators are runs of space and tab."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    parts = text.split(b" ")
    return [part for part in parts if part] if b"" in parts else parts


def split_operation(line: bytes) -> tuple[bytes, bytes]:
    """The upper-case operation, with which the line must begin, and the rest without separators around it."""
    operation, _, rest = line.rstrip(b"\r").replace(b"\t", b" ", 1).partition(b" ")
    return operation.upper(), rest.strip(b" \t")


def parse_size(token: bytes) -> int:
    """A size of at most nine decimal digits, or -1."""
    if len(token) > 9 or not token.isdigit():
        return -1
    return int(token)
