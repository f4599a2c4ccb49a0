"""Stand-ins at both ends of the data plane: a sink that takes as many bytes as it is told to, and ports on it."""

from gateway.dataplane.nats_receivers import LeafInterest, LeafPort, LeafRoute, NatsSubscription
from gateway.dataplane.outbox import Outbox, Switch
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import ROUTED, Router
from gateway.dataplane.subject_tree import Interest
from gateway.dataplane.transit import concerns, told_count
from protocols.message import Buffer, Message

LIMIT = 64 << 20


class MemorySink:
    """Takes `room` bytes (None: all) and remembers them."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.sends: list[bytes] = []
        self.writer_starts = 0
        self.overruns = 0
        self.faults: list[Exception] = []

    def send(self, data: bytes | memoryview) -> int:
        taken = bytes(data if self.room is None else data[: self.room])
        if self.room is not None:
            self.room -= len(taken)
        if taken:
            self.sends.append(taken)
        return len(taken)

    def send_pieces(self, pieces: list[Buffer]) -> int:
        return self.send(b"".join(pieces))

    def start_writer(self) -> None:
        self.writer_starts += 1

    def overrun(self) -> None:
        self.overruns += 1

    def failed(self, error: Exception) -> None:
        self.faults.append(error)

    def received(self) -> bytes:
        return b"".join(self.sends)


def forward_all(router: Router, events: list[object], source: Port) -> None:
    """Route events, which must all be messages and bursts, share by share."""
    index = 0
    while index < len(events):
        assert type(events[index]) in ROUTED
        index = router.forward(events, index, source)


class ClientPort(Port):
    """A NATS client without a connection."""

    def __init__(self, switch: Switch) -> None:
        self.sink = MemorySink()
        super().__init__(Outbox(self.sink, switch, LIMIT))
        self.unanswered: list[bytes] = []
        self.finished: list[Receiver] = []

    def undelivered(self, message: Message) -> None:
        self.unanswered.append(message.subject)

    def exhausted(self, receiver: Receiver) -> None:
        self.finished.append(receiver)

    def subscription(self, subject: bytes, queue: bytes = b"", sid: bytes = b"1", maximum: int = 0) -> NatsSubscription:
        subscription = NatsSubscription(self, subject, queue, sid)
        subscription.maximum = maximum
        return subscription

    def take(self) -> bytes:
        """What has arrived since the last time."""
        assert self.outbox is not None
        self.outbox.flush()
        received = self.sink.received()
        self.sink.sends.clear()
        return received


class LinkPort(LeafPort):
    """The near end of a leafnode link without a connection; to a hub unless `uplink` is put out."""

    def __init__(self, switch: Switch, uplink: bool = True) -> None:
        self.sink = MemorySink()
        super().__init__(Outbox(self.sink, switch, LIMIT))
        self.uplink = uplink
        self.told: list[tuple[bytes, bytes, int]] = []
        self.may_send = True
        self.max_payload = 1000

    def leaf_route(self, subject: bytes, queues: tuple[bytes, ...], plain: bool) -> Receiver:
        return LeafRoute(self, subject, queues, plain, self.max_payload, self.may_send)

    def interest(self, subject: bytes, queue: bytes = b"", weight: int = 1) -> LeafInterest:
        return LeafInterest(self, subject, queue, weight)

    def interest_changed(self, interest: Interest, receiver: Receiver) -> None:
        if concerns(receiver, self):
            self.told.append((interest.subject, receiver.queue, told_count(interest, receiver.queue, self)))

    def take(self) -> bytes:
        """What has been sent over the link since the last time."""
        assert self.outbox is not None
        self.outbox.flush()
        received = self.sink.received()
        self.sink.sends.clear()
        return received
