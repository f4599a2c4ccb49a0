"""Port: a peer's place on the switch, as the data plane sees it; a session is a port with a protocol (hot)."""

from gateway.dataplane.outbox import Outbox
from protocols.message import Burst, Message


class Port:
    """What routing must know of the peer that a message comes from or goes to.

    `echo`: the peer wants its own messages back. `headers`: it understands NATS headers. `leaf`: it is a leafnode link,
    so nothing goes from it to another link. `outbox` is None for a port that only publishes. `dropped` counts messages
    that the peer did not get because too much was waiting for it; `retained` and `retained_bytes` are how much it made
    the gateway keep for those that come later.
    """

    __slots__ = (
        "__weakref__",
        "dropped",
        "echo",
        "headers",
        "in_bytes",
        "in_messages",
        "leaf",
        "outbox",
        "retained",
        "retained_bytes",
    )

    def __init__(self, outbox: Outbox | None) -> None:
        self.outbox = outbox
        self.echo = True
        self.headers = True
        self.leaf = False
        self.in_messages = 0
        self.in_bytes = 0
        self.dropped = 0
        self.retained = 0
        self.retained_bytes = 0

    def undelivered(self, message: Message) -> None:
        """A message with a reply subject from this port reached nobody."""

    def publisher(self) -> bytes:
        """What tells one publisher from others, also when it comes again."""
        return b""

    def exhausted(self, receiver: "Receiver") -> None:
        """A subscription of this port took its last message."""

    def combine(self, subject: bytes, receivers: "list[Receiver]") -> "Receiver | None":
        """One receiver for this port's subscriptions that match a subject (see `Receiver.combines`); None for none."""
        raise NotImplementedError


class Receiver:
    """A subscription: interest of one port in one filter, and what to do with a message that matches.

    `subject` is the filter, `queue` the queue group or b"". `combines`: of several that match one subject the port
    makes one (`Port.combine`), so that a message reaches it once. `shared`: a group whose members all are is told apart
    by its filter too. `local_only`: hubs need not know of it.
    """

    __slots__ = ("combines", "local_only", "port", "queue", "shared", "slot", "subject")

    def __init__(self, port: Port, subject: bytes, queue: bytes) -> None:
        self.port = port
        self.subject = subject
        self.queue = queue
        self.slot = -1
        self.combines = False
        self.shared = False
        self.local_only = False

    def is_durable(self) -> bool:
        """Whether a message that it takes outlives the process."""
        return False

    def deliver(self, message: Message, source: Port) -> bool:
        """Append the message to the port's outbox; False when this receiver does not take it."""
        raise NotImplementedError

    def keep(self, message: Message) -> bool:
        """Keep the message for a peer that is away, where nobody else of its queue group takes it; False to refuse."""
        return False

    def alone(self) -> "Receiver":
        """What takes messages on every subject where no other of the port's receivers matches (see `combines`)."""
        return self

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        """Deliver several messages at once."""
        for message in burst.messages():
            self.deliver(message, source)
