"""The keys of `[[store-and-forward]]`: what is stored for a hub until that has it."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.checks import check_filter, check_unique
from gateway.settings.file import KeyedValueError
from gateway.settings.units import MIB, Seconds
from gateway.settings.uplink import Uplink
from protocols.subjects import RESERVED_SUBJECTS, overlaps

# What a buffer is called that has no name, and whose uplink has none.
DEFAULT_BUFFER = "uplink"


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


def uplinks_of(buffer: StoreAndForward, uplinks: Sequence[Uplink]) -> tuple[Uplink, ...]:
    """The uplinks that a buffer is for, in the order in which it names them, or the only one; none where one of those
    names is nobody's.
    """
    names = buffer.uplink_names
    if not names:
        return tuple(uplinks) if len(uplinks) == 1 else ()
    found = tuple(one for name in names for one in uplinks if one.name == name)
    return found if len(found) == len(names) else ()


def name_of(buffer: StoreAndForward, uplinks: Sequence[Uplink]) -> str:
    """The name under which a buffer is known on the disk: its own, or that of its first uplink."""
    return buffer.name or next((one.name for one in uplinks_of(buffer, uplinks)), "") or DEFAULT_BUFFER


def check_buffers(buffers: Sequence[StoreAndForward], uplinks: Sequence[Uplink], on_disk: bool) -> None:
    """Each buffer is for uplinks of an account, has a name of its own, and no message is in two for one hub; without a
    data directory (`on_disk`) it is in memory. Raises KeyedValueError.
    """
    names: dict[str, str] = {}
    covered: dict[int, tuple[str, ...]] = {}
    for index, buffer in enumerate(buffers):
        place = f"store-and-forward[{index}]"
        links = uplinks_of(buffer, uplinks)
        if not links:
            raise KeyedValueError(f"{place}.uplink", _missing_uplink(buffer, uplinks))
        if len({one.account or DEFAULT_ACCOUNT for one in links}) > 1:
            raise KeyedValueError(f"{place}.uplink", "these uplinks are of several accounts")
        check_unique(names, name_of(buffer, uplinks), f"{place}.name")
        for number in map(uplinks.index, links):
            for position, subject in enumerate(buffer.subjects):
                check_disjoint(f"{place}.subjects[{position}]", subject, covered.get(number, ()))
            covered[number] = (*covered.get(number, ()), *buffer.subjects)
        if not (buffer.memory or on_disk):
            sentence = "without a data-directory only memory = true is possible, and what waits ends with the process"
            raise KeyedValueError(f"{place}.memory", sentence)


def _missing_uplink(buffer: StoreAndForward, uplinks: Sequence[Uplink]) -> str:
    known = [one.name for one in uplinks]
    for name in buffer.uplink_names:
        if name not in known:
            return f"there is no uplink with name = {name!r}"
    return "there are several uplinks: name the one that is meant" if uplinks else "there is no uplink"


def check_disjoint(place: str, subject: str, others: tuple[str, ...]) -> None:
    """No message is stored twice for one hub. Raises KeyedValueError."""
    for other in others:
        if overlaps(subject.encode(), other.encode()):
            raise KeyedValueError(place, f"{subject} and {other} overlap: a message would go to the hub twice")
