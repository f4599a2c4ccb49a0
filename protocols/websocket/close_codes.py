"""WebSocket close codes [RFC 6455 7.4]: which may be sent, and which tells a peer why its connection ends.

The latter are the ones that nats-server sends.
"""

from wsproto.frame_protocol import LOCAL_ONLY_CLOSE_REASONS, MAX_PRIVATE_CLOSE_REASON, MIN_LIBRARY_CLOSE_REASON
from wsproto.frame_protocol import CloseReason as CloseCode

from protocols.close_reason import CloseReason

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

_REGISTERED = frozenset(CloseCode).difference(LOCAL_ONLY_CLOSE_REASONS)


def may_be_sent(code: int) -> bool:
    """Whether a close frame may say this, be it the peer's or ours: registered, or an application's own."""
    return code in _REGISTERED or MIN_LIBRARY_CLOSE_REASON <= code <= MAX_PRIVATE_CLOSE_REASON


def close_code(reason: CloseReason) -> int:
    """The code of the close frame for a reason; 1011 (internal error) for those that WebSocket has no word for."""
    return int(_CODES.get(reason, CloseCode.INTERNAL_ERROR))
