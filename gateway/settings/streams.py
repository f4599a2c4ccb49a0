"""The keys of `[streams]`: JetStream's API on the gateway itself."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.settings.archive import Archive
from gateway.settings.units import MIB


class Streams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Streams are on where the table is there. `domain` is the gateway's name where none is given. `max_bytes` is what
    the file of all streams may take (0: what the disk has), `max_memory_bytes` what those in memory may take together.
    `max_streams` is for one account, `max_consumers` for one stream (0: no limit of its own).
    """

    domain: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=64)] = ""
    max_bytes: Annotated[int, Meta(ge=0, le=1 << 50)] = 0
    max_memory_bytes: Annotated[int, Meta(ge=MIB, le=1 << 50)] = 64 * MIB
    max_streams: Annotated[int, Meta(ge=0, le=30_000)] = 1000
    max_consumers: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    commit_interval_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    archive: tuple[Archive, ...] = ()
