"""Which WebSocket close code tells a peer why its connection ends; the ones that nats-server sends."""

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
    CloseReason.MAXIMUM_SUBSCRIPTIONS_EXCEEDED: CloseCode.POLICY_VIOLATION,
}


def close_code(reason: CloseReason) -> int:
    """The code of the close frame for a reason; 1011 (internal error) for those that WebSocket has no word for."""
    return int(_CODES.get(reason, CloseCode.INTERNAL_ERROR))
