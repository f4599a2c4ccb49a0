"""Whether a consumer may be configured so, and what is refused with which number."""

import string

import msgspec

from gateway.streams import errors
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.errors import ApiError
from gateway.streams.filter_tree import have_overlaps
from gateway.streams.stream_config import (
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    MOST_METADATA_BYTES,
    MOST_SUBJECT_BYTES,
    StreamConfig,
    covers,
    is_wild,
)
from gateway.streams.times import SECOND
from protocols.foreign_text import is_legal_literal
from protocols.subjects import is_valid_filter

# What a consumer may have on its way, and have waiting, whatever it asks for.
MOST_ACK_PENDING = 65_536
MOST_WAITING = 65_536
# Requests that may wait where each may have to be looked at for a message.
MOST_WAITING_IN_GROUPS = 2048
SHORTEST_HEARTBEAT = 100_000_000
MILLISECOND = 1_000_000
MOST_FILTERS = 128
MOST_WAITS = 1024
IN_GROUPS = frozenset(string.ascii_letters + string.digits + "/_=-")
LONGEST_GROUP = 16
MOST_GROUPS = 64


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
