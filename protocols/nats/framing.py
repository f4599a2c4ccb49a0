"""NATS framing, common to the client and the leafnode protocol: control lines, and payloads behind some of them (hot).

A subclass says what a control line means (`parse_line`). Lines that announce a payload repeat from message to message,
so what they parsed to is remembered by the whole line; messages in a row with the same line make one Burst, at the cost
of one comparison and one slice each.
"""

try:
    import cython
except ImportError:
    from protocols import form as cython

from protocols.cache import GenerationCache
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.message import LARGE, Buffer, Burst, Message

LF = 10
CR = 13
# A longer line is parsed anew each time: the cache is bounded in bytes, not only in entries.
LONGEST_REMEMBERED_LINE = 128
REMEMBERED_LINES = 4096
LONGEST_OPERATION = 8


class PayloadHead:
    """A parsed control line that announces a payload of `size` bytes, the first `header_size` of them headers.

    `tail_size` counts the bytes at the end of the line (`[reply ][header size ]size\\r`) with which the message's wire
    tail begins; 0 when the line was not written the canonical way and the tail has to be made. A head that is
    `reserved` (and has no `tail_size`) names a subject with a meaning of its own: see `Framing.reserved_event`. `line`
    is the whole line with its LF for a head that is remembered.
    """

    __slots__ = ("header_size", "line", "queues", "reply", "reserved", "size", "subject", "tail_size")

    def __init__(
        self,
        subject: bytes,
        reply: bytes,
        header_size: int,
        size: int,
        tail_size: int,
        queues: tuple[bytes, ...] | None = None,
    ) -> None:
        self.subject = subject
        self.reply = reply
        self.header_size = header_size
        self.size = size
        self.tail_size = tail_size
        self.queues = queues
        self.reserved = False
        self.line = b""

    def message(self, tail: bytes) -> Message:
        """The message that the head announces. Filled in here: a call with arguments costs more than all the rest."""
        message = Message.__new__(Message)
        message.subject = self.subject
        message.reply = self.reply
        message.header_size = self.header_size
        message.size = self.size
        message.tail = tail
        message.queues = self.queues
        message.qos = 0
        message.content = None
        message.headerless = None
        message.mqtt3 = None
        message.mqtt5 = None
        return message

    def burst(self, contents: list[Buffer]) -> Burst:
        """A burst of messages that the head announces."""
        return Burst(self.subject, self.header_size, self.size, contents, len(contents), self.queues)

    def read_burst(self, data: bytes, position: int, end: int, contents: list[Buffer]) -> int:
        """Append the contents of the whole messages that follow each other from `position` on, all with this very line.

        Returns where they end: before another line, or an incomplete or broken message.
        """
        line = self.line
        lead = len(line)
        stride = lead + self.size + 2
        view = memoryview(data) if self.size >= LARGE else None
        while begins_at(data, position, end, line):
            stop = position + stride
            if stop > end or data[stop - 2] != CR or data[stop - 1] != LF:
                break
            start = position + lead
            if view is not None:
                contents.append(view[start : stop - 2])
            elif cython.compiled:
                contents.append(cut(data, start, stop - 2))
            else:
                contents.append(data[start : stop - 2])
            position = stop
        return position


class Refused:
    """A message to or with a reply to a subject that is reserved; it was read and dropped."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message


def find_line_end(data: bytes, start: int, end: int) -> int:
    """Index of the next LF in `data[start:end]`, or -1."""
    if cython.compiled:
        i = start
        while i < end:
            if data[i] == LF:
                return i
            i += 1
        return -1
    return data.find(b"\n", start, end)


def begins_at(data: bytes, position: int, end: int, line: bytes) -> bool:
    """Whether `data[position:end]` begins with a line."""
    if cython.compiled:
        size = len(line)
        if size > end - position:
            return False
        i = 0
        while i < size:
            if data[position + i] != line[i]:
                return False
            i += 1
        return True
    return data.startswith(line, position)


def cut(data: bytes, start: int, stop: int) -> bytes:
    """`data[start:stop]` with `0 <= start <= stop <= len(data)`.

    The interpreter's own slicing makes three objects to get one. Compiled, `text` is a view of the bytes without bounds
    (see the .pxd), so the bounds are checked here.
    """
    if start < 0 or start > stop or stop > len(data):
        raise IndexError(f"[{start}:{stop}] of {len(data)} bytes")
    text = data
    return text[start:stop]


class Framing:
    """Cuts a byte stream into messages and events; see `receive`.

    `max_payload` and `max_control_line` are in bytes; the latter counts a line without its operation. `operations`
    lists the operation names that the peer may use.
    """

    __slots__ = (
        "_cache",
        "_heads",
        "_operations",
        "_pending",
        "_wanted",
        "headers",
        "max_control_line",
        "max_payload",
        "stopped",
    )

    def __init__(
        self,
        max_payload: int,
        max_control_line: int,
        cache: GenerationCache,
        operations: frozenset[bytes],
    ) -> None:
        self.max_payload = max_payload
        self.max_control_line = max_control_line
        self.headers = True
        self.stopped = False
        # A line that others may send could be too long here.
        self._cache = cache if max_control_line >= LONGEST_REMEMBERED_LINE else GenerationCache(REMEMBERED_LINES)
        self._heads = self._cache.young
        self._operations = operations
        self._pending: bytearray | None = None
        self._wanted = 0

    def parse_line(self, line: bytes) -> object:
        """What a control line (without its LF) means: a PayloadHead, an event, or None for nothing."""
        raise NotImplementedError

    def receive(self, data: bytes) -> list[object]:
        """Messages, bursts and events in the order in which they came; a PeerViolation is always the last of them."""
        events: list[object] = []
        position = 0 if self._pending is None else self._resume(data, events)
        if not self.stopped:
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
        while True:
            line_end = find_line_end(data, position, end)
            if line_end < 0:
                break
            line = data[position:line_end]
            head = self._heads.get(line)
            if head is None:
                head = self._read_line(line, events)
                if head is None:
                    if self.stopped:
                        return
                    position = line_end + 1
                    continue
            if head.size > self.max_payload or (head.header_size and not self.headers):
                events.append(self._refuse_payload(head))
                return
            if head.line:
                contents: list[Buffer] = []
                behind = head.read_burst(data, position, end, contents)
                if contents:
                    events.append(head.burst(contents))
                    position = behind
                    continue
            stop = line_end + 3 + head.size
            if stop > end:
                self._wanted = stop - position
                break
            if data[stop - 2] != CR or data[stop - 1] != LF:
                events.append(self.parse_error("payload does not end with CRLF"))
                return
            position = stop
            if head.tail_size:
                tail = data[line_end - head.tail_size : stop]
                events.append(head.message(tail))
            else:
                events.append(self._uncommon_event(head, data[line_end + 1 : stop]))
        if position < end:
            self._pending = bytearray(data[position:])
            if not self._wanted:
                events.extend(self._check_partial_line())

    def reserved_event(self, message: Message) -> object:
        """The event for a message whose head is `reserved`."""
        return Refused(message)

    def _uncommon_event(self, head: PayloadHead, payload: bytes) -> object:
        """The event for a line that was not written the canonical way or is reserved; `payload` ends with CRLF."""
        message = Message(head.subject, head.reply, head.header_size, head.size, None, head.queues)
        message.set_body(payload[:-2])
        return self.reserved_event(message) if head.reserved else message

    def _read_line(self, line: bytes, events: list[object]) -> PayloadHead | None:
        """The head of a payload, or None after appending the event that the line stands for, if any."""
        head: PayloadHead | None = self._cache.recall(line)
        if head is not None:
            return head
        if len(line) > self.max_control_line:
            _, arguments = split_operation(line)
            if len(arguments) > self.max_control_line:
                events.append(self._refuse_line())
                return None
        event = self.parse_line(line)
        if isinstance(event, PayloadHead):
            if event.tail_size and not event.reply and len(line) <= LONGEST_REMEMBERED_LINE:
                event.line = line + b"\n"
                self._cache.remember(line, event)
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

    def unknown_operation(self) -> PeerViolation:
        return self.parse_error("unknown protocol operation")

    def parse_error(self, detail: str) -> PeerViolation:
        return self.violation(CloseReason.PARSE_ERROR, detail, encode_error("Unknown Protocol Operation"))

    def violation(self, reason: CloseReason, detail: str, farewell: bytes) -> PeerViolation:
        """End the stream: later input is ignored."""
        self.stopped = True
        self._pending = None
        return PeerViolation(reason, detail, farewell)


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
