"""Heads of payloads: what the control line in front of a payload says, and the messages that it announces (hot)."""

try:
    import cython
except ImportError:
    from protocols import form as cython

from protocols.message import LARGE, Buffer, Burst, Message

LF = 10
CR = 13
LONGEST_SIZE = 9  # digits


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

    def message(self, data: bytes, line_end: int, stop: int) -> Message:
        """The message whose control line ends at `line_end` and whose payload, with CRLF, ends at `stop`.

        Filled in here: a call with arguments costs more than all the rest.
        """
        start = line_end - self.tail_size
        message = Message.__new__(Message)
        message.subject = self.subject
        message.reply = self.reply
        message.header_size = self.header_size
        message.size = self.size
        message.tail = cut(data, start, stop) if cython.compiled else data[start:stop]
        message.queues = self.queues
        message.qos = 1
        message.record = None
        message.content = None
        message.headerless = None
        message.mqtt3 = None
        message.mqtt5 = None
        return message

    def burst(self, contents: list[Buffer]) -> Burst:
        """A burst of messages that the head announces."""
        return Burst(self.subject, self.header_size, self.size, contents, len(contents), self.queues)

    def repeats_at(self, data: bytes, position: int, end: int) -> bool:
        """Whether this very line stands at `position` again."""
        return begins_at(data, position, end, self.line)

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


def read_head(line: bytes, queues: tuple[bytes, ...] | None) -> PayloadHead | None:
    """The head that a canonical line `<operation> <subject> [<reply>] <size>\\r` makes, the operation unseen.

    None for every other line, and for subjects that may be reserved ones: those take a closer look.
    """
    parts = line.split(b" ")
    count = len(parts)
    if count == 3:
        reply = b""
    elif count == 4:
        reply = parts[2]
        if not is_common(reply):
            return None
    else:
        return None
    subject = parts[1]
    size = read_size(parts[count - 1])
    if size < 0 or not is_common(subject) or b"\t" in line:
        return None
    return PayloadHead(subject, reply, 0, size, len(line) - len(parts[0]) - len(subject) - 2, queues)


def is_common(subject: bytes) -> bool:
    """Whether a subject is there and certainly none of those that servers reserve (`$…`, `_R_.…`, `_GR_.…`)."""
    if len(subject) < 2:
        return len(subject) == 1 and subject != b"$"
    first = subject[0]
    return first != 0x24 and (first != 0x5F or subject[1] == 0x49)  # of `_…` only `_INBOX` is common


def read_size(digits: bytes) -> int:
    """The number in `<digits>\\r`, or -1."""
    count = len(digits) - 1
    if count < 1 or count > LONGEST_SIZE or digits[count] != CR:
        return -1
    size = 0
    for i in range(count):
        digit = digits[i] - 0x30
        if digit < 0 or digit > 9:
            return -1
        size = size * 10 + digit
    return size


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
