"""Window: QoS 1 and 2 messages that one MQTT client was sent and has not acknowledged (hot).

The packet identifier of a message follows from its sequence number.
"""

from collections import deque
from typing import Protocol

from protocols.message import Message

LAST_PACKET_ID = 65_535
# What a session may have in memory before anybody is asked; it counts as part of every session.
UNASKED_BYTES = 4096


class QueueStore(Protocol):
    """Where a session's messages outlive the process. The places of each `key` are numbered, ascending."""

    def enqueue(
        self,
        key: int,
        sequence: int,
        message: Message,
        qos: int,
        retain: bool,
        identifiers: tuple[int, ...],
        expires_at: float,
    ) -> bool:
        """Queue a message; False for one that is `refused`."""

    def dequeue(self, key: int, sequence: int, message: Message | None) -> None:
        """Remove a place; `message` is None when it was released."""

    def release(self, key: int, sequence: int, message: Message) -> None:
        """The client has a QoS 2 message: only its place is needed."""


class QueuedPublish:
    """A message as the client is to get it. `message` is None once a QoS 2 one is released: the client has it.

    `topic` is its topic where that is known, `expires_at` in seconds of the account's clock, 0.0 for never.
    `repeated`: it may have been sent before; `doubtful`: by an earlier run, or not at all.
    """

    __slots__ = (
        "doubtful",
        "expires_at",
        "identifiers",
        "message",
        "packet_id",
        "qos",
        "repeated",
        "retain",
        "sequence",
        "topic",
    )

    sequence: int
    packet_id: int
    message: Message | None
    topic: bytes | None
    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    expires_at: float
    repeated: bool
    doubtful: bool


def make_queued(
    sequence: int,
    message: Message | None,
    topic: bytes | None,
    qos: int,
    retain: bool,
    identifiers: tuple[int, ...],
    expires_at: float,
) -> QueuedPublish:
    """A message that was not sent yet. Filled in here: a call of the class costs more than all the rest."""
    publish = QueuedPublish.__new__(QueuedPublish)
    publish.sequence = sequence
    publish.packet_id = packet_id_of(sequence)
    publish.message = message
    publish.topic = topic
    publish.qos = qos
    publish.retain = retain
    publish.identifiers = identifiers
    publish.expires_at = expires_at
    publish.repeated = publish.doubtful = False
    return publish


class Window:
    """At most `window` messages are in `sent`, by packet identifier and in order.

    None passes those that wait: in `waiting`, or `behind` them, so many, on the disk. `sequence` is the number of the
    last message of all, `loaded` of the last that is or was in memory. With a `store` every change is noted there under
    `key`. `flight` is how many bytes the messages have in `sent`, `charged` how many may be in memory unasked.
    """

    __slots__ = ("behind", "charged", "flight", "key", "loaded", "sent", "sequence", "store", "waiting", "window")

    def __init__(self) -> None:
        self.window = 0
        self.key = 0
        self.store: QueueStore | None = None
        self.sent: dict[int, QueuedPublish] = {}
        self.waiting: deque[QueuedPublish] | None = None
        self.behind = 0
        self.sequence = 0
        self.loaded = 0
        self.flight = 0
        self.charged = UNASKED_BYTES

    def admit(self, message: Message, topic: bytes, qos: int) -> int:
        """Count a message as sent, with nothing but a payload; returns its packet identifier, 0 when it has to wait."""
        sent = self.sent
        if self.waiting or self.behind or len(sent) >= self.window or self.flight + message.size > self.charged:
            return 0
        sequence = self.sequence + 1
        packet_id = packet_id_of(sequence)
        if packet_id in sent:
            return 0
        store = self.store
        if store is not None and (qos == 2 or not store.enqueue(self.key, sequence, message, qos, False, (), 0.0)):
            return 0
        self.sequence = self.loaded = sequence
        sent[packet_id] = make_queued(sequence, message, topic, qos, False, (), 0.0)
        self.flight += message.size
        return packet_id

    def acknowledge(self, packet_id: int, qos: int) -> bool:
        """The client is done with a message; False when none of this QoS was sent with this identifier."""
        publish = self.sent.get(packet_id)
        if publish is None or publish.qos != qos:
            return False
        del self.sent[packet_id]
        message = publish.message
        if message is not None:
            self.flight -= message.size
        if self.store is not None:
            self.store.dequeue(self.key, publish.sequence, message)
        return True

    def acknowledge_all(self, packet_ids: list[int], qos: int) -> None:
        """The client is done with messages."""
        for packet_id in packet_ids:
            self.acknowledge(packet_id, qos)

    def first_refused(self, packet_ids: list[int], qos: int, finishes: bool) -> int:
        """The place of the first identifier whose message is not acknowledged so, -1 for none: it was sent with another
        QoS, or shall be finished (PUBCOMP) and was not released. Identifiers that are unknown are not looked at.
        """
        for place, packet_id in enumerate(packet_ids):
            publish = self.sent.get(packet_id)
            if publish is None:
                continue
            if publish.qos != qos or (finishes and qos == 2 and publish.message is not None):
                return place
        return -1

    def release(self, packet_id: int) -> bool:
        """The client has a QoS 2 message (PUBREC); False when none was sent with this identifier."""
        publish = self.sent.get(packet_id)
        if publish is None or publish.qos != 2:
            return False
        message = publish.message
        if message is not None:
            if self.store is not None:
                self.store.release(self.key, publish.sequence, message)
            self.flight -= message.size
            publish.message = None
        return True

    def release_all(self, packet_ids: list[int]) -> list[int]:
        """The client has QoS 2 messages; returns the identifiers of those that were not sent."""
        return [packet_id for packet_id in packet_ids if not self.release(packet_id)]


def packet_id_of(sequence: int) -> int:
    """1 to 65,535, round and round."""
    return (sequence - 1) % LAST_PACKET_ID + 1
