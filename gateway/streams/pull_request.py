"""PullRequest: what a client asks of a consumer: so many messages, for so long."""

import msgspec

from gateway.dataplane.port import Port
from gateway.streams.times import SECOND
from protocols import foreign_json
from protocols.foreign_json import Int64

LONGEST_WAIT = 1e9
# Messages, and bytes, that one request is good for, so that those of all can be added up.
MOST_ASKED = 1 << 40
FOREVER = float("inf")
# Behind all that say what their priority is.
LAST_PRIORITY = 1 << 31


class Asked(msgspec.Struct):
    """What a request may say. `expires` and `idle_heartbeat` are in nanoseconds; what stands behind those is about
    priority groups. `is_formal`: it was written as JSON.
    """

    batch: Int64 = 0
    expires: Int64 = 0
    no_wait: bool = False
    max_bytes: Int64 = 0
    idle_heartbeat: Int64 = 0
    group: str = ""
    min_pending: Int64 = 0
    min_ack_pending: Int64 = 0
    id: str = ""
    priority: Int64 = 0
    is_formal: bool = False


_decoder = foreign_json.Decoder(Asked)


class PullRequest:
    """One that waits. `left` messages are to come, and `bytes_left` bytes where it said so (`bounded`). One that is not
    to wait ends with what there is, once it `is_begun`; until then it waits for a first message.
    """

    __slots__ = (
        "asker",
        "bounded",
        "bytes_left",
        "expires_at",
        "group",
        "heartbeat",
        "heartbeat_at",
        "is_begun",
        "is_over",
        "left",
        "min_ack_pending",
        "min_pending",
        "no_wait",
        "pin",
        "priority",
        "reply",
    )

    def __init__(self, asked: Asked, reply: bytes, asker: Port, now: float) -> None:
        self.reply = reply
        self.asker = asker
        self.left = min(max(asked.batch, 0), MOST_ASKED)
        self.bounded = asked.max_bytes > 0
        self.bytes_left = min(max(asked.max_bytes, 0), MOST_ASKED)
        self.no_wait = asked.no_wait
        self.is_over = False
        self.is_begun = asked.expires <= 0
        self.expires_at = now + asked.expires / SECOND if asked.expires > 0 else LONGEST_WAIT + now
        self.heartbeat = asked.idle_heartbeat / SECOND
        self.heartbeat_at = now + self.heartbeat if self.heartbeat else self.expires_at + LONGEST_WAIT

        self.group, self.pin = asked.group, asked.id
        self.min_pending, self.min_ack_pending = asked.min_pending, asked.min_ack_pending
        self.priority = asked.priority if asked.is_formal else LAST_PRIORITY

    @property
    def due_at(self) -> float:
        """When something is to be said to whoever asks, at the latest."""
        return min(self.expires_at, self.heartbeat_at)


def parse(payload: bytes) -> Asked:
    """Raises msgspec.DecodeError and ValueError."""
    text = payload.strip()
    if not text:
        return Asked(1)
    if text.startswith(b"{"):
        asked = _decoder.decode(text)
        asked.is_formal = True
        return asked
    return Asked(int(text) if text.isdigit() and len(text) < 10 else 1)
