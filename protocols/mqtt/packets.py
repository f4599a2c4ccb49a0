"""The packets of MQTT 3.1.1 and 5.0 as values, all but PUBLISH (publish.py).

Strings are bytes in well-formed UTF-8. `properties` is None when a packet has none, so always before 5.0. A
`reason_code` is one of 5.0 in every version.
"""

from dataclasses import dataclass

from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode


@dataclass(slots=True)
class Will:
    topic: bytes
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None


@dataclass(slots=True)
class Connect:
    """`version` is the protocol level: 3 (MQTT 3.1), 4 (3.1.1) or 5. `keep_alive` in seconds, 0: none.

    `clean_start` is 3.1.1's clean session, which also ends the session with the connection. `client_id` is empty when
    the server is to choose one. A `bridge` to another server wants none of its own messages back, and to see which are
    retained ones.
    """

    version: int
    client_id: bytes
    clean_start: bool = True
    keep_alive: int = 0
    username: bytes | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties | None = None
    bridge: bool = False


@dataclass(slots=True)
class Connack:
    session_present: bool
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True)
class Puback:
    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True)
class Pubrec:
    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True)
class Pubrel:
    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True)
class Pubcomp:
    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter of a SUBSCRIBE and its options; before 5.0 there is only `qos`.

    `retain_handling`: 0 sends retained messages, 1 only for a new subscription, 2 never.
    """

    topic_filter: bytes
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(slots=True)
class Subscribe:
    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties | None = None


@dataclass(slots=True)
class Suback:
    packet_id: int
    reason_codes: tuple[ReasonCode, ...]
    properties: Properties | None = None


@dataclass(slots=True)
class Unsubscribe:
    packet_id: int
    topic_filters: tuple[bytes, ...]
    properties: Properties | None = None


@dataclass(slots=True)
class Unsuback:
    """Before 5.0 there are no `reason_codes`."""

    packet_id: int
    reason_codes: tuple[ReasonCode, ...] = ()
    properties: Properties | None = None


@dataclass(slots=True)
class Pingreq:
    """As many as came in a row; each wants its own PINGRESP."""

    count: int = 1


@dataclass(slots=True)
class Pingresp:
    pass


@dataclass(slots=True)
class Disconnect:
    reason_code: ReasonCode = ReasonCode.NORMAL_DISCONNECTION
    properties: Properties | None = None


@dataclass(slots=True)
class Auth:
    """5.0 only."""

    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None
