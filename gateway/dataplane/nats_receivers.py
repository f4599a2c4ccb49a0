"""Receivers that speak NATS: clients' subscriptions, and routes over leafnode links (hot)."""

from gateway.dataplane.outbox import Outbox
from gateway.dataplane.port import Port, Receiver
from protocols.message import Burst, Message
from protocols.subjects import LONGEST_NAMES


class NatsSubscription(Receiver):
    """A NATS client's subscription. After `maximum` deliveries (0: no end) it calls `Port.exhausted`."""

    __slots__ = ("_address", "_aimed_at", "_head", "delivered", "maximum", "sid")

    def __init__(self, port: Port, subject: bytes, queue: bytes, sid: bytes) -> None:
        super().__init__(port, subject, queue)
        self.sid = sid
        self.delivered = 0
        self.maximum = 0
        self._address = b" %b " % sid
        # The head of messages on one subject: the filter, or that of the last burst.
        self._aimed_at = subject
        self._head = b"MSG " + subject + self._address

    def deliver(self, message: Message, source: Port) -> bool:
        port = self.port
        outbox = port.outbox
        if outbox is None or outbox.closed or (source is port and not port.echo):
            return False
        # Routes that were found before the last delivery may still lead here.
        if self.maximum and self.delivered >= self.maximum:
            return False
        tail = message.tail
        if tail is None:
            tail = message.make_tail()
        size = message.size
        with_header = False
        if message.header_size:
            with_header = port.headers
            if not with_header:
                tail = message.headerless_tail()
                size -= message.header_size
        if message.subject == self._aimed_at:
            outbox.append(b"H" + self._head if with_header else self._head, tail, size)
        else:
            lead = message.lead
            if lead is None:
                lead = message.make_lead()
            outbox.append_addressed(b"H" + lead if with_header else lead, self._address, tail, size)
        self.delivered += 1
        if self.delivered == self.maximum:
            port.exhausted(self)
        return True

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        port = self.port
        outbox = port.outbox
        if self.maximum or (burst.header_size and not port.headers):
            Receiver.deliver_burst(self, burst, source)  # Compiled, super() knows no class here.
            return
        if outbox is None or outbox.closed or (source is port and not port.echo):
            return
        if burst.subject != self._aimed_at:
            self._aimed_at = burst.subject
            self._head = b"MSG " + burst.subject + self._address
        head = b"H" + self._head if burst.header_size else self._head
        outbox.append_burst(
            burst.nats_pieces(head), burst.nats_size(head), burst.count, burst.count * burst.message_size
        )
        self.delivered += burst.count


class LeafPort(Port):
    """A port to a leafnode peer: it makes the receiver for what the peer is interested in.

    `backlog`: not all interest here has been told to the peer yet.
    """

    __slots__ = ("backlog",)

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox)
        self.backlog = False

    def tell_before(self, reply: bytes) -> None:
        """Tell the peer of the interest that a message with this reply subject must not overtake."""

    def kept_back(self, reason: str) -> None:
        """A message did not go to the peer, which would have closed the link over it."""
        self.dropped += 1

    def leaf_route(self, subject: bytes, queues: tuple[bytes, ...]) -> "LeafRoute":
        """A receiver that sends messages on a literal subject to the peer, naming the queue groups that it serves."""
        raise NotImplementedError


class LeafRoute(Receiver):
    """Sends messages on one literal subject over a leafnode link, for plain interest and for the named queue groups.

    `permitted` is False when the hub does not take the subject; `max_payload` is the hub's limit in bytes.
    What it would not take is kept back (`LeafPort.kept_back`).
    """

    __slots__ = ("_head", "_queue_names", "_reply_room", "link", "max_payload", "permitted", "queues")

    def __init__(
        self, port: LeafPort, subject: bytes, queues: tuple[bytes, ...], max_payload: int, permitted: bool
    ) -> None:
        super().__init__(port, subject, b"")
        self.link = port
        self.queues = queues
        self.max_payload = max_payload
        self.permitted = permitted
        self._queue_names = b" ".join(queues)
        self._reply_room = LONGEST_NAMES - len(subject) - len(self._queue_names)
        self._head = b"LMSG %b " % subject

    def deliver(self, message: Message, source: Port) -> bool:
        outbox = self.port.outbox
        # Never from link to link: a spoke is no transit.
        if outbox is None or outbox.closed or source.leaf:
            return False
        if not self.permitted or message.size > self.max_payload or len(message.reply) > self._reply_room:
            self._keep_back(message)
            return False
        if self.link.backlog and message.reply:
            self.link.tell_before(message.reply)
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

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        outbox = self.port.outbox
        if outbox is None or outbox.closed or source.leaf:
            return
        if self._queue_names or not self.permitted or burst.message_size > self.max_payload or self._reply_room < 0:
            Receiver.deliver_burst(self, burst, source)  # Compiled, super() knows no class here.
            return
        head = self._head if burst.header_size == 0 else b"HMSG %b " % self.subject
        outbox.append_burst(
            burst.nats_pieces(head), burst.nats_size(head), burst.count, burst.count * burst.message_size
        )

    def _keep_back(self, message: Message) -> None:
        if not self.permitted:
            self.link.kept_back("the hub does not permit the subject")
        elif message.size > self.max_payload:
            self.link.kept_back(f"the payload is over the hub's {self.max_payload} bytes")
        else:
            self.link.kept_back("subject and reply are longer than a line of the hub")


class LeafInterest(Receiver):
    """What the peer of a leafnode link subscribed to; routing makes a LeafRoute out of it."""

    __slots__ = ()

    def deliver(self, message: Message, source: Port) -> bool:
        return False
