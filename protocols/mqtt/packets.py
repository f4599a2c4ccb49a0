"""The packets of MQTT 3.1.1 and 5.0 as values, all but PUBLISH (publish.py).

Strings are bytes in well-formed UTF-8. `properties` is None when a packet has none, so always before 5.0. A
`reason_code` is one of 5.0 in every version.
"""

from msgspec import Struct

from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode


class Will(Struct):
    topic: bytes
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None


class Connect(Struct):
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

    def __repr__(self) -> str:
        """Without the password."""
        return f"Connect(version={self.version}, client_id={self.client_id!r}, username={self.username!r}, ...)"


class Connack(Struct):
    session_present: bool
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


class Puback(Struct):
    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


class Pubrec(Struct):
    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


class Pubrel(Struct):
    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


class Pubcomp(Struct):
    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


class Subscription(Struct, frozen=True):
    """One topic filter of a SUBSCRIBE and its options; before 5.0 there is only `qos`.

    `retain_handling`: 0 sends retained messages, 1 only for a new subscription, 2 never.
    """

    topic_filter: bytes
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(Struct):
    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties | None = None


class Suback(Struct):
    packet_id: int
    reason_codes: tuple[ReasonCode, ...]
    properties: Properties | None = None


class Unsubscribe(Struct):
    packet_id: int
    topic_filters: tuple[bytes, ...]
    properties: Properties | None = None


class Unsuback(Struct):
    """Before 5.0 there are no `reason_codes`."""

    packet_id: int
    reason_codes: tuple[ReasonCode, ...] = ()
    properties: Properties | None = None


class Pingreq(Struct):
    """As many as came in a row; each wants its own PINGRESP."""

    count: int = 1


class Pingresp(Struct):
    """As many as came in a row."""

    count: int = 1


class Disconnect(Struct):
    reason_code: ReasonCode = ReasonCode.NORMAL_DISCONNECTION
    properties: Properties | None = None


class Auth(Struct):
    """5.0 only."""

    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None
