"""The keys of `[[store-and-forward]]`: what is stored for a hub until that has it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.settings.checks import check_filter
from gateway.settings.file import KeyedValueError
from gateway.settings.units import MIB, Seconds
from protocols.subjects import RESERVED_SUBJECTS, overlaps


class KeepOne(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Of what waits, one message of each subject is kept for every so many seconds."""

    keep_one_in_seconds: Annotated[float, Meta(ge=0.001, le=86_400 * 366)]


class StoreAndForward(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One buffer. Under the same `name` it goes on with what waits; without one it has the name of its uplink, and an
    uplink is named where there are several: all of those that lead to the place that it is for.
    """

    subjects: tuple[str, ...]
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=64)] = ""
    uplink: str | tuple[str, ...] = ""
    max_bytes: Annotated[int, Meta(ge=MIB, le=1 << 50)] = 1024 * MIB
    max_messages: Annotated[int, Meta(ge=0, le=1 << 47)] = 0
    max_age_seconds: Annotated[float, Meta(ge=0, le=86_400 * 3660)] = 7 * 86_400.0
    when_full: Literal["drop-oldest", "drop-newest", "last-value"] | KeepOne = "drop-oldest"
    require_stream: bool = True
    jetstream_domain: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=64)] = ""
    memory: bool = False
    commit_interval_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    max_messages_per_second: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    acknowledge_timeout_seconds: Seconds = 5.0

    def __post_init__(self) -> None:
        if not self.subjects:
            raise KeyedValueError("subjects", "at least one is needed, as sensors.>")
        for index, subject in enumerate(self.subjects):
            place = f"subjects[{index}]"
            check_filter(place, subject)
            if subject.startswith("$") or subject.encode().startswith(RESERVED_SUBJECTS):
                raise KeyedValueError(place, f"{subject!r} is the servers' own: it cannot wait for anybody")
            check_disjoint(place, subject, self.subjects[:index])

    @property
    def title(self) -> str:
        """What it is called where the configuration is spoken of."""
        return self.name or next(iter(self.uplink_names), "") or self.subjects[0]

    @property
    def uplink_names(self) -> tuple[str, ...]:
        """The names of its uplinks; none where it is for the only one that there is."""
        names = (self.uplink,) if isinstance(self.uplink, str) else self.uplink
        return tuple(filter(None, names))


def check_disjoint(place: str, subject: str, others: tuple[str, ...]) -> None:
    """No message is stored twice for one hub. Raises KeyedValueError."""
    for other in others:
        if overlaps(subject.encode(), other.encode()):
            raise KeyedValueError(place, f"{subject} and {other} overlap: a message would go to the hub twice")
