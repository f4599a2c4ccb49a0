"""The keys of `[limits]` and `[timeouts]`: what peers may take, and how long they are waited for."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.settings.file import KeyedValueError
from gateway.settings.units import KIB, MIB, Grace, Seconds


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What one connection, and all of them together, may take."""

    max_payload_bytes: Annotated[int, Meta(ge=1, le=64 * MIB)] = MIB
    max_control_line_bytes: Annotated[int, Meta(ge=64, le=MIB)] = 4 * KIB
    max_header_lines: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 65_536
    max_unintroduced: Annotated[int, Meta(ge=1, le=1_000_000)] = 16_384
    max_unintroduced_per_address: Annotated[int, Meta(ge=1, le=1_000_000)] = 8192
    max_subscriptions: Annotated[int, Meta(ge=0, le=100_000_000)] = 0
    max_subscription_bytes: Annotated[int, Meta(ge=0, le=1 << 50)] = 0
    max_pending_bytes: Annotated[int, Meta(ge=4 * KIB, le=4096 * MIB)] = 64 * MIB
    max_memory_bytes: Annotated[int, Meta(ge=0, le=1 << 50)] = 0

    def __post_init__(self) -> None:
        if self.max_payload_bytes > self.max_pending_bytes:
            raise KeyedValueError(
                "max-payload-bytes",
                f"{self.max_payload_bytes} is above max-pending-bytes, {self.max_pending_bytes}: "
                "no such message could be delivered",
            )


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How long the gateway waits for peers, and for itself when it stops."""

    start_seconds: Grace = 60.0
    connect_seconds: Seconds = 10.0
    ping_interval_seconds: Seconds = 120.0
    ping_max: Annotated[int, Meta(ge=1, le=100)] = 2
    write_deadline_seconds: Seconds = 10.0
    drain_seconds: Grace = 5.0
    lame_duck_grace_seconds: Grace = 10.0
    lame_duck_seconds: Grace = 120.0

    def __post_init__(self) -> None:
        if self.lame_duck_grace_seconds > self.lame_duck_seconds:
            raise KeyedValueError(
                "lame-duck-grace-seconds",
                f"{self.lame_duck_grace_seconds:g} is above lame-duck-seconds, {self.lame_duck_seconds:g}",
            )
