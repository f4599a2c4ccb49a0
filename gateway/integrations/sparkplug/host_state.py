"""HostState: what a host application says of itself on its STATE topic (3.0, 4.1)."""

import msgspec

from protocols import foreign_json


class HostState(msgspec.Struct):
    """`timestamp` is unix time in milliseconds: that of the connection, which its death repeats."""

    online: bool
    timestamp: int


def encode_state(online: bool, timestamp: int) -> bytes:
    return msgspec.json.encode(HostState(online, timestamp))


def read_state(payload: bytes) -> HostState | None:
    """None for what is none."""
    try:
        return foreign_json.decode(payload, HostState)
    except msgspec.DecodeError:
        return None
