"""Stream wishes: a Stream resource as JetStream's API spells it, made and changed in a gateway."""

from typing import Any

from gateway.command.streams.api import Api, ApiError
from gateway.operator.objects import Document, Resource

SECOND = 1_000_000_000
# Keys of the resource, and what the API calls them.
KEYS = {
    "description": "description",
    "subjects": "subjects",
    "storage": "storage",
    "retention": "retention",
    "discard": "discard",
    "compression": "compression",
    "maxMessages": "max_msgs",
    "maxMessagesPerSubject": "max_msgs_per_subject",
    "maxBytes": "max_bytes",
    "maxMessageBytes": "max_msg_size",
    "maxConsumers": "max_consumers",
}
TIMES = {"maxAgeSeconds": "max_age", "duplicateWindowSeconds": "duplicate_window"}
# By whom a stream was made; another one's is left alone.
OWNER = "leafgate.io/owner"


class ForeignStreamError(ApiError):
    """There is such a stream, and it is not ours."""


def wish(stream: Resource) -> Document:
    """The configuration that a stream is to have. Raises TypeError for a spec of another form than its schema's."""
    spec = stream.spec
    found: Document = {KEYS[key]: spec[key] for key in KEYS if spec.get(key) is not None}
    found |= {TIMES[key]: int(float(spec[key]) * SECOND) for key in TIMES if spec.get(key) is not None}
    found |= spec.get("options") or {}
    found["name"] = stream.title
    found["metadata"] = (found.get("metadata") or {}) | {OWNER: owner_of(stream)}
    return found


def owner_of(stream: Resource) -> str:
    return f"{stream.namespace}/{stream.name}"


def bring_about(api: Api, stream: Resource, wanted: Document) -> tuple[str, Document]:
    """What was done, "made", "changed" or "", and the state of the stream. Raises GatewayError."""
    there = api.find(f"STREAM.INFO.{stream.title}")
    if there is None:
        return "made", _state(api.ask(f"STREAM.CREATE.{stream.title}", **wanted))
    config: Document = there.get("config") or {}
    _check_owner(config, stream)
    if all(_same(config.get(key), value) for key, value in wanted.items()):
        return "", _state(there)
    # What follows from other keys where nobody sets it: no longer than messages are kept.
    config.pop("duplicate_window", None)
    return "changed", _state(api.ask(f"STREAM.UPDATE.{stream.title}", **(config | wanted)))


def remove(api: Api, stream: Resource) -> bool:
    """Whether there was a stream of ours. Raises GatewayError."""
    there = api.find(f"STREAM.INFO.{stream.title}")
    if there is None:
        return False
    _check_owner(there.get("config") or {}, stream)
    api.ask(f"STREAM.DELETE.{stream.title}")
    return True


def _same(there: Any, wanted: Any) -> bool:
    """Where an object is wanted, the gateway may add to it."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        return all(_same(there.get(key), value) for key, value in wanted.items())
    return bool(there == wanted or (not there and not wanted))


def _check_owner(config: Document, stream: Resource) -> None:
    owner = (config.get("metadata") or {}).get(OWNER)
    if owner is not None and owner != owner_of(stream):
        raise ForeignStreamError(f"the stream {stream.title} is that of the Stream {owner}", 0)


def _state(info: Document) -> Document:
    state = info.get("state") or {}
    return {"messages": state.get("messages", 0), "bytes": state.get("bytes", 0)}
