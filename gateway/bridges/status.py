"""What there is to tell of a bridge at one moment."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """`since` is when the link came up or went down; `flaps` counts how often it was lost. `fault` is what is wrong, in
    a line.

    `queued_msgs` and `queued_bytes` wait for the broker, `dropped_msgs` found no room there, `refused_msgs` the broker
    did not take, and `not_taken_msgs` came from it in vain.
    """

    name: str
    url: str
    version: str
    up: bool
    since: datetime
    last_error: str
    fault: str
    flaps: int
    attempts: int
    queued_msgs: int
    queued_bytes: int
    dropped_msgs: int
    refused_msgs: int
    not_taken_msgs: int
