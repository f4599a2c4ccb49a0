"""Account: one isolated subject space, and what belongs to it."""

from typing import Protocol

from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import Router
from gateway.storage.durability import Durability
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages
from protocols.message import Message
from protocols.mqtt.header_mapping import expiry_seconds


class Presence(Protocol):
    """Somebody who is there, as the subject says that tells it (gateway.services.presence)."""

    @property
    def subject(self) -> bytes: ...


class Account:
    """A router with a subject tree of its own: what is published in one account never reaches another.

    `port` is where the gateway's own messages come from. `durability` is the journal where there is a disk.
    """

    def __init__(
        self,
        name: str,
        retained: RetainedMessages,
        published_ids: PublishedIds,
        durability: Durability | None = None,
    ) -> None:
        self.name = name
        self.router = Router(self)
        self.port = Port(None)
        self.retained = retained
        self.published_ids = published_ids
        self.durability = durability or Durability()
        # The seconds by which all here expires.
        self.clock = retained.clock
        # Reads retained messages to NATS clients; subscribed from the first one on.
        self.retained_requests: Receiver | None = None
        # Who is there, by the subject that says so.
        self.presences: dict[bytes, Presence] = {}

    def publish(self, message: Message, source: Port | None = None) -> int:
        """Hand a message to everybody who is interested; returns how many took it."""
        return self.router.publish(message, self.port if source is None else source)

    def keep(self, message: Message) -> bool:
        """Retain a message (gateway.dataplane.router.Retainer); False when there is no room."""
        seconds = expiry_seconds(message.header())
        kept = self.retained.keep(message, 0.0 if seconds is None else self.clock() + seconds)
        self.offer_retained()
        return kept

    def offer_retained(self) -> None:
        """Answer requests for retained messages once there is one."""
        service = self.retained_requests
        if service is not None and service.slot < 0 and len(self.retained):
            self.router.subscribe(service)

    def must_store(self, message: Message) -> bool:
        """Whether somebody's stored state would change with this message."""
        return message.is_retained() or self.router.reaches_durable(message.subject)

    def sweep(self, most: int) -> None:
        """Forget what has expired, looking at about `most` retained messages."""
        self.retained.sweep(most)
        self.published_ids.sweep()
