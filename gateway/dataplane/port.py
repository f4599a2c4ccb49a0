"""Port: a peer's place on the switch, as the data plane sees it; a session is a port with a protocol (hot)."""

from gateway.dataplane.outbox import Outbox
from protocols.message import Message


class Port:
    """What routing must know of the peer that a message comes from or goes to.

    `echo`: the peer wants its own messages back. `headers`: it understands NATS headers. `leaf`: it is a leafnode link,
    so nothing goes from it to another link. `outbox` is None for a port that only publishes.
    """

    __slots__ = ("__weakref__", "echo", "headers", "in_bytes", "in_messages", "leaf", "outbox")

    def __init__(self, outbox: Outbox | None) -> None:
        self.outbox = outbox
        self.echo = True
        self.headers = True
        self.leaf = False
        self.in_messages = 0
        self.in_bytes = 0

    def undelivered(self, message: Message) -> None:
        """A message with a reply subject from this port reached nobody."""

    def exhausted(self, receiver: "Receiver") -> None:
        """A subscription of this port took its last message."""

    def combine(self, receivers: "list[Receiver]") -> "Receiver":
        """One receiver for several subscriptions of this port that match the same subject (see Receiver.combines)."""
        raise NotImplementedError


class Receiver:
    """A subscription: interest of one port in one filter, and what to do with a message that matches.

    `subject` is the filter, `queue` the queue group or b"". `combines`: of several that match one subject the port
    makes one (`Port.combine`), so that a message reaches it once.
    """

    __slots__ = ("combines", "port", "queue", "slot", "subject")

    def __init__(self, port: Port, subject: bytes, queue: bytes) -> None:
        self.port = port
        self.subject = subject
        self.queue = queue
        self.slot = -1
        self.combines = False

    def deliver(self, message: Message, source: Port) -> bool:
        """Append the message to the port's outbox; False when this receiver does not take it."""
        raise NotImplementedError


class NatsSubscription(Receiver):
    """A NATS client's subscription. After `maximum` deliveries (0: no end) it calls `Port.exhausted`."""

    __slots__ = ("_aimed_at", "_head", "delivered", "maximum", "sid")

    def __init__(self, port: Port, subject: bytes, queue: bytes, sid: bytes) -> None:
        super().__init__(port, subject, queue)
        self.sid = sid
        self.delivered = 0
        self.maximum = 0
        self._aimed_at = subject
        self._head = b"MSG %b %b " % (subject, sid)

    def deliver(self, message: Message, source: Port) -> bool:
        port = self.port
        outbox = port.outbox
        if outbox is None or outbox.closed or (source is port and not port.echo):
            return False
        if message.subject != self._aimed_at:
            # A wildcard subscription: heads follow the subject, and runs of one subject share one.
            self._aimed_at = message.subject
            self._head = b"MSG %b %b " % (message.subject, self.sid)
        tail = message.tail
        if tail is None:
            tail = message.make_tail()
        if message.header_size == 0:
            outbox.append(self._head, tail, message.size)
        elif port.headers:
            outbox.append(b"H" + self._head, tail, message.size)
        else:
            outbox.append(self._head, message.headerless_tail(), message.size - message.header_size)
        self.delivered += 1
        if self.delivered == self.maximum:
            port.exhausted(self)
        return True


class LeafRoute(Receiver):
    """Sends messages on one literal subject over a leafnode link, for plain interest and for the named queue groups.

    `permitted` is False when the hub does not take the subject; `max_payload` is the hub's limit in bytes.
    """

    __slots__ = ("_head", "_queue_names", "max_payload", "permitted", "refused")

    def __init__(
        self, port: Port, subject: bytes, queues: tuple[bytes, ...], max_payload: int, permitted: bool
    ) -> None:
        super().__init__(port, subject, b"")
        self.max_payload = max_payload
        self.permitted = permitted
        self.refused = 0
        self._queue_names = b" ".join(queues)
        self._head = b"LMSG %b " % subject

    def deliver(self, message: Message, source: Port) -> bool:
        outbox = self.port.outbox
        # Never from link to link: a spoke is no transit.
        if outbox is None or outbox.closed or source.leaf:
            return False
        if not self.permitted or message.size > self.max_payload:
            self.refused += 1
            return False
        head = self._head if message.header_size == 0 else b"HMSG %b " % self.subject
        tail = message.tail
        if tail is None:
            tail = message.make_tail()
        if self._queue_names:
            if message.reply:
                head = b"%b+ %b %b " % (head, message.reply, self._queue_names)
                tail = message.tail_after_reply()
            else:
                head = b"%b| %b " % (head, self._queue_names)
        outbox.append(head, tail, message.size)
        return True


class LeafInterest(Receiver):
    """What the peer of a leafnode link subscribed to; routing makes a LeafRoute out of it."""

    __slots__ = ()

    def deliver(self, message: Message, source: Port) -> bool:
        return False
