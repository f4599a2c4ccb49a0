"""WebSocket close codes [RFC 6455 7.4]: which may be sent, and which tells a peer why its connection ends.

The latter are the ones that nats-server sends.
"""

from enum import IntEnum

from protocols.close_reason import CloseReason

# What libraries (3000 to 3999) and applications (4000 to 4999) may say [RFC 6455 7.4.2].
_LEAST_PRIVATE, _LARGEST_PRIVATE = 3000, 4999


class CloseCode(IntEnum):
    """The registered ones [RFC 6455 7.4.1, 11.7]."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_FRAME_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXT = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    TLS_HANDSHAKE_FAILED = 1015


_CODES = {
    CloseReason.CLIENT_CLOSED: CloseCode.NORMAL_CLOSURE,
    CloseReason.READ_ERROR: CloseCode.GOING_AWAY,
    CloseReason.WRITE_ERROR: CloseCode.GOING_AWAY,
    CloseReason.STALE_CONNECTION: CloseCode.GOING_AWAY,
    CloseReason.SERVER_SHUTDOWN: CloseCode.GOING_AWAY,
    CloseReason.PARSE_ERROR: CloseCode.PROTOCOL_ERROR,
    CloseReason.PROTOCOL_VIOLATION: CloseCode.PROTOCOL_ERROR,
    CloseReason.BAD_CLIENT_PROTOCOL_VERSION: CloseCode.PROTOCOL_ERROR,
    CloseReason.MAXIMUM_PAYLOAD_EXCEEDED: CloseCode.MESSAGE_TOO_BIG,
    CloseReason.AUTHENTICATION_TIMEOUT: CloseCode.POLICY_VIOLATION,
    CloseReason.AUTHENTICATION_FAILURE: CloseCode.POLICY_VIOLATION,
    CloseReason.SLOW_CONSUMER_PENDING_BYTES: CloseCode.POLICY_VIOLATION,
    CloseReason.SLOW_CONSUMER_WRITE_DEADLINE: CloseCode.POLICY_VIOLATION,
    CloseReason.MAXIMUM_CONTROL_LINE_EXCEEDED: CloseCode.POLICY_VIOLATION,
    CloseReason.MAXIMUM_CONNECTIONS_EXCEEDED: CloseCode.POLICY_VIOLATION,
    CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS: CloseCode.POLICY_VIOLATION,
    CloseReason.MAXIMUM_SUBSCRIPTIONS_EXCEEDED: CloseCode.POLICY_VIOLATION,
    CloseReason.MAXIMUM_MEMORY_EXCEEDED: CloseCode.POLICY_VIOLATION,
}

# The others only tell this end's application what happened.
_REGISTERED = frozenset(CloseCode) - {
    CloseCode.NO_STATUS_RCVD,
    CloseCode.ABNORMAL_CLOSURE,
    CloseCode.TLS_HANDSHAKE_FAILED,
}


def may_be_sent(code: int) -> bool:
    """Whether a close frame may say this, be it the peer's or ours: registered, or an application's own."""
    return code in _REGISTERED or _LEAST_PRIVATE <= code <= _LARGEST_PRIVATE


def close_code(reason: CloseReason) -> int:
    """The code of the close frame for a reason; 1011 (internal error) for those that WebSocket has no word for."""
    return int(_CODES.get(reason, CloseCode.INTERNAL_ERROR))
