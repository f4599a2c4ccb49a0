"""Message: what every protocol's publish becomes, with its wire forms, each made at most once (hot).

A Burst is several of them in a row that share a subject.
"""

from typing import TypeAlias

try:
    import cython
except ImportError:
    from protocols import form as cython

from protocols.scanning import copy_into, cut, cut_buffer, cut_ends, write_number

Buffer: TypeAlias = bytes | memoryview

SPACE, CR, LF = 0x20, 0x0D, 0x0A
WITH_HEADER, WITHOUT_HEADER = b"HMSG ", b"MSG "
# Where a control line is put together; longer ones are made another way. Beside its names it has so much at most.
control_line = bytearray(1024)
ROOM_AROUND = 64

# From this size on, in bytes, copying a content costs more than handling it as a piece of its own.
LARGE = 2048

# The control line's end of small payloads, which is all that comes before them in a tail.
SIZE_LINES = [b"%d\r\n" % size for size in range(1024)]

# The header of a message that its subject is to keep for those who come later; an empty payload takes it back.
RETAIN_LINE = b"\r\nMqtt-Retain: 1\r\n"
# The header that says nothing else.
RETAIN_HEADER = b"NATS/1.0" + RETAIN_LINE + b"\r\n"


class Message:
    """One published message.

    `subject` and `reply` are NATS subjects; `reply` is b"" when there is none. `header_size` counts the bytes of the
    header block (0: none), `size` those of header and payload. `queues` names the queue groups that a leafnode peer
    addressed; None stands for every group with interest. `qos` is the MQTT quality of service it was published with: 1
    for a message from NATS, so that who subscribed with acknowledgements gets them. `delivered` is how many receivers
    took it, once it is routed. `refused`: those who keep it on the disk do not, for there is no room for all of them.
    `record` belongs to the storage; `header_contents` is what the header says in MQTT, read once for all receivers.

    `tail` holds the NATS wire bytes behind `MSG <subject> <sid> `, that is
    `[<reply> ][<header size> ]<size>\\r\\n<header><payload>\\r\\n`; None until `make_tail` when the message did not
    come in that form. The others are None until needed: `lead` is `MSG <subject>`, `content` header and payload,
    `headerless` a tail without headers, `mqtt3` and `mqtt5` the QoS 0 PUBLISH packet of the two wire versions. Where it
    came in as such a packet, its content is cut off the end of that when it is needed.
    """

    __slots__ = (
        "content",
        "delivered",
        "header_contents",
        "header_size",
        "headerless",
        "lead",
        "mqtt3",
        "mqtt5",
        "qos",
        "queues",
        "record",
        "refused",
        "reply",
        "size",
        "subject",
        "tail",
    )

    def __init__(
        self,
        subject: bytes,
        reply: bytes,
        header_size: int,
        size: int,
        tail: bytes | None,
        queues: tuple[bytes, ...] | None,
    ) -> None:
        self.subject = subject
        self.reply = reply
        self.header_size = header_size
        self.size = size
        self.tail = tail
        self.queues = queues
        self.qos = 1
        self.delivered = 0
        self.refused = False
        self.record: object = None
        self.header_contents: object = None
        self.mqtt3: bytes | None = None
        self.mqtt5: bytes | None = None
        self.lead: bytes | None = None
        self.content: bytes | None = None
        self.headerless: bytes | None = None

    def make_lead(self) -> bytes:
        """`lead`, made for the first receiver whose filter is not the subject itself."""
        lead = self.lead = b"MSG " + self.subject
        return lead

    def make_tail(self) -> bytes:
        """`tail`, made if it is not there yet."""
        if self.tail is None:
            if self.size < len(SIZE_LINES) and not self.header_size and not self.reply:
                self.tail = b"".join((SIZE_LINES[self.size], self.body(), b"\r\n"))
            else:
                sizes = b"%d %d" % (self.header_size, self.size) if self.header_size else b"%d" % self.size
                lead = self.reply + b" " if self.reply else b""
                self.tail = b"%b%b\r\n%b\r\n" % (lead, sizes, self.body())
        return self.tail

    def nats_head(self, address: bytes) -> bytes:
        """The control line for a subscription whose `address` is its sid between spaces."""
        subject, reply = self.subject, self.reply
        known = len(subject) + len(address) + len(reply)
        if not cython.compiled or known + ROOM_AROUND > len(control_line):
            lead = reply + b" " if reply else b""
            if self.header_size:
                return b"HMSG %b%b%b%d %d\r\n" % (subject, address, lead, self.header_size, self.size)
            return b"MSG %b%b%b%d\r\n" % (subject, address, lead, self.size)
        operation = WITH_HEADER if self.header_size else WITHOUT_HEADER
        copy_into(control_line, 0, operation)
        at = len(operation)
        copy_into(control_line, at, subject)
        at += len(subject)
        copy_into(control_line, at, address)
        at += len(address)
        if reply:
            copy_into(control_line, at, reply)
            at += len(reply)
            control_line[at] = SPACE
            at += 1
        if self.header_size:
            at = write_number(control_line, at, self.header_size)
            control_line[at] = SPACE
            at += 1
        at = write_number(control_line, at, self.size)
        control_line[at] = CR
        control_line[at + 1] = LF
        return cut_buffer(control_line, at + 2)

    def body(self) -> bytes:
        """Header block and payload."""
        if self.content is None:
            if self.tail is not None:
                end = len(self.tail) - 2
                self.content = cut(self.tail, end - self.size, end)
            else:
                packet = self.mqtt3 if self.mqtt3 is not None else self.mqtt5
                assert packet is not None
                end = len(packet)
                self.content = cut(packet, end - self.size, end)
        return self.content

    def set_body(self, body: bytes) -> None:
        """Give header block and payload to a message that has no `tail` yet."""
        self.content = body

    def header(self) -> bytes:
        """The header block from `NATS/1.0` to its empty line, or b""."""
        return self.body()[: self.header_size]

    def payload(self) -> bytes:
        return self.body()[self.header_size :] if self.header_size else self.body()

    def is_retained(self) -> bool:
        """Whether a header says that the subject is to keep the message."""
        if self.header_size == len(RETAIN_HEADER):
            return self.body().startswith(RETAIN_HEADER) or RETAIN_LINE in self.header()
        return self.header_size > 0 and RETAIN_LINE in self.header()

    def headerless_tail(self) -> bytes:
        """`tail` for a receiver that does not understand headers."""
        if self.header_size == 0:
            return self.make_tail()
        if self.headerless is None:
            self.headerless = make_message(self.subject, self.payload(), self.reply).make_tail()
        return self.headerless

    def tail_after_reply(self) -> bytes:
        """`tail` without the reply subject, for wire forms that put something behind it."""
        tail = self.make_tail()
        return tail[len(self.reply) + 1 :] if self.reply else tail


def make_plain_message(subject: bytes, size: int, qos: int) -> Message:
    """A message of nothing but a payload of that size, which is the caller's to give: its `content` or a wire form.

    Filled in here: a call of the class costs more than all the rest.
    """
    message = Message.__new__(Message)
    message.subject = subject
    message.reply = b""
    message.header_size = 0
    message.size = size
    message.qos = qos
    message.delivered = 0
    message.refused = False
    message.queues = None
    message.record = message.header_contents = None
    message.tail = message.lead = message.content = message.headerless = message.mqtt3 = message.mqtt5 = None
    return message


def readdressed(message: Message, subject: bytes) -> Message:
    """The same message on another subject: it shares what does not tell the subject."""
    copy = Message.__new__(Message)
    copy.subject = subject
    copy.reply = message.reply
    copy.header_size = message.header_size
    copy.size = message.size
    copy.qos = message.qos
    copy.queues = message.queues
    copy.delivered = 0
    copy.refused = False
    copy.record = None
    copy.header_contents = message.header_contents
    copy.tail = message.tail
    copy.content = message.body() if message.tail is None else message.content
    copy.headerless = message.headerless
    copy.lead = copy.mqtt3 = copy.mqtt5 = None
    return copy


class Burst:
    """`count` messages that came in a row and differ in nothing but their content: routed once, delivered together.

    There is no reply subject. `message_size` is the size of each in bytes, header block and payload. Where they came in
    as one run of MQTT packets, `mqtt3` or `mqtt5` holds that run, and the contents are cut out of it when they are
    needed.
    """

    __slots__ = (
        "_contents",
        "_head",
        "_messages",
        "_pieces",
        "count",
        "header_size",
        "message_size",
        "mqtt3",
        "mqtt5",
        "qos",
        "queues",
        "subject",
    )

    def __init__(
        self,
        subject: bytes,
        header_size: int,
        message_size: int,
        contents: list[Buffer] | None,
        count: int,
        queues: tuple[bytes, ...] | None,
    ) -> None:
        self.subject = subject
        self.header_size = header_size
        self.message_size = message_size
        self.count = count
        self.queues = queues
        self.qos = 1
        self.mqtt3: bytes | None = None
        self.mqtt5: bytes | None = None
        self._contents = contents
        self._head: bytes | None = None
        self._pieces: list[Buffer] = []
        self._messages: list[Message] | None = None

    def contents(self) -> list[Buffer]:
        """Header block and payload of each message; of a large one a view of the batch that it came in."""
        if self._contents is None:
            run = self.mqtt3 if self.mqtt3 is not None else self.mqtt5
            assert run is not None
            self._contents = [*cut_ends(run, self.count, self.message_size)]
        return self._contents

    def readdressed(self, subject: bytes) -> "Burst":
        """The same messages on another subject."""
        copy = Burst(subject, self.header_size, self.message_size, self.contents(), self.count, self.queues)
        copy.qos = self.qos
        return copy

    def nats_pieces(self, head: bytes) -> list[Buffer]:
        """All messages in NATS form, each behind `head` (`MSG <subject> <sid> `), in pieces to be sent one behind the
        other. Equal heads share them.
        """
        if head != self._head:
            header_size = b"%d " % self.header_size if self.header_size else b""
            lead = b"%b%b%d\r\n" % (head, header_size, self.message_size)
            between = b"\r\n" + lead
            contents = self.contents()
            pieces: list[Buffer] = [lead]
            if self.message_size < LARGE:
                pieces.append(between.join(contents))
            else:
                for content in contents:
                    pieces.append(content)
                    pieces.append(between)
                pieces.pop()
            pieces.append(b"\r\n")
            self._head = head
            self._pieces = pieces
        return self._pieces

    def nats_size(self, head: bytes) -> int:
        """How many bytes `nats_pieces` holds."""
        lead = len(self.nats_pieces(head)[0])
        return self.count * (lead + self.message_size + 2)

    def messages(self) -> list[Message]:
        """The messages one by one, made once for all who need them."""
        if self._messages is None:
            self._messages = [self._message(content) for content in self.contents()]
        return self._messages

    def last_retained(self) -> Message | None:
        """The last of the messages that the subject is to keep."""
        if self.header_size:
            for content in reversed(self.contents()):
                if RETAIN_LINE in bytes(content[: self.header_size]):
                    return self._message(content)
        return None

    def payloads(self) -> list[Buffer]:
        contents = self.contents()
        return [content[self.header_size :] for content in contents] if self.header_size else contents

    def _message(self, content: Buffer) -> Message:
        message = Message(self.subject, b"", self.header_size, self.message_size, None, self.queues)
        message.qos = self.qos
        message.set_body(bytes(content))  # A view would keep its whole batch alive.
        return message


def make_message(subject: bytes, payload: bytes, reply: bytes = b"", header: bytes = b"") -> Message:
    """A message that did not come in over NATS."""
    message = make_plain_message(subject, len(header) + len(payload), 1)
    message.reply = reply
    message.header_size = len(header)
    message.content = header + payload if header else payload
    return message
