"""The consumer of an inflow: what is asked of the server that has the other stream."""

from typing import NamedTuple, Protocol

import msgspec

from gateway.runtime.identity import new_token
from gateway.streams import message_headers as headers
from gateway.streams.origin_config import API_PREFIX, StreamOrigin, encoded
from gateway.streams.times import SECOND

HEARTBEAT = SECOND
# How long a consumer without anybody who listens is kept.
INACTIVE_THRESHOLD = 10 * SECOND
ACK_WAIT = 22 * 3600 * SECOND
# Levels of the API that are asked for one after the other: with the origin's identity, with consumers meant for this,
# and with neither.
LEVELS = (b"5", b"4", b"")


class Asked(NamedTuple):
    """A request."""

    subject: bytes
    header: bytes
    payload: bytes


class Asking(Protocol):
    """An inflow, as it asks for a consumer."""

    origin: StreamOrigin
    identity: bytes
    level: int

    @property
    def consumer_name(self) -> str: ...

    @property
    def metadata(self) -> dict[str, str]: ...

    def begin(self) -> dict[str, object]: ...


def deliver_subject(origin: StreamOrigin, kind: str) -> bytes:
    """Where messages are to come in: `kind` is M for a mirror, S for a source."""
    prefix = origin.external.deliver if origin.external is not None and origin.external.deliver else "$JS"
    return f"{prefix}.{kind}.{new_token()}".replace("..", ".").encode("utf-8", "surrogateescape")


def info_subject(origin: StreamOrigin) -> bytes:
    """Where the origin is asked for."""
    return encoded(f"{api_of(origin)}.STREAM.INFO.{origin.name}")


def removal_subject(inflow: Asking) -> bytes:
    """Where the consumer that was made for an inflow is deleted."""
    return encoded(f"{api_of(inflow.origin)}.CONSUMER.DELETE.{inflow.origin.name}.{inflow.consumer_name}")


def reset_request(inflow: Asking, consumer: str) -> Asked:
    """Has a consumer that is there already begin again behind what it knows to be here."""
    header = headers.with_fields(b"", (headers.IDENTITY, inflow.identity)) if inflow.identity else b""
    return Asked(encoded(f"{api_of(inflow.origin)}.CONSUMER.RESET.{inflow.origin.name}.{consumer}"), header, b"")


def api_of(origin: StreamOrigin) -> str:
    return origin.external.api if origin.external is not None and origin.external.api else API_PREFIX


def consumer_request(inflow: Asking, deliver: str) -> Asked:
    """Has the origin's server make a consumer that begins behind what is here."""
    origin = inflow.origin
    level = LEVELS[inflow.level]
    name = inflow.consumer_name if level else f"{inflow.consumer_name}_{new_token()}"
    config: dict[str, object] = {
        "name": name,
        "deliver_subject": deliver,
        "ack_policy": "none",
        "ack_wait": ACK_WAIT,
        "max_deliver": 1,
        "idle_heartbeat": HEARTBEAT,
        "flow_control": True,
        "direct": True,
        "inactive_threshold": INACTIVE_THRESHOLD,
        "replay_policy": "instant",
        "num_replicas": 0,
        "metadata": inflow.metadata,
    }
    if level:
        config["sourcing"] = True
    config |= inflow.begin()
    subject = f"CONSUMER.CREATE.{origin.name}"
    filters = [one.src for one in origin.subject_transforms or ()]
    if origin.filter_subject or len(filters) == 1:
        config["filter_subject"] = origin.filter_subject or filters[0]
        subject += f".{name}.{config['filter_subject']}"
    elif filters:
        config["filter_subjects"] = filters
    payload = msgspec.json.encode({"stream_name": origin.name, "config": config, "action": ""})
    fields = [(headers.API_LEVEL, level)] if level else []
    if inflow.level == 0 and inflow.identity:
        fields.append((headers.IDENTITY, inflow.identity))
    header = headers.with_fields(b"", *fields) if fields else b""
    return Asked(encoded(f"{api_of(origin)}.{subject}".replace("..", ".")), header, payload)
