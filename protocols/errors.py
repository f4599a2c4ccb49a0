"""What a codec says when a rule is broken: by its peer (an event) or by its caller (an exception)."""

from typing import NamedTuple

from protocols.close_reason import CloseReason


class ProtocolError(Exception):
    """Base of every exception that `protocols` raises."""


class MisuseError(ProtocolError):
    """The caller broke a codec's contract. What a peer sends never raises this."""


class PeerViolation(NamedTuple):
    """The peer broke the protocol. Always the last event of a codec; later input is ignored.

    `farewell` holds the bytes to send before closing, in the peer's own protocol; empty for a silent close.
    """

    reason: CloseReason
    detail: str
    farewell: bytes = b""
