"""What of an MQTT session is stored, as values. Times are seconds of the running clock; 0.0 stands for
none."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.storage.schema import UNKNOWN_SENT
from protocols.message import Message

if TYPE_CHECKING:
    from protocols.mqtt.packets import Subscription

NEVER_EXPIRES = 0xFFFFFFFF


@dataclass(slots=True)
class StoredWill:
    """`message` holds subject, reply, header, payload and QoS. `due_at` is set once the client has gone."""

    message: Message
    retain: bool = False
    delay_seconds: int = 0
    expiry_seconds: int = 0
    due_at: float = 0.0


@dataclass(slots=True)
class StoredSession:
    """`key` comes from `SessionStore.new_key`. `ended_at` is 0.0 while a client is connected.

    `sent_through` is the last place in the queue that may have been sent, 0 for none; UNKNOWN_SENT while a client is
    connected. `user` is whose it is, empty for nobody's; `proof` is what is kept of how he was recognised.
    """

    key: int
    client_id: bytes
    version: int
    expiry_seconds: int
    ended_at: float = 0.0
    will: StoredWill | None = None
    sent_through: int = UNKNOWN_SENT
    user: str = ""
    proof: bytes = b""


@dataclass(slots=True)
class QueuedMessage:
    """A message that a session has not seen acknowledged.

    A `released` one is QoS 2 and waits for its PUBCOMP; of it nothing but the sequence is left, `message` is None.
    """

    sequence: int
    qos: int
    retain: bool
    released: bool
    identifiers: tuple[int, ...]
    expires_at: float
    message: Message | None


@dataclass(slots=True)
class RestoredSession:
    """A session as it was found at start. `queue_bytes` counts the headers and payloads of what is queued.

    The sequences are 0 when nothing is queued. `subscriptions` are pairs of a subscription and its identifier, 0: none.
    """

    session: StoredSession
    subscriptions: "list[tuple[Subscription, int]]"
    received: set[int]
    queue_count: int
    queue_bytes: int
    first_sequence: int
    last_sequence: int
