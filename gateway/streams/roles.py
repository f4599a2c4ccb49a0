"""Roles: what streams, consumers and their parts ask of each other."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from gateway.accounts.account import Account
from gateway.dataplane.port import Port, Receiver
from gateway.runtime.runtime import Runtime
from gateway.storage.streams.stream import Stream
from gateway.streams.account_limits import Limited
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.consumer_state import ConsumerState
from gateway.streams.duplicates import Duplicates, IdRoom
from gateway.streams.promises import Promises
from gateway.streams.retention import Retention
from gateway.streams.selection import Selection
from gateway.streams.staged import StagedRoom
from gateway.streams.stream_config import StreamConfig
from protocols.message import Message
from protocols.nats.stream_replies import Delivery


class Share(NamedTuple):
    """What of a consumer's messages may go out at once: `messages` at most, of together `room` bytes, but for a first
    one that is larger; where they must fit `whole`, not that either. They are for a subject, and for the asker alone
    where it may not publish there.
    """

    messages: int
    room: int
    whole: bool
    subject: bytes
    asker: Port | None


class Home(Protocol):
    """One account's streams (gateway.streams.account_streams)."""

    runtime: Runtime
    account: Account
    domain: str
    # What the account is called in subjects.
    hash: str
    ids: IdRoom
    staged: StagedRoom

    @property
    def streams(self) -> Mapping[str, Limited]:
        """All of the account, by their names."""

    @property
    def port(self) -> Port:
        """Where what streams say comes from."""

    def subscribe(self, receiver: Receiver) -> None: ...

    def unsubscribe(self, receiver: Receiver) -> None: ...

    def publish(self, message: Message) -> int:
        """Hand a message to all who are interested; returns how many took it, 1 where that is not known yet."""

    def deliver(self, message: Message, subject: bytes, asker: Port | None) -> int:
        """Hand a message of a stream to those who are interested in another subject than its own, or to the asker alone
        where that one may not publish there; returns how many took it.
        """

    def deliver_run(self, messages: list[Any], subject: bytes, asker: Port | None) -> int:
        """As `deliver`, for messages that follow one another, up to the first that nobody takes; returns how many were
        taken.
        """

    def answer(self, subject: bytes, payload: bytes, asker: Port, header: bytes = b"") -> None:
        """Answer a request."""

    def has_interest(self, subject: bytes, queue: bytes) -> bool:
        """Whether somebody has subscribed to a subject, here or behind a link."""

    def is_awaited(self, subject: bytes) -> bool:
        """Whether somebody has subscribed to a subject itself, and not to a filter that matches it."""

    def watch(self, subject: bytes, changed: Callable[[], None]) -> None:
        """Be told when interest in a literal subject comes or goes."""

    def unwatch(self, subject: bytes, changed: Callable[[], None]) -> None: ...

    def forget_consumer(self, stream: str, consumer: str) -> None:
        """Delete a consumer that nobody has used for too long."""

    def tell(self, kind: str, subject: str, **fields: object) -> None:
        """Publish an advisory on `$JS.EVENT.ADVISORY.<subject>`."""

    def measure(self, kind: str, subject: str, **fields: object) -> None:
        """Publish what was measured on `$JS.EVENT.METRIC.<subject>`."""

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task whose fault is logged and harms nobody else."""

    def flush(self) -> None:
        """Send what was handed out."""


class PublishedTo(Protocol):
    """A stream, as what is published sees it."""

    config: StreamConfig
    stored: Stream
    duplicates: Duplicates
    retention: Retention

    @property
    def name(self) -> str: ...

    def is_schedule(self, subject: bytes) -> bool:
        """Whether the last message of a subject is a schedule."""


class Copying(Protocol):
    """A stream, as what copies others into it sees it."""

    home: Home
    config: StreamConfig
    stored: Stream
    promises: Promises
    is_closed: bool

    @property
    def name(self) -> str: ...

    def keep_copy(self, subject: bytes, header: bytes, payload: bytes, time_ns: int) -> None:
        """Store a copy of another stream's message, with its time unless that is 0. Raises RefusedError, ApiError."""

    async def read_total(self, subject: bytes) -> None:
        """Read what a subject has that a copy is to be added to (NotReadYetError)."""


class Consumed(Protocol):
    """A stream, as its consumers see it."""

    home: Home
    config: StreamConfig
    stored: Stream
    promises: Promises
    retention: Retention

    @property
    def name(self) -> str: ...


class Timer(Protocol):
    """When something of a consumer is over (gateway.streams.consumer_timer)."""

    def set(self) -> None:
        """Something may be over earlier than before."""

    def expect_by(self, when: float) -> None:
        """A pending message is to be delivered again then, unless it is acknowledged."""

    def wake_by(self, when: float) -> None:
        """Look at what is over at that time at the latest."""


class Delivering(Protocol):
    """A consumer, as its parts see it."""

    home: Home
    stream: Consumed
    config: ConsumerConfig
    state: ConsumerState
    selection: Selection
    path: bytes
    is_closed: bool
    last_active: float

    @property
    def timer(self) -> Timer: ...

    @property
    def is_active(self) -> bool:
        """Whether somebody waits for messages."""

    def ask(self, payload: bytes, reply: bytes, asker: Port) -> None:
        """A client asks for messages."""

    def kick(self) -> None:
        """There may be something to deliver."""

    def changed(self) -> None:
        """What is to be kept of it has become another."""

    def patience(self, count: int) -> float:
        """How many seconds are left to acknowledge the n-th delivery of a message."""

    def acknowledge_through(self, sequence: int) -> None:
        """All messages up to one have arrived."""

    def redeliver(self, sequence: int) -> None:
        """Deliver a pending message again, once there is a turn."""

    def tell(self, kind: str, subject: str, **fields: object) -> None:
        """Publish an advisory about this consumer."""

    def measure(self, **fields: object) -> None:
        """Publish how long an acknowledgement took."""

    def available(self) -> int:
        """How many messages could be delivered."""

    def heartbeat(self) -> bytes:
        """The header that says that there is nothing to say."""


class Acknowledged(Protocol):
    """A consumer, as those see it who acknowledge."""

    def ask(self, payload: bytes, reply: bytes, asker: Port) -> None:
        """A client asks for messages."""

    def acknowledge(self, delivery: Delivery) -> None: ...

    def acknowledged_some(self) -> None:
        """Its state knows already that messages were acknowledged."""

    def refuse(self, delivery: Delivery, delay: int) -> None:
        """It is to be delivered again, after so many nanoseconds."""

    def extend(self, delivery: Delivery) -> None:
        """Somebody still works on it."""

    def terminate(self, delivery: Delivery, reason: str) -> None:
        """It is not to be delivered any more."""

    def confirm(self, reply: bytes, asker: Port) -> None:
        """Tell who acknowledged, once that is on the disk."""
