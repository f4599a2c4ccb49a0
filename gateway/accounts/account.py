"""Account: one isolated subject space, and what belongs to it."""

import time
from typing import TYPE_CHECKING

from gateway.dataplane.port import Receiver
from gateway.dataplane.router import Router
from gateway.storage.retained_messages import RetainedMessages
from protocols.message import Message
from protocols.mqtt.header_mapping import expiry_seconds

if TYPE_CHECKING:
    from gateway.services.presence import Presence

GLOBAL_ACCOUNT = "$G"


class Account:
    """A router with a subject tree of its own: what is published in one account never reaches another."""

    def __init__(self, name: str, retained: RetainedMessages) -> None:
        self.name = name
        self.router = Router(self)
        self.retained = retained
        # Reads retained messages to NATS clients; subscribed from the first one on.
        self.retained_requests: Receiver | None = None
        # Who is there, by the subject that says so.
        self.presences: dict[bytes, Presence] = {}

    def keep(self, message: Message) -> bool:
        """Retain a message (gateway.dataplane.router.Retainer); False when there is no room."""
        seconds = expiry_seconds(message.header())
        kept = self.retained.keep(message, 0.0 if seconds is None else time.time() + seconds)
        self.offer_retained()
        return kept

    def offer_retained(self) -> None:
        """Answer requests for retained messages once there is one."""
        service = self.retained_requests
        if service is not None and service.slot < 0 and len(self.retained):
            self.router.subscribe(service)
