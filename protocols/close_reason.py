"""Every way in which a connection ends. Shared by codecs (which find violations) and the gateway (which closes)."""

from enum import Enum


class CloseReason(Enum):
    """The value is the text shown in logs, in monitoring and as the body of a WebSocket close frame."""

    CLIENT_CLOSED = "Client Closed"
    READ_ERROR = "Read Error"
    WRITE_ERROR = "Write Error"
    PARSE_ERROR = "Parse Error"
    PROTOCOL_VIOLATION = "Protocol Violation"
    AUTHENTICATION_TIMEOUT = "Authentication Timeout"
    AUTHENTICATION_FAILURE = "Authentication Failure"
    MAXIMUM_PAYLOAD_EXCEEDED = "Maximum Message Payload Exceeded"
    MAXIMUM_CONTROL_LINE_EXCEEDED = "Maximum Control Line Exceeded"
    MAXIMUM_CONNECTIONS_EXCEEDED = "Maximum Connections Exceeded"
    MAXIMUM_SUBSCRIPTIONS_EXCEEDED = "Maximum Subscriptions Exceeded"
    BAD_CLIENT_PROTOCOL_VERSION = "Bad Client Protocol Version"
    INCORRECT_PORT = "Incorrect Port"
    STALE_CONNECTION = "Stale Connection"
    SLOW_CONSUMER_PENDING_BYTES = "Slow Consumer (Pending Bytes)"
    SLOW_CONSUMER_WRITE_DEADLINE = "Slow Consumer (Write Deadline)"
    DUPLICATE_CLIENT_ID = "Duplicate Client ID"
    LEAFNODE_LOOP = "Leafnode Loop Detected"
    STORAGE_FAILURE = "Storage Failure"
    SERVER_SHUTDOWN = "Server Shutdown"
    INTERNAL_ERROR = "Internal Error"
