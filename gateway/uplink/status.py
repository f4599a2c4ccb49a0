"""What there is to tell of a link to a hub at one moment."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """`state` is `up`, `down` or `standby`, while the link that it is `standing_by_for` serves the same place; `since`
    is when it became so. `flaps` counts how often the link was lost; `fault` is what is wrong with it, in a line.

    `refused_interest` are subjects that the hub refused though its permissions did not say so, `dropped_msgs` messages
    that it would not have taken.
    """

    name: str
    account: str
    url: str
    hub: str
    up: bool
    state: str
    standing_by_for: str
    since: datetime
    last_error: str
    fault: str
    flaps: int
    attempts: int
    refused_interest: int
    dropped_msgs: int
