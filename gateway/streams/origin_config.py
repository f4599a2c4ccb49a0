"""How a stream says where it has messages from besides what is published on its subjects, and where it hands them on:
mirror, sources, subject transform and republish, as the API spells them.
"""

import msgspec

from gateway.streams.name_hash import name_hash
from protocols.foreign_json import Natural
from protocols.subject_transform import SubjectTransform

EVERYTHING = ">"
API_PREFIX = "$JS.API"
# What stands between the filters of one source in its name, and in the header of what came from it.
FILTER_SEPARATOR = "\f"


class TransformConfig(msgspec.Struct, forbid_unknown_fields=True):
    """An empty source is all there is, an empty destination no change."""

    src: str = ""
    dest: str = ""

    def transform(self) -> SubjectTransform | None:
        """Raises ValueError."""
        return SubjectTransform(self.source, encoded(self.dest)) if self.dest else None

    @property
    def source(self) -> bytes:
        return encoded(self.src or EVERYTHING)


class External(msgspec.Struct, forbid_unknown_fields=True):
    """Where another domain, or another account, answers requests, and where its messages come in."""

    api: str = ""
    deliver: str = ""


class OriginConsumer(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A consumer that is there already."""

    name: str = ""
    deliver_subject: str = ""


class StreamOrigin(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Another stream that messages come from."""

    name: str
    opt_start_seq: Natural = 0
    opt_start_time: str | None = None
    filter_subject: str = ""
    subject_transforms: list[TransformConfig] | None = None
    external: External | None = None
    consumer: OriginConsumer | None = None

    @property
    def index(self) -> str:
        """What tells a source from the others of its stream, and from itself with other filters."""
        told = self.name
        if self.external is not None:
            told += ":" + name_hash(self.external.api)
        if self.consumer is not None:
            told += ":C=" + name_hash(self.consumer.name)
        sources, destinations = self.filter_subject or EVERYTHING, EVERYTHING
        if self.subject_transforms:
            sources = FILTER_SEPARATOR.join(one.src or EVERYTHING for one in self.subject_transforms)
            destinations = FILTER_SEPARATOR.join(one.dest or EVERYTHING for one in self.subject_transforms)
        return f"{told} {sources} {destinations}"


class RepublishConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What is stored is published on another subject."""

    src: str = ""
    dest: str = ""
    headers_only: bool = False

    def told(self) -> dict[str, object]:
        told: dict[str, object] = {"src": self.src} if self.src else {}
        return told | {"dest": self.dest} | ({"headers_only": True} if self.headers_only else {})


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
