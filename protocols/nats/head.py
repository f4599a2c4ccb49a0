"""Heads of payloads: what the control line in front of a payload says, and the messages that it announces (hot)."""

try:
    import cython
except ImportError:
    from protocols import form as cython

from protocols.message import LARGE, Buffer, Burst, Message
from protocols.scanning import begins_at, cut, find_gap, read_number

LF = 0x0A
CR = 0x0D
SPACE = 0x20
DOLLAR = 0x24
UNDERSCORE = 0x5F
# What every reader takes for a part of a name: the visible characters of ASCII.
LOWEST, HIGHEST = 0x21, 0x7E
VISIBLE = bytes(range(LOWEST, HIGHEST + 1))


class PayloadHead:
    """A parsed control line that announces a payload of `size` bytes, the first `header_size` of them headers.

    `tail_size` counts the bytes at the end of the line (`[reply ][header size ]size\\r`) with which the message's wire
    tail begins; 0 when the line was not written the canonical way and the tail has to be made. A head that is
    `reserved` (and has no `tail_size`) names a subject with a meaning of its own: see `Framing.reserved_event`. `line`
    is the whole line with its LF once messages in a row had that line. `line_end` is where the LF stands, for a head
    that `scan_head` has read.
    """

    __slots__ = ("header_size", "line", "line_end", "queues", "reply", "reserved", "size", "subject", "tail_size")

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
        self.line_end = 0

    def message(self, data: bytes, line_end: int, stop: int) -> Message:
        """The message whose control line ends at `line_end` and whose payload, with CRLF, ends at `stop`.

        Filled in here: a call with arguments costs more than all the rest.
        """
        message = Message.__new__(Message)
        message.subject = self.subject
        message.reply = self.reply
        message.header_size = self.header_size
        message.size = self.size
        start = line_end - self.tail_size
        message.tail = cut(data, start, stop) if cython.compiled else data[start:stop]
        message.queues = self.queues
        message.qos = 1
        message.delivered = 0
        message.refused = False
        if not cython.compiled:  # Compiled, that is what they begin as.
            message.record = message.header_contents = message.lead = message.content = None
            message.headerless = message.mqtt3 = message.mqtt5 = None
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
        # In the interpreter a call costs more than all that these would do.
        while begins_at(data, position, end, line) if cython.compiled else data.startswith(line, position):
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


def read_head(
    data: bytes, start: int, line_end: int, with_header: bool, queues: tuple[bytes, ...] | None
) -> PayloadHead | None:
    """The head that a line `<operation> <subject> [<reply>] [<header size>] <size>\\r` makes.

    Its subject begins at `start`, its LF stands at `line_end`. None for a line that is not written just so, and for
    subjects that may be reserved ones or hold more than visible ASCII: those take a closer look.
    """
    gap = find_gap(data, start, line_end)
    if gap < 0 or data[gap] != SPACE or data[line_end - 1] != CR:
        return None
    subject = cut(data, start, gap)
    begin = tail = gap + 1
    gap = find_gap(data, begin, line_end)
    another = find_gap(data, gap + 1, line_end) if gap >= 0 else -1
    reply = b""
    if (another if with_header else gap) >= 0:
        reply = cut(data, begin, gap)
        if data[gap] != SPACE or not is_common(reply, True):
            return None
        begin, gap = gap + 1, another
    header_size = 0
    if with_header:
        header_size = read_number(data, begin, gap)
        if header_size <= 0 or data[gap] != SPACE:
            return None
        begin = gap + 1
    size = read_number(data, begin, line_end - 1)
    if size < header_size or not is_common(subject, False):
        return None
    return make_head(subject, reply, header_size, size, line_end - tail, queues)


def make_head(
    subject: bytes, reply: bytes, header_size: int, size: int, tail_size: int, queues: tuple[bytes, ...] | None
) -> PayloadHead:
    """PayloadHead(…), without what it costs to call a class."""
    head = PayloadHead.__new__(PayloadHead)
    head.subject = subject
    head.reply = reply
    head.header_size = header_size
    head.size = size
    head.tail_size = tail_size
    head.queues = queues
    head.reserved = False
    head.line = b""
    head.line_end = 0
    return head


def scan_head(data: bytes, start: int, end: int, queues: tuple[bytes, ...] | None) -> PayloadHead | None:
    """The head that a line `<operation> <subject> [<reply>] <size>\\r\\n` makes, read in one pass; compiled only.

    Its subject begins at `start`; the line need not end before `end`. None for a line that is not written just so, not
    all there, or for `read_head` to look at.
    """
    if start < 0 or end > len(data):
        raise IndexError(f"[{start}:{end}] of {len(data)} bytes")
    text = data
    first = second = -1
    here = start
    while here < end:
        byte = text[here]
        if byte < LOWEST or byte > HIGHEST:
            if byte != SPACE or second >= 0:
                break
            if first < 0:
                first = here
            else:
                second = here
        here += 1
    if first <= start or here + 1 >= end or text[here] != CR or text[here + 1] != LF:
        return None
    begin = (first if second < 0 else second) + 1
    size = read_number(data, begin, here)
    subject = cut(data, start, first)
    if size < 0 or not is_free(subject, False):
        return None
    reply = b""
    if second >= 0:
        reply = cut(data, first + 1, second)
        if not is_free(reply, True):
            return None
    head = make_head(subject, reply, 0, size, here - first, queues)
    head.line_end = here + 1
    return head


def is_common(subject: bytes, is_reply: bool) -> bool:
    """Whether a subject is there, every client can read it, and it certainly has no meaning of its own."""
    return is_visible(subject) and is_free(subject, is_reply)


def is_free(subject: bytes, is_reply: bool) -> bool:
    """Whether a subject is there, and certainly has no meaning of its own.

    Those begin with `$GR.`, `$NRG.`, `_GR_.` or `$SYS.broker.`, and in the place of a reply also with `_R_.` or
    `$JS.ACK.`.
    """
    if len(subject) < 2:
        return len(subject) == 1
    first = subject[0]
    second = subject[1]
    if first == DOLLAR:
        return second not in (0x47, 0x4E, 0x53) and not (is_reply and second == 0x4A)  # G, N, S; J
    return first != UNDERSCORE or second == 0x49  # I, of `_INBOX`


def is_visible(subject: bytes) -> bool:
    """Whether all of it is visible ASCII."""
    if not cython.compiled:
        return not subject.translate(None, VISIBLE)
    for byte in subject:  # noqa: SIM110 - compiled, a generator would cost more than the rest
        if byte < LOWEST or byte > HIGHEST:
            return False
    return True
