"""ConsumerConfig: how a consumer is configured, as the API spells it, and what stands for what is left out."""

from typing import Any, Literal

import msgspec

from gateway.streams.stream_config import LEVEL, StreamConfig
from gateway.streams.times import SECOND, parse_time
from gateway.version import SPOKEN_VERSION
from protocols.foreign_json import Int64, Natural

ACK_WAIT = 30 * SECOND
MAX_ACK_PENDING = 1000
MAX_WAITING = 512
INACTIVE_THRESHOLD = 5 * SECOND
# How long a pinned client may be silent.
PIN_TIMEOUT = 120 * SECOND
# What acknowledgement by flow control has, whatever is said, and the level of the API that knows it.
FLOW_HEARTBEAT = SECOND
FLOW_LEVEL = "4"


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
    except ValueError:  # `consumer_check.check` refuses it.
        return False
