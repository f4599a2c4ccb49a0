"""Reason codes of MQTT 5.0, which of them each packet may carry, and their counterparts in a 3.1.1 CONNACK."""

from collections.abc import Mapping
from enum import IntEnum


class ReasonCode(IntEnum):
    """One vocabulary for all protocol versions (MQTT 5.0, 2.4); the names are the specification's."""

    SUCCESS = 0x00
    NORMAL_DISCONNECTION = 0x00
    GRANTED_QOS_0 = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL_MESSAGE = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    REAUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2

    @property
    def words(self) -> str:
        """As people read it."""
        return self.name.lower().replace("_", " ")


def _codes(*values: int) -> Mapping[int, ReasonCode]:
    return {value: ReasonCode(value) for value in values}


_CONNECT_FAILURES = (*range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F)
_EITHER_DISCONNECTS = (0x00, *range(0x80, 0x84), 0x90, *range(0x93, 0x9A))

CONNACK_CODES = _codes(0x00, *_CONNECT_FAILURES)  # 3.2.2.2
PUBACK_CODES = _codes(0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)  # 3.4.2.1; PUBREC's are the same, 3.5.2.1
PUBREL_CODES = _codes(0x00, 0x92)  # 3.6.2.1; PUBCOMP's are the same, 3.7.2.1
SUBACK_CODES = _codes(0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)  # 3.9.3
UNSUBACK_CODES = _codes(0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)  # 3.11.3
CLIENT_DISCONNECT_CODES = _codes(*_EITHER_DISCONNECTS, 0x04)  # 3.14.2.1, "Sent by"
SERVER_DISCONNECT_CODES = _codes(
    *_EITHER_DISCONNECTS, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, *range(0x9A, 0xA3)
)  # 3.14.2.1, "Sent by"
CLIENT_AUTH_CODES = _codes(0x18, 0x19)  # 3.15.2.1, "Sent by"
SERVER_AUTH_CODES = _codes(0x00, 0x18)  # 3.15.2.1, "Sent by"
SUBACK_CODES_3_1_1 = _codes(0x00, 0x01, 0x02, 0x80)  # [MQTT-3.9.3-2] of 3.1.1

# MQTT 3.1.1, table 3.1.
CONNECT_RETURN_CODES: Mapping[int, ReasonCode] = {
    0: ReasonCode.SUCCESS,
    1: ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
    2: ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
    3: ReasonCode.SERVER_UNAVAILABLE,
    4: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    5: ReasonCode.NOT_AUTHORIZED,
}
_RETURN_CODES = {
    **{reason: code for code, reason in CONNECT_RETURN_CODES.items()},
    ReasonCode.BANNED: 5,
    ReasonCode.BAD_AUTHENTICATION_METHOD: 5,
}
_SERVER_UNAVAILABLE = 3


def connect_return_code(reason: int) -> int:
    """What a CONNACK of 3.1.1 says instead of a reason code: the nearest, or else that the service is unavailable."""
    return _RETURN_CODES.get(ReasonCode(reason), _SERVER_UNAVAILABLE)
