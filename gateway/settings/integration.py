"""The keys that all integrations share, and what is known of each kind before its own keys are."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from gateway.settings.checks import check_filter
from gateway.settings.file import KeyedValueError
from gateway.settings.units import KIB, MIB, Seconds
from protocols.subjects import RESERVED_SUBJECTS, is_subset, overlaps

# The fields of the configuration with lists of them.
KINDS: tuple[str, ...] = ("fluent", "influx", "kafka", "modbus", "remote_write", "sparkplug_host", "sparkplug_node")


class Integration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One integration. `name` tells those of one kind apart, and is that of its place in a stream, too.

    A sink takes what is published on `subjects`; with `stream` it reads that stream, of which `subjects`, where there
    are any, are all that it takes. Each kind is a subclass with its `kind` and its own keys, and where it needs a
    `library`, that module's name and the extra of our package that has it.
    """

    kind: ClassVar[str] = ""
    library: ClassVar[tuple[str, str]] = ("", "")

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
    account: str = ""
    subjects: tuple[str, ...] = ()
    stream: Annotated[str, Meta(max_length=255)] = ""
    # What may wait in memory where it is no stream that keeps it.
    max_pending_bytes: Annotated[int, Meta(ge=4 * KIB, le=4096 * MIB)] = 16 * MIB
    # The longest pause before the other side is tried again.
    retry_max_seconds: Seconds = 30.0

    def __post_init__(self) -> None:
        for index, subject in enumerate(self.subjects):
            place = f"subjects[{index}]"
            check_taken(place, subject)
            for other in self.subjects[:index]:
                if overlaps(subject.encode(), other.encode()):
                    raise KeyedValueError(place, f"{subject} and {other} overlap: a message would go twice")

    @property
    def missing(self) -> str:
        """What is to be installed, in a sentence; "" where nothing is missing."""
        module, extra = self.library
        if not module or find_spec(module) is not None:
            return ""
        return f"the library {module} is not installed: pip install 'leafgate[{extra}]'"

    @property
    def label(self) -> str:
        """What it is called in the log and by monitoring."""
        return f"{self.kind}/{self.name}"


def check_possible(place: str, one: Integration, are_streams: bool) -> None:
    """What it needs is installed, and its stream can be. Raises KeyedValueError."""
    if one.missing:
        raise KeyedValueError(place, one.missing)
    if one.stream and not are_streams:
        raise KeyedValueError(f"{place}.stream", "there are no streams here without a table [streams]")


def check_taken(place: str, subject: str) -> None:
    """Raises KeyedValueError for what is no filter, or one of the servers' own subjects."""
    check_filter(place, subject)
    if subject.encode().startswith(RESERVED_SUBJECTS):
        raise KeyedValueError(place, f"{subject!r} is the servers' own")


def outermost(place: str, subjects: Iterable[str]) -> tuple[str, ...]:
    """Of the filters of several entries those that are within no other: what is subscribed to, each message once.
    Raises KeyedValueError where two of them overlap.
    """
    every = list(dict.fromkeys(subjects))
    found = [
        one for one in every if not any(other != one and is_subset(one.encode(), other.encode()) for other in every)
    ]
    for index, one in enumerate(found):
        for other in found[:index]:
            if overlaps(one.encode(), other.encode()):
                sentence = f"{one} and {other} overlap, and neither is within the other: a message would go twice"
                raise KeyedValueError(place, sentence)
    return tuple(found)
