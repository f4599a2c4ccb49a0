"""Unopened streams: large ones that are on the disk and not loaded yet, while the gateway serves everybody else.

What is published on their subjects is held, and so is what they are asked, until they are open. Nothing of it is
acknowledged before: publishers and askers who wait for an answer hear after a while that there is none yet, and what is
published without one, or by who waits for the disk (MQTT), is held for as long as it takes. What there is no room for
is refused.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

import trio

from gateway.dataplane.mqtt_receivers import MqttPort
from gateway.dataplane.port import Port, Receiver
from gateway.runtime.deadlines import Deadlines
from gateway.storage.streams.loading import FoundStream
from gateway.streams.intake import TAKING
from gateway.streams.stream_config import StreamConfig
from protocols.message import Burst, Message

# How long who wants an answer waits for it; clients give up after five seconds.
PATIENCE_SECONDS = 4.0
LOOK_SECONDS = 0.5
# What may be held of an account, what each message takes besides its bytes, and how many requests.
MOST_BYTES = 16 << 20
HELD_BYTES = 500
MOST_REQUESTS = 1024

Action = Callable[[], object]


class Held(NamedTuple):
    """A message that was published, and when."""

    message: Message
    source: Port
    at: float

    @property
    def size(self) -> int:
        return HELD_BYTES + self.message.size + len(self.message.subject)

    @property
    def is_impatient(self) -> bool:
        """Whether its publisher waits for a PubAck; MQTT's response topic is for others."""
        return bool(self.message.reply) and not isinstance(self.source, MqttPort)


class Request(NamedTuple):
    """Something that was asked, when, how that is done and what is said instead where that is not to be."""

    at: float
    do: Action
    refuse: Action


class Opened(Protocol):
    """A stream that is open."""

    def accept(self, message: Message, source: Port) -> None:
        """Take a message as if it had just been published."""

    def hear(self, message: Message, source: Port) -> None:
        """Take what was said to one of the consumers as if it had just come."""


class Surroundings(Protocol):
    """An account's streams, as one of them sees them that is not open."""

    domain: str
    hash: str
    held: "HeldDurability"

    @property
    def deadlines(self) -> Deadlines: ...

    def refuse_held(self, config: StreamConfig, message: Message, source: Port) -> None:
        """Tell a publisher that his message is not stored."""


class HeldDurability:
    """What is held of an account, as those see it who wait for the disk. `marks` counts what has been held."""

    def __init__(self) -> None:
        self.marks = 0
        self.bytes = 0
        self.requests = 0
        self._messages = 0
        self._waiting: list[tuple[Action, Action | None]] = []

    @property
    def is_empty(self) -> bool:
        return not self._messages

    def add(self, held: Held) -> None:
        self.marks += 1
        self.bytes += held.size
        self._messages += 1

    def remove(self, held: Held) -> None:
        self.bytes -= held.size
        self._messages -= 1

    def wait(self, action: Action, refused: Action | None) -> None:
        """Call `action` once nothing is held any more; where something never will be stored, `refused`."""
        self._waiting.append((action, refused))

    def end(self) -> None:
        """See whether something is held still."""
        if self.is_empty:
            waiting, self._waiting = self._waiting, []
            for action, _ in waiting:
                action()

    def refuse(self) -> None:
        """Something that was held cannot be stored: nobody who waits is told that it was."""
        waiting, self._waiting = self._waiting, []
        for action, refused in waiting:
            (refused or action)()


class HoldingIntake(Receiver):
    """What is published on one of a stream's subjects waits for the stream."""

    __slots__ = ("_stream",)

    def __init__(self, subject: bytes, stream: "UnopenedStream") -> None:
        super().__init__(Port(None), subject, b"")
        self.dear = TAKING
        self._stream = stream

    def deliver(self, message: Message, source: Port) -> bool:
        self._stream.hold(message, source)
        return True

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        for message in burst.messages():
            self._stream.hold(message, source)


class HoldingAcks(Receiver):
    """What its consumers are told waits, too."""

    __slots__ = ("_stream",)

    def __init__(self, subject: bytes, stream: "UnopenedStream") -> None:
        super().__init__(Port(None), subject, b"")
        self._stream = stream

    def deliver(self, message: Message, source: Port) -> bool:
        return self._stream.hold_ack(message, source)


class UnopenedStream:
    """One of an account. `found` is what the storage knows of it. `receivers` hear for it until it is open."""

    def __init__(self, home: Surroundings, config: StreamConfig, created: int, found: FoundStream) -> None:
        self.config = config
        self.created = created
        self.found = found
        self._home = home
        self._durability = home.held
        self._messages: deque[Held] = deque()
        self._acks: deque[Held] = deque()
        self._requests: list[Request] = []
        self._is_looking = False
        name = config.name.encode("utf-8", "surrogateescape")
        account = f"{home.domain or '_'}.{home.hash}".encode()
        acks = b"$JS.ACK.%b.>" % name, b"$JS.ACK.%b.%b.>" % (account, name)
        self.receivers: list[Receiver] = [HoldingAcks(subject, self) for subject in acks]
        if not config.sealed:
            self.receivers += [HoldingIntake(subject, self) for subject in config.filters]

    @property
    def name(self) -> str:
        return self.config.name

    # What comes.

    def hold(self, message: Message, source: Port) -> None:
        held, durability = Held(message, source, trio.current_time()), self._durability
        if durability.bytes + held.size > MOST_BYTES:
            message.refused = True
            self._home.refuse_held(self.config, message, source)
            return
        durability.add(held)
        self._messages.append(held)
        if held.is_impatient:
            self._look_soon()

    def hold_ack(self, message: Message, source: Port) -> bool:
        """Without room it is as if it had been lost on its way: the message comes again."""
        held = Held(message, source, 0.0)
        if self._durability.bytes + held.size > MOST_BYTES:
            return False
        self._durability.bytes += held.size
        self._acks.append(held)
        return True

    def ask(self, do: Action, refuse: Action) -> None:
        """Do something once the stream is open; `refuse` where that takes too long."""
        if self._durability.requests >= MOST_REQUESTS:
            refuse()
            return
        self._durability.requests += 1
        self._requests.append(Request(trio.current_time(), do, refuse))
        self._look_soon()

    # Who waits too long.

    def _look_soon(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            self._home.deadlines.call_at(trio.current_time() + LOOK_SECONDS, self._look)

    def _look(self, now: float) -> None:
        self._is_looking = False
        since = now - PATIENCE_SECONDS
        late = [held for held in self._messages if held.is_impatient and held.at < since]
        if late:
            self._messages = deque(held for held in self._messages if not held.is_impatient or held.at >= since)
            for held in late:
                self._durability.remove(held)
                self._home.refuse_held(self.config, held.message, held.source)
        while self._requests and self._requests[0].at < since:
            self._durability.requests -= 1
            self._requests.pop(0).refuse()
        if late:
            self._durability.end()
        if self._requests or any(held.is_impatient for held in self._messages):
            self._look_soon()

    # The end.

    def open(self, stream: Opened) -> None:
        """The stream is open, and takes what was held."""
        for held in self._take_messages():
            stream.accept(held.message, held.source)
        for held in self._take_acks():
            stream.hear(held.message, held.source)
        self._durability.end()
        for request in self._take_requests():
            request.do()

    def fail(self) -> None:
        """The stream cannot be opened."""
        self._take_acks()
        held = self._take_messages()
        for one in held:
            one.message.refused = True
            self._home.refuse_held(self.config, one.message, one.source)
        if held:
            self._durability.refuse()
        for request in self._take_requests():
            request.refuse()

    def _take_messages(self) -> list[Held]:
        messages = [*self._messages]
        self._messages.clear()
        for held in messages:
            self._durability.remove(held)
        return messages

    def _take_acks(self) -> list[Held]:
        acks = [*self._acks]
        self._acks.clear()
        self._durability.bytes -= sum(held.size for held in acks)
        return acks

    def _take_requests(self) -> list[Request]:
        requests, self._requests = self._requests, []
        self._durability.requests -= len(requests)
        return requests
