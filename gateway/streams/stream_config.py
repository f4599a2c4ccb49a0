"""StreamConfig: how a stream is configured, as the API spells it: what is left out, what is allowed, what it means."""

from typing import Literal

import msgspec

from gateway.storage.streams.chunk import LAST_SEQUENCE
from gateway.storage.streams.limits import MOST_MESSAGE_BYTES, NO_LIMIT, Discard, Limits
from gateway.streams.errors import (
    MIRROR_NOT_CHANGEABLE,
    NEGATIVE_REPLICAS,
    REPLICAS,
    STREAM_CONFIG,
    STREAM_FEATURE,
    STREAM_PATH,
    ApiError,
)
from gateway.streams.filter_tree import FilterTree
from gateway.streams.origin_config import RepublishConfig, StreamOrigin, TransformConfig
from gateway.streams.times import SECOND
from gateway.version import SPOKEN_VERSION
from protocols.foreign_json import Int64
from protocols.foreign_text import is_legal_literal
from protocols.subjects import is_literal, is_subset, is_valid_filter, overlaps

LONGEST_NAME = 255
LONGEST_DESCRIPTION = 4096
MOST_METADATA_BYTES = 128 << 10
MOST_SUBJECTS = 128
# Of all subjects together: they are looked through while others wait.
MOST_SUBJECT_BYTES = 32 << 10
DEFAULT_WINDOW = 120 * SECOND
SHORTEST_WINDOW = SHORTEST_AGE = 100_000_000
NO_NAME = "stream name is required and can not contain '.', '*', '>', '\\', '/'"
# What is said of the API's level, as that version says it.
LEVEL = "5"
# Streams have no subjects of these without `no_ack`: their answers would go round in a circle.
API_SUBJECTS = (b"$JS.>", b"$JSC.>", b"$NRG.>")
SYSTEM_SUBJECTS, EVENTS = b"$SYS.>", (b"$SYS.ACCOUNT.>", b"$JS.EVENT.>")


class ConsumerLimits(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    inactive_threshold: Int64 = 0
    max_ack_pending: Int64 = 0


class Placement(msgspec.Struct, omit_defaults=True):
    """Where in a cluster a stream is to be. There is none here; what is asked for is told again."""

    cluster: str = ""
    tags: list[str] | None = None
    preferred: str = ""

    @property
    def is_anywhere(self) -> bool:
        return not (self.cluster or self.tags or self.preferred)


class StreamConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Times are in nanoseconds, sizes in bytes; -1 stands for no limit. What this gateway has no use for is here to be
    refused by its name (`check_features`), never to be passed over.
    """

    name: str = ""
    description: str = ""
    subjects: list[str] | None = None
    retention: Literal["limits", "interest", "workqueue"] = "limits"
    max_consumers: Int64 = -1
    max_msgs: Int64 = -1
    max_bytes: Int64 = -1
    max_age: Int64 = 0
    max_msgs_per_subject: Int64 = -1
    max_msg_size: Int64 = -1
    discard: Literal["old", "new"] = "old"
    storage: Literal["file", "memory"] = "file"
    num_replicas: Int64 = 1
    no_ack: bool = False
    duplicate_window: Int64 = 0
    placement: Placement | None = None
    mirror: StreamOrigin | None = None
    sources: list[StreamOrigin] | None = None
    compression: Literal["none", "s2", ""] = "none"
    first_seq: Int64 = 0
    subject_transform: TransformConfig | None = None
    republish: RepublishConfig | None = None
    allow_direct: bool = False
    mirror_direct: bool = False
    discard_new_per_subject: bool = False
    sealed: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_rollup_hdrs: bool = False
    consumer_limits: ConsumerLimits | None = None
    allow_msg_ttl: bool = False
    subject_delete_marker_ttl: Int64 = 0
    allow_msg_counter: bool = False
    allow_atomic: bool = False
    allow_msg_schedules: bool = False
    persist_mode: Literal["", "default", "async"] = ""
    allow_batched: bool = False
    template_owner: str = ""
    metadata: dict[str, str] | None = None
    pedantic: bool = False

    @property
    def filters(self) -> list[bytes]:
        return [subject.encode("utf-8", "surrogateescape") for subject in self.subjects or ()]

    @property
    def has_origins(self) -> bool:
        """Whether messages come from other streams."""
        return self.mirror is not None or bool(self.sources)

    @property
    def kept_subjects(self) -> list[bytes]:
        """Filters for the subjects under which messages are kept; none where that may be any."""
        return [] if self.has_origins or self.subject_transform is not None else self.filters

    @property
    def is_queue(self) -> bool:
        """Whether what is acknowledged goes."""
        return self.retention != "limits"

    @property
    def ages_one_by_one(self) -> bool:
        """Whether each message is let go at its own time, because it may say itself how long that is."""
        return self.allow_msg_ttl

    def limits(self) -> Limits:
        """What the storage is to hold to."""
        return Limits(
            max_messages=_limit(self.max_msgs),
            max_bytes=_limit(self.max_bytes),
            max_age=0.0 if self.ages_one_by_one else self.max_age / SECOND,
            # Where a roll-up may ask for it, the place of each message is known.
            max_per_subject=_limit(self.max_msgs_per_subject) if self.max_msgs_per_subject > 0 else self._most_places(),
            max_message_bytes=MOST_MESSAGE_BYTES,
            discard=Discard(self.discard),
            discard_new_per_subject=self.discard_new_per_subject,
        )

    def _most_places(self) -> int:
        return NO_LIMIT - 1 if self.allow_rollup_hdrs else NO_LIMIT

    def told(self) -> dict[str, object]:
        """As the API tells it: what says nothing is left out where nats-server leaves it out."""
        told: dict[str, object] = {"name": self.name}
        told |= _said(description=self.description, subjects=self.subjects)
        told |= {
            "retention": self.retention,
            "max_consumers": self.max_consumers,
            "max_msgs": self.max_msgs,
            "max_bytes": self.max_bytes,
            "max_age": self.max_age,
            "max_msgs_per_subject": self.max_msgs_per_subject,
            "max_msg_size": self.max_msg_size,
            "discard": self.discard,
            "storage": self.storage,
            "num_replicas": self.num_replicas,
        }
        told |= _said(no_ack=self.no_ack, duplicate_window=self.duplicate_window)
        told |= _said(placement=self.placement, mirror=self.mirror, sources=self.sources)
        told["compression"] = self.compression
        told |= _said(first_seq=self.first_seq, subject_transform=self.subject_transform)
        if self.republish is not None:
            told["republish"] = self.republish.told()
        told |= {"allow_direct": self.allow_direct, "mirror_direct": self.mirror_direct}
        told |= _said(discard_new_per_subject=self.discard_new_per_subject)
        told |= {
            "sealed": self.sealed,
            "deny_delete": self.deny_delete,
            "deny_purge": self.deny_purge,
            "allow_rollup_hdrs": self.allow_rollup_hdrs,
            "consumer_limits": self.consumer_limits or {},
            "allow_msg_ttl": self.allow_msg_ttl,
        }
        told |= _said(subject_delete_marker_ttl=self.subject_delete_marker_ttl)
        told |= _said(allow_msg_counter=self.allow_msg_counter, allow_atomic=self.allow_atomic)
        told |= _said(allow_msg_schedules=self.allow_msg_schedules, persist_mode=self.persist_mode)
        told |= _said(allow_batched=self.allow_batched, metadata=self.metadata)
        return told


def _limit(value: int) -> int:
    return value if value >= 0 else NO_LIMIT


def _said(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value}


def complete(config: StreamConfig) -> None:
    """Put in what a request may leave out."""
    for name in ("max_consumers", "max_msgs", "max_bytes", "max_msgs_per_subject", "max_msg_size"):
        if getattr(config, name) == 0 or getattr(config, name) < -1:
            setattr(config, name, -1)
    if config.num_replicas == 0:
        config.num_replicas = 1
    config.subjects = config.subjects or (None if config.has_origins else [config.name])
    config.compression = config.compression or "none"
    if config.duplicate_window == 0 and not config.has_origins:
        config.duplicate_window = min(DEFAULT_WINDOW, config.max_age) if config.max_age > 0 else DEFAULT_WINDOW
    if config.subject_delete_marker_ttl > 0:
        config.allow_msg_ttl = True
    if config.subject_delete_marker_ttl > 0 or config.allow_msg_schedules:
        config.allow_rollup_hdrs, config.deny_purge = True, False
    if config.persist_mode == "default":
        config.persist_mode = ""
    config.metadata = dict(config.metadata or {})
    for name in ("_nats.ver", "_nats.level", "_nats.req.level"):
        config.metadata.pop(name, None)
    config.metadata |= {"_nats.level": LEVEL, "_nats.req.level": required_level(config), "_nats.ver": SPOKEN_VERSION}
    config.pedantic = False


def required_level(config: StreamConfig) -> str:
    """The level of the API that what is configured needs."""
    if config.allow_batched:
        return "4"
    if config.allow_msg_counter or config.allow_atomic or config.allow_msg_schedules or config.persist_mode:
        return "2"
    return "1" if config.allow_msg_ttl or config.subject_delete_marker_ttl else "0"


def check(config: StreamConfig) -> None:
    """Whether a completed configuration is one for a stream. Raises ApiError."""
    check_features(config)
    check_name(config.name)
    if len(config.description) > LONGEST_DESCRIPTION:
        raise refused(f"stream description is too long, maximum allowed is {LONGEST_DESCRIPTION}")
    metadata = config.metadata or {}
    if sum(len(key) + len(value) for key, value in metadata.items()) > MOST_METADATA_BYTES:
        raise refused("stream metadata exceeds maximum size of 128 KiB")
    if config.num_replicas < 0:
        raise ApiError(NEGATIVE_REPLICAS)
    if config.num_replicas > 1:
        raise ApiError(REPLICAS)
    if 0 < config.max_age < SHORTEST_AGE:
        raise refused("max age needs to be >= 100ms")
    if config.max_age < 0:
        raise refused("max age can not be negative")
    if config.duplicate_window < 0:
        raise refused("duplicates window can not be negative")
    if config.max_age and config.duplicate_window > config.max_age:
        raise refused("duplicates window can not be larger then max age")
    if 0 < config.duplicate_window < SHORTEST_WINDOW:
        raise refused("duplicates window needs to be >= 100ms")
    if config.deny_purge and config.allow_rollup_hdrs:
        raise refused("roll-ups require the purge permission")
    if config.discard_new_per_subject:
        if config.discard != "new":
            raise refused("discard new per subject requires discard new policy to be set")
        if config.max_msgs_per_subject <= 0:
            raise refused("discard new per subject requires max msgs per subject > 0")
    check_counter(config)
    check_persistence(config)
    if config.allow_msg_schedules and config.discard == "new":
        raise refused("message scheduling cannot use discard new")
    if config.placement is not None and config.placement.preferred:
        raise refused("preferred server not permitted in placement")
    if 0 < config.subject_delete_marker_ttl < SECOND:
        raise refused("subject delete marker TTL must be at least 1 second")
    if config.subject_delete_marker_ttl < 0:
        raise refused("subject delete marker TTL must not be negative")
    if not 0 <= config.first_seq <= LAST_SEQUENCE:
        raise refused(f"first sequence can not be above {LAST_SEQUENCE}")
    check_subjects(config)


def check_counter(config: StreamConfig) -> None:
    """Raises ApiError."""
    if not config.allow_msg_counter:
        return
    contradictions = (
        (config.discard == "new", "cannot use discard new"),
        (config.allow_msg_ttl, "cannot use message TTLs"),
        (config.allow_msg_schedules, "cannot use message schedules"),
        (config.retention != "limits", "can only use limits retention"),
    )
    for wrong, text in contradictions:
        if wrong:
            raise refused(f"counter stream {text}")


def check_persistence(config: StreamConfig) -> None:
    """Raises ApiError."""
    if config.persist_mode != "async":
        return
    if config.storage != "file":
        raise refused("async persist mode is only supported on file storage")
    if config.allow_atomic:
        raise refused("async persist mode is not supported with atomic batch publish")


def check_name(name: str) -> None:
    """Raises ApiError."""
    if not name or any(character in name for character in " .*>\t\r\n\f") or not name.isprintable():
        raise refused(NO_NAME)
    if len(name) > LONGEST_NAME:
        raise refused(f"stream name is too long, maximum allowed is {LONGEST_NAME}")
    if "/" in name or "\\" in name:
        raise ApiError(STREAM_PATH)


def check_subjects(config: StreamConfig) -> None:
    """Raises ApiError."""
    filters = config.filters
    if len(filters) > MOST_SUBJECTS:
        raise refused(f"a stream has at most {MOST_SUBJECTS} subjects")
    if sum(map(len, filters)) > MOST_SUBJECT_BYTES:
        raise refused(f"the subjects of a stream have at most {MOST_SUBJECT_BYTES} bytes together")
    tree = FilterTree()
    for number, subject in enumerate(filters):
        if not is_valid_filter(subject) or not is_legal_literal(subject.replace(b"*", b"x").replace(b">", b"x")):
            raise refused("invalid subject")
        if subject == b">" and not config.no_ack:
            raise refused("capturing all subjects requires no-ack to be true")
        if not config.no_ack:
            events = any(is_subset(subject, wide) for wide in EVENTS)
            if not events and any(overlaps(subject, api) for api in API_SUBJECTS):
                raise refused("subjects that overlap with jetstream api require no-ack to be true")
            if not events and overlaps(subject, SYSTEM_SUBJECTS):
                raise refused("subjects that overlap with system api require no-ack to be true")
        if tree.overlaps(subject):
            other = next(one for one in filters[:number] if overlaps(subject, one))
            one, another = other.decode("utf-8", "replace"), subject.decode("utf-8", "replace")
            raise refused(f'subject "{one}" overlaps with "{another}"')
        tree.add(subject)


def check_features(config: StreamConfig) -> None:
    """Raises ApiError where something is asked for that there is not."""
    if config.template_owner:
        raise ApiError(STREAM_FEATURE.with_text("template_owner"))


def check_update(old: StreamConfig, new: StreamConfig) -> None:
    """Whether a stream may become another like that. Raises ApiError."""
    if old.storage != new.storage:
        raise refused("stream configuration update can not change storage type")
    if old.retention != new.retention and "workqueue" in (old.retention, new.retention):
        raise refused("stream configuration update can not change retention policy to/from workqueue")
    if old.sealed and not new.sealed:
        raise refused("stream configuration update can not unseal a sealed stream")
    if old.deny_delete and not new.deny_delete:
        raise refused("stream configuration update can not cancel deny message deletes")
    if old.deny_purge and not new.deny_purge:
        raise refused("stream configuration update can not cancel deny purge")
    if new.mirror is not None and new.mirror != old.mirror:
        raise ApiError(MIRROR_NOT_CHANGEABLE)
    if old.allow_msg_ttl and not new.allow_msg_ttl:
        raise refused("message TTL status can not be disabled")
    if old.allow_msg_counter != new.allow_msg_counter:
        raise refused("stream configuration update can not change message counter setting")
    if old.allow_msg_schedules and not new.allow_msg_schedules:
        raise refused("message schedules can not be disabled")
    if old.persist_mode != new.persist_mode:
        raise refused("stream configuration update can not change persist mode")
    if old.limits().is_exact != new.limits().is_exact or old.ages_one_by_one != new.ages_one_by_one:
        text = "max_msgs_per_subject, allow_rollup_hdrs and subject_delete_marker_ttl of a stream that has messages"
        raise ApiError(STREAM_FEATURE.with_text(f"changing whether there are {text}"))


def covers(wide: list[bytes], subject: bytes) -> bool:
    """Whether one of some filters matches everything that a filter does."""
    return any(is_subset(subject, one) for one in wide)


def refused(text: str) -> ApiError:
    return ApiError(STREAM_CONFIG.with_text(text))


def is_wild(subject: bytes) -> bool:
    return not is_literal(subject)
