"""Port: a peer's place on the switch, as the data plane sees it; a session is a port with a protocol (hot)."""

from typing import Any

from gateway.dataplane.flows import Flows
from gateway.dataplane.outbox import Outbox
from gateway.dataplane.verdicts import ReplyRights, Verdicts
from protocols.message import Burst, Message

# What the gateway's own answer to a message costs, in deliveries: it is made by the interpreter.
SERVICE = 64


class Port:
    """What routing must know of the peer that a message comes from or goes to.

    `echo`: the peer wants its own messages back. `headers`: it understands NATS headers. `leaf`: it is a leafnode link,
    or stands for one (LeafPort.carries says what goes on over other links). `outbox` is None for a port that only
    publishes. `dropped` counts messages that the peer did not get because too much was waiting for it; `retained` and
    `retained_bytes` are how much it made the gateway keep for those that come later. `effort` counts what its messages
    cost beyond what routes tell, in deliveries: whoever takes longer over one says so.

    `may_publish` and `may_receive` are its rights, None where everything is allowed. `replies`, where its rights
    include them, are the reply subjects that it may publish to because it was asked there. `flows` is the router's.
    """

    __slots__ = (
        "__weakref__",
        "dropped",
        "echo",
        "effort",
        "flows",
        "headers",
        "in_bytes",
        "in_messages",
        "leaf",
        "may_publish",
        "may_receive",
        "outbox",
        "replies",
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
        self.effort = 0
        self.retained = 0
        self.retained_bytes = 0
        self.may_publish: Verdicts | None = None
        self.flows: Flows | None = None
        self.may_receive: Verdicts | None = None
        self.replies: ReplyRights | None = None

    def allows(self, subject: bytes) -> bool:
        """Whether the peer's rules let it publish on a subject; answers are another matter (`replies`)."""
        return self.may_publish is None or self.may_publish.allow(subject)

    def allows_now(self, subject: bytes) -> bool:
        """Whether the peer may publish a message on a subject, be it as an answer: then it has one less."""
        return self.allows(subject) or (self.replies is not None and self.replies.use(subject))

    def receives(self, subject: bytes) -> bool:
        """Whether the peer's rights let it have messages on a subject."""
        return self.may_receive is None or self.may_receive.allow(subject)

    def undelivered(self, message: Message) -> None:
        """A message with a reply subject from this port reached nobody."""

    def publisher(self) -> bytes:
        """What tells one publisher from others (gateway.storage.published_ids); b"" for the gateway itself."""
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
    by its filter too. `local_only`: the gateway answers itself what the filter matches, and hubs need not know of
    anybody's interest in it. `untold`: hubs need not know of this one, spokes must. `onlooker`: it takes nothing, and
    nobody need know of it; of others with the same filter they do. `filtered`: its port may not have all that its
    filter matches (`Port.receives`). `dear`: how many deliveries a message costs that it takes, beside
    one; what differs from message to message it adds to `Port.effort`.
    """

    __slots__ = (
        "combines",
        "dear",
        "filtered",
        "local_only",
        "onlooker",
        "port",
        "queue",
        "shared",
        "slot",
        "subject",
        "untold",
    )

    def __init__(self, port: Port, subject: bytes, queue: bytes) -> None:
        self.port = port
        self.subject = subject
        self.queue = queue
        self.slot = -1
        self.combines = False
        self.shared = False
        self.local_only = False
        self.onlooker = False
        self.untold = False
        self.filtered = False
        self.dear = 0

    def leads(self, subject: bytes) -> bool:
        """Whether messages on a subject that the filter matches come here."""
        return not self.filtered or self.port.receives(subject)

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

    def deliver_run(self, messages: list[Any], source: Port) -> int:
        """Deliver messages on different subjects, in their order, up to the first that is not taken; returns how many
        were.
        """
        taken = 0
        for message in messages:
            if not self.deliver(message, source):
                break
            taken += 1
        return taken
