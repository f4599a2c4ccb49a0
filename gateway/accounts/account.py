"""Account: one isolated subject space, and what belongs to it."""

from collections.abc import Callable
from typing import Protocol

from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import Router
from gateway.storage.durability import Durability
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages
from protocols.message import Message
from protocols.mqtt.header_mapping import expiry_seconds

UNLIMITED = 1 << 62
# What the gateway answers itself.
SERVICES = b"$LEAFGATE."


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
        # Who is there, by the subject that says so, and the subjects that say of somebody that he is not.
        self.presences: dict[bytes, Presence] = {}
        self.absent: dict[bytes, None] = {}
        # What one publisher may have retained; and who is told of a limit, by its key, that kept a message out.
        self.max_retained_per_client = self.max_retained_bytes_per_client = UNLIMITED
        self.report_refusal: Callable[[str], None] = nobody_hears

    def publish(self, message: Message, source: Port | None = None, whole: bool = False) -> int:
        """Hand a message to everybody who is interested; returns how many took it.

        Where its publisher is told, `whole`, nobody gets it when it is `refused`.
        """
        return self.router.publish(message, self.port if source is None else source, whole=whole)

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0) -> bool:
        """Whether the disk has room for a message (gateway.dataplane.router.Retainer)."""
        return self.durability.reserve(message, places, retained and message.size > message.header_size, before)

    def keep(self, message: Message, source: Port) -> bool:
        """Retain a message (gateway.dataplane.router.Retainer); False when there is no room."""
        retained = self.retained
        if message.subject.startswith(SERVICES):  # A request with the header of what it asks for.
            return True
        limit = self.limit_for(message, source)
        if limit is not None:
            retained.refused += 1
            retained.short_of = retained.limit_for(message) or retained.short_of
            self.report_refusal(limit)
            return False
        seconds = expiry_seconds(message.header())
        count, size = len(retained), retained.bytes
        kept = retained.keep(message, 0.0 if seconds is None else self.clock() + seconds)
        # What others retained may be deleted or replaced: that makes nobody's account negative.
        source.retained = max(source.retained + len(retained) - count, 0)
        source.retained_bytes = max(source.retained_bytes + retained.bytes - size, 0)
        self.offer_retained()
        return kept

    def limit_for(self, message: Message, source: Port) -> str | None:
        """The key of the limit that keeps a message from being retained; None where nothing does.

        The gateway itself and hubs are no clients with a share.
        """
        if not message.is_retained() or message.size == message.header_size:
            return None
        if source is not self.port and not source.leaf:
            new = message.subject not in self.retained
            if new and source.retained >= self.max_retained_per_client:
                return "max-retained-messages-per-client"
            if source.retained_bytes + self.retained.growth(message) > self.max_retained_bytes_per_client:
                return "max-retained-bytes-per-client"
        return self.retained.limit_for(message)

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


def nobody_hears(limit: str) -> None:
    """A limit kept a message out."""
