"""Sourcing: what other servers ask for and are told when they make consumers that a mirror or a source of theirs reads.

By its identity, which comes from the time at which it was made, a stream is told from a later one of the same name.
"""

from typing import TYPE_CHECKING

from gateway.streams import errors
from gateway.streams import message_headers as headers
from gateway.streams.errors import ApiError
from gateway.streams.name_hash import name_hash
from gateway.streams.stream_config import LEVEL
from gateway.streams.times import time_text

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams

NAMING = b"CONSUMER.CREATE.", b"CONSUMER.RESET."


def identity_of(created: int) -> str:
    """The identity of a stream that was made then, in nanoseconds of unix time."""
    return name_hash(time_text(created))


def check_demands(home: "AccountStreams", asked: bytes, header: bytes) -> None:
    """Whether a request's header asks for what there is. Raises ApiError."""
    fields = headers.nats_fields(header)
    level = fields.get(headers.API_LEVEL)
    if level and (not level.removeprefix(b"-").isdigit() or len(level) > 9 or int(level) > int(LEVEL)):
        raise ApiError(errors.API_LEVEL)
    identity = fields.get(headers.IDENTITY)
    if identity and asked.startswith(NAMING):
        stream = home.streams.get(asked.split(b".")[2].decode("utf-8", "replace"))
        if stream is not None and identity_of(stream.created).encode() != identity:
            raise ApiError(errors.IDENTITY_MISMATCH.with_text(identity_of(stream.created)))


def identity_header(home: "AccountStreams", told: dict[str, object]) -> bytes:
    """What stands in front of the description of a consumer that another stream reads."""
    config = told.get("config")
    stream = home.streams.get(str(told.get("stream_name")))
    if stream is None or not isinstance(config, dict) or not (config.get("direct") or config.get("sourcing")):
        return b""
    return headers.with_fields(b"", (headers.IDENTITY, identity_of(stream.created).encode()))
