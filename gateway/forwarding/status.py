"""What there is to tell of a buffer at one moment."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BufferStatus:
    """`messages` and `bytes` wait, the oldest for `oldest_seconds`; `under_way` of them are not acknowledged yet.

    `forwarded` were acknowledged by the hub, `repeated` of them it had already, `plain` were sent without a stream;
    `dropped` by reason; all since the start. `state` is `flowing`, `waiting` (the link is down), `held` (the hub does
    not take them; `last_error` says why) or `unconfigured`. `fault` is what is wrong, in a line.
    """

    name: str
    account: str
    uplink: str
    state: str
    messages: int
    bytes: int
    oldest_seconds: float
    under_way: int
    forwarded: int
    repeated: int
    resent: int
    plain: int
    last_error: str
    fault: str
    dropped: dict[str, int] = field(default_factory=dict)
