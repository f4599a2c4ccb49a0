"""The keys of `[mqtt]`: limits that only MQTT knows."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.settings.security import BucketName
from gateway.settings.units import DAY, KIB, MIB


class Mqtt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Limits that only MQTT knows."""

    # The largest payload that NATS may carry, with room for a topic and properties.
    max_packet_bytes: Annotated[int, Meta(ge=128, le=64 * MIB)] = MIB + 64 * KIB
    max_user_properties: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    max_keep_alive_seconds: Annotated[int, Meta(ge=0, le=65_535)] = 0
    max_connects_per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    max_sessions: Annotated[int, Meta(ge=1, le=10_000_000)] = 65_536
    max_session_expiry_seconds: Annotated[int, Meta(ge=0, le=0xFFFFFFFE)] = 30 * DAY
    max_inflight: Annotated[int, Meta(ge=1, le=65_535)] = 100
    max_queued_messages: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    max_queued_bytes: Annotated[int, Meta(ge=0, le=4096 * MIB)] = 64 * MIB
    max_will_bytes: Annotated[int, Meta(ge=0, le=64 * MIB)] = MIB + 64 * KIB
    receive_maximum: Annotated[int, Meta(ge=1, le=65_535)] = 1000
    max_topic_aliases: Annotated[int, Meta(ge=0, le=65_535)] = 32
    max_topic_levels: Annotated[int, Meta(ge=1, le=65_535)] = 128
    max_retained_messages: Annotated[int, Meta(ge=0, le=100_000_000)] = 65_536
    max_retained_bytes: Annotated[int, Meta(ge=0, le=4096 * MIB)] = 32 * MIB
    max_retained_messages_per_client: Annotated[int, Meta(ge=0, le=100_000_000)] = 16_384
    max_retained_bytes_per_client: Annotated[int, Meta(ge=0, le=4096 * MIB)] = 16 * MIB
    sys_interval_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 10.0
    # Of the default account; others have it in their own table.
    retained_bucket: BucketName = ""
