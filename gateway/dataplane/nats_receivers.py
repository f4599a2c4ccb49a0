"""Receivers that speak NATS: clients' subscriptions, and routes over leafnode links (hot)."""

from collections.abc import Collection
from typing import Any

from gateway.dataplane.outbox import Outbox
from gateway.dataplane.port import Port, Receiver
from protocols.message import Buffer, Burst, Message
from protocols.subjects import LONGEST_NAMES

END_OF_PAYLOAD = b"\r\n"


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
        if port.replies is not None and message.reply:
            port.replies.note(message.reply)
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

    def deliver_run(self, messages: list[Any], source: Port) -> int:
        port = self.port
        outbox = port.outbox
        if not port.headers:
            return Receiver.deliver_run(self, messages, source)
        if outbox is None or outbox.closed or (source is port and not port.echo):
            return 0
        pieces: list[Buffer] = []
        wire = size = taken = 0
        for message in messages:
            if self.maximum and self.delivered + taken >= self.maximum:
                break
            head = message.nats_head(self._address)
            pieces.append(head)
            pieces.append(message.body())
            pieces.append(END_OF_PAYLOAD)
            wire += len(head) + message.size + len(END_OF_PAYLOAD)
            size += message.size
            taken += 1
            if port.replies is not None and message.reply:
                port.replies.note(message.reply)
        if taken:
            outbox.append_burst(pieces, wire, taken, size)
            self.delivered += taken
            if self.delivered == self.maximum:
                port.exhausted(self)
        return taken


# So many are looked through one by one.
FEW_QUEUES = 8
# Why a message did not go over a link.
NOT_PERMITTED = "the other end does not permit the subject"
TOO_LONG = "subject and reply are longer than a line of the other end"


class LeafPort(Port):
    """A port to a leafnode peer: it makes the receiver for what the peer is interested in.

    `uplink`: the peer is a hub of ours, not a spoke. `cluster` is where the peer is from (b"": it did not say);
    what came from there does not go back there. `isolated`: the peer is told of clients' interest, not of that of other
    links. `backlog`: not all interest here has been told to the peer yet.
    """

    __slots__ = ("backlog", "cluster", "isolated", "uplink")

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox)
        self.leaf = True
        self.uplink = False
        self.cluster = b""
        self.isolated = False
        self.backlog = False

    def carries(self, source: Port) -> bool:
        """Whether what comes from another link goes on over this one: from spokes to spokes and to hubs, and from hubs
        to spokes. Nothing goes from hub to hub, for the gateway is no transit between clusters that do not know of each
        other; nor does anything go back to where it came from.
        """
        if not isinstance(source, LeafPort):  # What an account imports from beyond a link ends here.
            return False
        link = source
        if link is self or (link.uplink and self.uplink):
            return False
        return not self.cluster or self.cluster != link.cluster

    def hears_of(self, port: Port) -> bool:
        """Whether the peer is told of interest that there is behind another link."""
        return not self.isolated and self.carries(port)

    def tell_before(self, reply: bytes) -> None:
        """Tell the peer of the interest that a message with this reply subject must not overtake."""

    def kept_back(self, reason: str) -> None:
        """A message did not go to the peer, which would have closed the link over it."""
        self.dropped += 1

    def leaf_route(self, subject: bytes, queues: tuple[bytes, ...], plain: bool) -> "LeafRoute":
        """A receiver that sends messages on a literal subject to the peer, naming the queue groups that it serves.

        `plain`: there is interest without a queue group, too.
        """
        raise NotImplementedError


class LeafRoute(Receiver):
    """Sends messages on one literal subject over a leafnode link, for plain interest and for the named queue groups.

    `permitted` is False when the peer does not take the subject; `max_payload` is its limit in bytes. What it would not
    take is kept back (`LeafPort.kept_back`).
    """

    __slots__ = ("_head", "_queue_names", "_reply_room", "link", "max_payload", "permitted", "plain", "queues")

    def __init__(
        self,
        port: LeafPort,
        subject: bytes,
        queues: tuple[bytes, ...],
        plain: bool,
        max_payload: int,
        permitted: bool,
    ) -> None:
        super().__init__(port, subject, b"")
        self.link = port
        self.queues = queues
        self.plain = plain
        self.max_payload = max_payload
        self.permitted = permitted
        self._queue_names = b" ".join(queues)
        self._reply_room = LONGEST_NAMES - len(subject) - len(self._queue_names)
        self._head = b"LMSG %b " % subject

    def deliver(self, message: Message, source: Port) -> bool:
        outbox = self.port.outbox
        if outbox is None or outbox.closed or (source.leaf and not self.link.carries(source)):
            return False
        names = self._queue_names
        if names and message.queues is not None:
            names = self._names_among(message.queues)
            if not names and not self.plain:
                return False
        reply = message.reply
        # What a consumer delivers is seen under another subject here; the next one is told which, as we were.
        is_redirected = message.subject != self.subject
        if is_redirected:
            reply = b"%b@%b" % (reply, message.subject)
        if not self.permitted or message.size > self.max_payload or len(reply) > self._reply_room:
            self._keep_back(message)
            return False
        if self.link.backlog and reply:
            self.link.tell_before(message.reply)
        head = self._head
        tail = message.tail
        if tail is None:
            tail = message.make_tail()
        size = message.size
        if message.header_size:
            if self.port.headers:
                head = b"HMSG %b " % self.subject
            else:
                tail = message.headerless_tail()
                size -= message.header_size
        if names or is_redirected:
            if message.reply:
                tail = tail[len(message.reply) + 1 :]
            if not names:
                head = b"%b%b " % (head, reply)
            elif reply:
                head = b"%b+ %b %b " % (head, reply, names)
            else:
                head = b"%b| %b " % (head, names)
        outbox.append(head, tail, size)
        if self.port.replies is not None and reply:
            self.port.replies.note(reply)
        return True

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        outbox = self.port.outbox
        if outbox is None or outbox.closed or (source.leaf and not self.link.carries(source)):
            return
        simple = not self._queue_names and (self.port.headers or not burst.header_size)
        if not simple or not self.permitted or burst.message_size > self.max_payload or self._reply_room < 0:
            Receiver.deliver_burst(self, burst, source)  # Compiled, super() knows no class here.
            return
        head = self._head if burst.header_size == 0 else b"HMSG %b " % self.subject
        outbox.append_burst(
            burst.nats_pieces(head), burst.nats_size(head), burst.count, burst.count * burst.message_size
        )

    def _names_among(self, wanted: tuple[bytes, ...]) -> bytes:
        """The queue groups behind this link that a message from another one is for."""
        among = wanted_of(wanted)
        return b" ".join([name for name in self.queues if name in among])

    def _keep_back(self, message: Message) -> None:
        if not self.permitted:
            self.link.kept_back(NOT_PERMITTED)
        elif message.size > self.max_payload:
            self.link.kept_back(f"the payload is over the other end's {self.max_payload} bytes")
        else:
            self.link.kept_back(TOO_LONG)


def wanted_of(queues: tuple[bytes, ...]) -> Collection[bytes]:
    """The queue groups that a message from a link names, to be looked in: a line may hold thousands."""
    return queues if len(queues) <= FEW_QUEUES else frozenset(queues)


class LeafInterest(Receiver):
    """What the peer of a leafnode link subscribed to, in a queue group with so many members there as its `weight` says;
    routing makes a LeafRoute out of it.
    """

    __slots__ = ("weight",)

    def __init__(self, port: Port, subject: bytes, queue: bytes, weight: int) -> None:
        super().__init__(port, subject, queue)
        self.weight = weight

    def deliver(self, message: Message, source: Port) -> bool:
        return False
