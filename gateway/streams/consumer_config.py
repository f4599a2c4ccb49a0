"""ConsumerConfig: how a consumer is configured, as the API spells it: what is left out, what is allowed."""

import string
from typing import Any, Literal

import msgspec

from gateway.streams import errors
from gateway.streams.errors import ApiError
from gateway.streams.filter_tree import have_overlaps
from gateway.streams.stream_config import (
    LEVEL,
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    MOST_METADATA_BYTES,
    MOST_SUBJECT_BYTES,
    StreamConfig,
    covers,
    is_wild,
)
from gateway.streams.times import SECOND, parse_time
from gateway.version import SPOKEN_VERSION
from protocols.foreign_json import Int64, Natural
from protocols.foreign_text import is_legal_literal
from protocols.subjects import is_valid_filter

ACK_WAIT = 30 * SECOND
MAX_ACK_PENDING = 1000
MAX_WAITING = 512
# What a consumer may have on its way, and have waiting, whatever it asks for.
MOST_ACK_PENDING = 65_536
MOST_WAITING = 65_536
INACTIVE_THRESHOLD = 5 * SECOND
SHORTEST_HEARTBEAT = 100_000_000
MILLISECOND = 1_000_000
MOST_FILTERS = 128
MOST_WAITS = 1024
# How long a pinned client may be silent.
PIN_TIMEOUT = 120 * SECOND
# What acknowledgement by flow control has, whatever is said, and the level of the API that knows it.
FLOW_HEARTBEAT = SECOND
FLOW_LEVEL = "4"
IN_GROUPS = frozenset(string.ascii_letters + string.digits + "/_=-")
LONGEST_GROUP = 16
MOST_GROUPS = 64
# Requests that may wait where each may have to be looked at for a message.
MOST_WAITING_IN_GROUPS = 2048


class ConsumerConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Times are in nanoseconds. What this gateway has no use for is here to be refused by its name."""

    durable_name: str = ""
    name: str = ""
    description: str = ""
    deliver_policy: Literal[
        "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject", "undefined"
    ] = "all"
    opt_start_seq: Natural = 0
    opt_start_time: str | None = None
    ack_policy: Literal["none", "all", "explicit", "flow_control"] = "none"
    ack_wait: Int64 = 0
    max_deliver: Int64 = 0
    backoff: list[Int64] | None = None
    filter_subject: str = ""
    filter_subjects: list[str] | None = None
    replay_policy: Literal["instant", "original"] = "instant"
    rate_limit_bps: Int64 = 0
    sample_freq: str = ""
    max_waiting: Int64 = 0
    max_ack_pending: Int64 = 0
    flow_control: bool = False
    headers_only: bool = False
    max_batch: Int64 = 0
    max_expires: Int64 = 0
    max_bytes: Int64 = 0
    deliver_subject: str = ""
    deliver_group: str = ""
    idle_heartbeat: Int64 = 0
    inactive_threshold: Int64 = 0
    num_replicas: Int64 = 0
    mem_storage: bool = False
    direct: bool = False
    sourcing: bool = False
    metadata: dict[str, str] | None = None
    pause_until: str | None = None
    priority_groups: list[str] | None = None
    priority_policy: Literal["", "none", "overflow", "pinned_client", "prioritized"] = ""
    priority_timeout: Int64 = 0

    @property
    def filters(self) -> list[bytes]:
        texts = [self.filter_subject] if self.filter_subject else self.filter_subjects or []
        return [text.encode("utf-8", "surrogateescape") for text in texts]

    @property
    def is_pull(self) -> bool:
        return not self.deliver_subject

    @property
    def is_hidden(self) -> bool:
        """Whether another stream reads with it, and it is in no list."""
        return self.direct

    @property
    def is_inner(self) -> bool:
        """Whether another stream reads with it, also where it is in lists: no rule of work queues is for it."""
        return self.direct or self.sourcing

    @property
    def acknowledges(self) -> bool:
        return self.ack_policy != "none"

    @property
    def is_confirmed_by_flow(self) -> bool:
        """Whether answers to flow control are what acknowledges."""
        return self.ack_policy == "flow_control"

    @property
    def has_priorities(self) -> bool:
        return self.priority_policy not in ("", "none")

    @property
    def start_ns(self) -> int:
        return parse_time(self.opt_start_time) if self.opt_start_time else 0

    @property
    def pause_ns(self) -> int:
        return parse_time(self.pause_until) if self.pause_until else 0

    def told(self) -> dict[str, object]:
        """As the API tells it."""
        told: dict[str, object] = {}
        for name in ("durable_name", "name", "description"):
            add_said(told, self, name)
        told["deliver_policy"] = self.deliver_policy
        for name in ("opt_start_seq", "opt_start_time"):
            add_said(told, self, name)
        told["ack_policy"] = self.ack_policy
        for name in ("ack_wait", "max_deliver", "backoff", "filter_subject", "filter_subjects"):
            add_said(told, self, name)
        told["replay_policy"] = self.replay_policy
        for name in LAST_FIELDS:
            add_said(told, self, name)
        told["num_replicas"] = self.num_replicas
        for name in ("mem_storage", "direct", "sourcing", "metadata", "pause_until"):
            add_said(told, self, name)
        for name in ("priority_groups", "priority_timeout"):
            add_said(told, self, name)
        if self.has_priorities:
            told["priority_policy"] = self.priority_policy
        return told


LAST_FIELDS = (
    "rate_limit_bps",
    "sample_freq",
    "max_waiting",
    "max_ack_pending",
    "flow_control",
    "headers_only",
    "max_batch",
    "max_expires",
    "max_bytes",
    "deliver_subject",
    "deliver_group",
    "idle_heartbeat",
    "inactive_threshold",
)


def add_said(told: dict[str, object], config: ConsumerConfig, name: str) -> None:
    value: Any = getattr(config, name)
    if value:
        told[name] = value


def become_durable(config: ConsumerConfig) -> None:
    """With which a mirror or a source reads a stream where messages go once they are acknowledged: it does so with its
    answers to flow control, as far as it has them on its disk.
    """
    config.direct, config.durable_name, config.ack_policy = False, config.name, "flow_control"
    config.ack_wait = config.max_deliver = config.inactive_threshold = 0


def check_pedantic(config: ConsumerConfig, stream: StreamConfig) -> None:
    """Whether nothing is to be said otherwise than it was (`complete`). Raises ApiError."""
    limits = stream.consumer_limits
    most, longest = (limits.max_ack_pending, limits.inactive_threshold) if limits is not None else (0, 0)
    faults = (
        (config.max_deliver < -1, "max_deliver must be set to -1"),
        (config.max_waiting < 0, "max_waiting must not be negative"),
        (config.max_ack_pending < -1, "max_ack_pending must be set to -1"),
        (config.max_batch < 0, "max_batch must not be negative"),
        (config.max_expires < 0, "max_expires must not be negative"),
        (config.max_bytes < 0, "max_bytes must not be negative"),
        (config.idle_heartbeat < 0, "idle_heartbeat must not be negative"),
        (config.inactive_threshold < 0, "inactive_threshold must not be negative"),
        (config.priority_timeout < 0, "priority_timeout must not be negative"),
        (
            bool(config.backoff) and config.ack_wait != (config.backoff or [0])[0],
            "first backoff value has to equal batch AckWait",
        ),
        (most > 0 and not config.max_ack_pending, "max_ack_pending must be set if it's configured in stream limits"),
        (
            longest > 0 and not config.inactive_threshold,
            "inactive_threshold must be set if it's configured in stream limits",
        ),
    )
    for is_so, text in faults:
        if is_so:
            raise ApiError(errors.PEDANTIC.with_text(text))


# Of these less than nothing is nothing.
NOT_NEGATIVE = ("max_waiting", "max_batch", "max_expires", "max_bytes", "idle_heartbeat", "inactive_threshold")


def complete(config: ConsumerConfig, stream: StreamConfig) -> None:
    """Put in what a request may leave out."""
    for name in NOT_NEGATIVE:
        setattr(config, name, max(getattr(config, name), 0))
    if config.deliver_policy == "undefined":
        config.deliver_policy = "all"
    if config.backoff:
        config.ack_wait = config.backoff[0]
    if config.max_deliver == 0:
        config.max_deliver = -1
    config.max_deliver = max(config.max_deliver, -1)
    if config.acknowledges:
        if not config.is_confirmed_by_flow:
            config.ack_wait = config.ack_wait or ACK_WAIT
        elif not config.is_pull:
            config.flow_control, config.idle_heartbeat = True, FLOW_HEARTBEAT
        limits = stream.consumer_limits
        default = limits.max_ack_pending if limits is not None and limits.max_ack_pending else MAX_ACK_PENDING
        config.max_ack_pending = config.max_ack_pending or default
    if config.is_pull and config.max_waiting == 0:
        config.max_waiting = MAX_WAITING
    if not config.inactive_threshold:
        limits = stream.consumer_limits
        if limits is not None and limits.inactive_threshold:
            config.inactive_threshold = limits.inactive_threshold
        elif not config.durable_name:
            config.inactive_threshold = INACTIVE_THRESHOLD
    if config.filter_subjects is not None and len(config.filter_subjects) == 1 and not config.filter_subject:
        config.filter_subject, config.filter_subjects = config.filter_subjects[0], None
    config.metadata = dict(config.metadata or {})
    for name in ("_nats.ver", "_nats.level", "_nats.req.level"):
        config.metadata.pop(name, None)
    groups = config.has_priorities or config.priority_groups or config.priority_timeout
    level = "1" if groups or has_pause(config) else "0"
    if config.is_confirmed_by_flow:
        level = FLOW_LEVEL
    config.priority_timeout = max(config.priority_timeout, 0)
    if config.priority_policy == "pinned_client":
        config.priority_timeout = config.priority_timeout or PIN_TIMEOUT
    config.metadata |= {"_nats.level": LEVEL, "_nats.req.level": level, "_nats.ver": SPOKEN_VERSION}


def has_pause(config: ConsumerConfig) -> bool:
    """Whether a time is named up to which nothing is delivered; Go's zero time is none."""
    try:
        return bool(config.pause_ns)
    except ValueError:  # `check` refuses it.
        return False


def check(config: ConsumerConfig, stream: StreamConfig) -> None:
    """Whether a completed configuration is one for a consumer of a stream. Raises ApiError."""
    check_name(config.durable_name or config.name)
    if len(config.description) > LONGEST_DESCRIPTION:
        raise ApiError(errors.DESCRIPTION_TOO_LONG.with_text(LONGEST_DESCRIPTION))
    if sum(len(key) + len(value) for key, value in (config.metadata or {}).items()) > MOST_METADATA_BYTES:
        raise ApiError(errors.CONSUMER_METADATA.with_text(MOST_METADATA_BYTES))
    if config.num_replicas > 1:
        raise ApiError(errors.REPLICAS)
    if config.num_replicas < 0:
        raise ApiError(errors.NEGATIVE_REPLICAS)
    if config.ack_wait < 0:
        raise ApiError(errors.ACK_WAIT_NEGATIVE)
    if config.backoff and len(config.backoff) > MOST_WAITS:
        raise ApiError(errors.CONSUMER_CREATE.with_text(f"a consumer has at most {MOST_WAITS} waits in its backoff"))
    if config.backoff and any(wait < 0 for wait in config.backoff):
        raise ApiError(errors.BACKOFF_NEGATIVE)
    if config.backoff and 0 < config.max_deliver <= len(config.backoff):
        raise ApiError(errors.BACKOFF_TOO_LONG)
    if config.sample_freq:
        percentage_of(config.sample_freq)
    check_priorities(config)
    if config.is_confirmed_by_flow:
        check_flow(config)
    (check_pull if config.is_pull else check_push)(config, stream)
    check_limits(config, stream)
    check_start(config)
    check_filters(config, stream)
    if config.direct:
        check_direct(config, stream)
    elif stream.retention == "workqueue" and not config.sourcing:
        if config.ack_policy not in ("explicit", "flow_control"):
            raise ApiError(errors.PULL_NEEDS_EXPLICIT if config.is_pull else errors.QUEUE_NEEDS_EXPLICIT)
        if config.deliver_policy != "all":
            raise ApiError(errors.QUEUE_NOT_ALL)


def check_direct(config: ConsumerConfig, stream: StreamConfig) -> None:
    """Of a stream where acknowledged messages go, they would go before they are there. Raises ApiError."""
    if config.is_pull:
        raise ApiError(errors.DIRECT_NEEDS_PUSH)
    if config.durable_name:
        raise ApiError(errors.DIRECT_DURABLE)
    if stream.retention != "limits":
        raise ApiError(errors.CONSUMER_FEATURE.with_text("a mirror or source of this stream that acknowledges nothing"))


def check_flow(config: ConsumerConfig) -> None:
    """Raises ApiError."""
    if config.is_pull:
        raise ApiError(errors.FLOW_POLICY_PUSH)
    if config.max_ack_pending < 0:
        raise ApiError(errors.FLOW_POLICY_PENDING)
    if config.ack_wait or config.backoff:
        raise ApiError(errors.FLOW_POLICY_WAIT)
    if config.max_deliver > 0:
        raise ApiError(errors.FLOW_POLICY_DELIVER)


def percentage_of(text: str) -> int:
    """What `sample_freq` says, with or without its sign. Raises ApiError."""
    number = text.removesuffix("%")
    digits = number[1:] if number.startswith(("-", "+")) else number
    if not (digits.isascii() and digits.isdigit()):
        fault = f'strconv.Atoi: parsing "{number}": invalid syntax'
        raise ApiError(errors.INVALID_SAMPLING.with_text(fault))
    if int(number) < 0:
        raise ApiError(errors.INVALID_SAMPLING.with_text("<nil>"))
    return int(number)


def check_priorities(config: ConsumerConfig) -> None:
    """Raises ApiError."""
    if not config.has_priorities:
        if config.priority_groups:
            raise ApiError(errors.GROUPS_WITHOUT_POLICY)
        if config.priority_timeout:
            raise ApiError(errors.PIN_WITHOUT_POLICY)
        return
    if not config.is_pull:
        raise ApiError(errors.PUSH_WITH_GROUPS)
    if not config.priority_groups:
        raise ApiError(errors.POLICY_WITHOUT_GROUP)
    if len(config.priority_groups) > MOST_GROUPS:
        raise ApiError(errors.CONSUMER_CREATE.with_text(f"a consumer has at most {MOST_GROUPS} priority groups"))
    for group in config.priority_groups:
        check_group(group)


def check_group(name: str) -> None:
    """Raises ApiError."""
    if not name:
        raise ApiError(errors.EMPTY_GROUP)
    if len(name) > LONGEST_GROUP or not IN_GROUPS.issuperset(name):
        raise ApiError(errors.INVALID_GROUP)


def check_name(name: str) -> None:
    """Raises ApiError."""
    if len(name) > LONGEST_NAME:
        raise ApiError(errors.NAME_TOO_LONG.with_text(LONGEST_NAME))
    if any(character in name for character in " .*>\t\r\n\f") or (name and not name.isprintable()):
        raise ApiError(errors.BAD_DURABLE)
    if "/" in name or "\\" in name:
        raise ApiError(errors.CONSUMER_PATH)


def check_push(config: ConsumerConfig, stream: StreamConfig) -> None:
    subject = config.deliver_subject.encode("utf-8", "surrogateescape")
    if is_wild(subject):
        raise ApiError(errors.DELIVER_WILDCARDS)
    if not is_legal_literal(subject):
        raise ApiError(errors.INVALID_DELIVER)
    if covers(stream.filters, subject):
        raise ApiError(errors.DELIVER_CYCLE)
    if config.max_waiting:
        raise ApiError(errors.PUSH_MAX_WAITING)
    if config.idle_heartbeat and config.idle_heartbeat < SHORTEST_HEARTBEAT:
        raise ApiError(errors.HEARTBEAT_TOO_SMALL)
    if config.flow_control and not config.idle_heartbeat:
        raise ApiError(errors.FLOW_NEEDS_HEARTBEAT)
    if config.max_ack_pending and not config.acknowledges:
        raise ApiError(errors.PENDING_NEEDS_POLICY)


def check_pull(config: ConsumerConfig, stream: StreamConfig) -> None:
    if config.rate_limit_bps:
        raise ApiError(errors.PULL_WITH_RATE)
    if config.idle_heartbeat:
        raise ApiError(errors.HEARTBEAT_NEEDS_PUSH)
    if config.flow_control:
        raise ApiError(errors.FLOW_NEEDS_PUSH)
    if config.max_expires and config.max_expires < MILLISECOND:
        raise ApiError(errors.EXPIRES_TOO_SMALL)
    if config.deliver_group:
        raise ApiError(errors.INVALID_DELIVER)


def check_limits(config: ConsumerConfig, stream: StreamConfig) -> None:
    limits = stream.consumer_limits
    most = limits.max_ack_pending if limits is not None else 0
    most = most if most > 0 else MOST_ACK_PENDING
    if config.acknowledges and config.max_ack_pending > most:
        raise ApiError(errors.PENDING_OVER_LIMIT.with_text(most))
    if config.acknowledges and config.max_ack_pending < 0:
        config.max_ack_pending = most
    if limits is not None and limits.inactive_threshold and config.inactive_threshold > limits.inactive_threshold:
        raise ApiError(errors.INACTIVE_OVER_LIMIT.with_text(f"{limits.inactive_threshold / SECOND:g}s"))
    config.max_waiting = min(config.max_waiting, MOST_WAITING_IN_GROUPS if config.has_priorities else MOST_WAITING)


def check_start(config: ConsumerConfig) -> None:
    """Raises ApiError where the policy and where to start do not agree."""
    policy = config.deliver_policy
    for field, its_policy in (("opt_start_seq", "by_start_sequence"), ("opt_start_time", "by_start_time")):
        given = bool(getattr(config, field))
        name = "start sequence" if field == "opt_start_seq" else "start time"
        lead = f"consumer delivery policy is deliver {policy.replace('_', ' ')}"
        if given and policy != its_policy:
            raise ApiError(errors.INVALID_POLICY.with_text(f"{lead}, but optional {name} is also set"))
        if policy == its_policy and not given:
            raise ApiError(errors.INVALID_POLICY.with_text(f"{lead}, but optional {name} is not set"))
    try:
        config.start_ns, config.pause_ns  # noqa: B018 - whether they can be read
    except ValueError as error:
        raise ApiError(errors.INVALID_JSON.with_text(error)) from None


def check_filters(config: ConsumerConfig, stream: StreamConfig) -> None:
    if config.filter_subject and config.filter_subjects:
        raise ApiError(errors.BOTH_FILTERS)
    if config.filter_subjects is not None and "" in config.filter_subjects:
        raise ApiError(errors.EMPTY_FILTER)
    filters = config.filters
    if len(filters) > MOST_FILTERS:
        raise ApiError(errors.CONSUMER_CREATE.with_text(f"a consumer has at most {MOST_FILTERS} filters"))
    if config.deliver_policy == "last_per_subject" and not filters:
        lead = "consumer delivery policy is deliver last per subject, but optional filter subject is not set"
        raise ApiError(errors.INVALID_POLICY.with_text(lead))
    if sum(map(len, filters)) > MOST_SUBJECT_BYTES:
        text = f"the filters of a consumer have at most {MOST_SUBJECT_BYTES} bytes together"
        raise ApiError(errors.CONSUMER_CREATE.with_text(text))
    if not all(map(is_valid_filter, filters)):
        raise ApiError(errors.FILTER_NOT_SUBSET)
    if have_overlaps(filters):
        raise ApiError(errors.FILTERS_OVERLAP)


CHANGEABLE = frozenset(
    (
        "description",
        "ack_wait",
        "max_deliver",
        "sample_freq",
        "max_ack_pending",
        "max_waiting",
        "headers_only",
        "backoff",
        "filter_subject",
        "filter_subjects",
        "deliver_subject",
        "max_batch",
        "max_expires",
        "max_bytes",
        "inactive_threshold",
        "rate_limit_bps",
        "metadata",
        "pause_until",
        "idle_heartbeat",
        "flow_control",
        "priority_groups",
        "priority_policy",
        "priority_timeout",
    )
)
NAMES_OF_FIELDS = {
    "deliver_policy": "deliver policy can not be updated",
    "opt_start_seq": "start sequence can not be updated",
    "opt_start_time": "start time can not be updated",
    "ack_policy": "ack policy can not be updated",
    "replay_policy": "replay policy can not be updated",
    "deliver_group": "deliver group can not be updated",
}


def check_update(old: ConsumerConfig, new: ConsumerConfig) -> None:
    """Whether a consumer may become another like that. Raises ApiError."""
    for field in msgspec.structs.fields(ConsumerConfig):
        name = field.name
        if name in CHANGEABLE or getattr(old, name) == getattr(new, name):
            continue
        text = NAMES_OF_FIELDS.get(name, f"{name} can not be updated")
        raise ApiError(errors.CONSUMER_CREATE.with_text(text))
    if old.is_pull != new.is_pull:
        change = (
            "can not update pull consumer to push based"
            if old.is_pull
            else "can not update push consumer to pull based"
        )
        raise ApiError(errors.CONSUMER_CREATE.with_text(change))
