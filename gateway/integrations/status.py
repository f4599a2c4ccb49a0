"""What there is to tell of an integration at one moment."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationStatus:
    """`waiting_msgs` are not acknowledged by the other side yet, with about so many bytes. `sent_msgs` it has
    acknowledged, `received_msgs` came from it and were kept here; `dropped_msgs`, by reason, are lost; all since the
    start. `outages` counts how often it went down, `fault` is what is wrong with it, in a line.
    """

    kind: str
    name: str
    account: str
    up: bool
    since: datetime
    last_error: str
    fault: str
    outages: int
    waiting_msgs: int
    waiting_bytes: int
    sent_msgs: int
    received_msgs: int
    dropped_msgs: dict[str, int] = field(default_factory=dict)
