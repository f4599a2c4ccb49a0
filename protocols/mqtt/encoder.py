"""Writing packets, one function each. PUBLISH is in publish.py and offered here too.

`version` is the protocol level. What a version has no place for (properties and most reason codes before 5.0) is left
out, so that a caller need not ask. Text must be legal; MisuseError for what does not fit into the packet's fields.
"""

from collections.abc import Iterable

from protocols.errors import MisuseError
from protocols.mqtt.packets import Connect, Subscription, Will
from protocols.mqtt.primitives import (
    MQTT_3_1,
    MQTT_5_0,
    encode_binary,
    encode_packet,
    encode_packet_id,
    encode_uint16,
)
from protocols.mqtt.properties import Carrier, Properties, encode_properties
from protocols.mqtt.publish import encode_publish
from protocols.mqtt.reason_codes import connect_return_code

__all__ = [
    "PINGREQ",
    "PINGRESP",
    "encode_auth",
    "encode_connack",
    "encode_connect",
    "encode_disconnect",
    "encode_puback",
    "encode_pubcomp",
    "encode_publish",
    "encode_pubrec",
    "encode_pubrel",
    "encode_suback",
    "encode_subscribe",
    "encode_unsuback",
    "encode_unsubscribe",
]

PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"

CLEAN_START = 0x02
WILL = 0x04
WILL_QOS = 0x18
WILL_RETAIN = 0x20
PASSWORD = 0x40
USERNAME = 0x80
SESSION_PRESENT = 0x01
# Set in the protocol level by mosquitto's bridges, which want what no-local and retain-as-published are in 5.0.
BRIDGE = 0x80

_FAILURE = 0x80


def encode_connect(connect: Connect) -> bytes:
    version = connect.version
    flags = CLEAN_START if connect.clean_start else 0
    name = b"MQIsdp" if version == MQTT_3_1 else b"MQTT"
    parts = [encode_uint16(connect.keep_alive)]
    if version == MQTT_5_0:
        parts.append(encode_properties(connect.properties, Carrier.CONNECT))
    parts.append(encode_binary(connect.client_id))
    if connect.will is not None:
        flags |= WILL | connect.will.qos << 3 | (WILL_RETAIN if connect.will.retain else 0)
        parts.append(_encode_will(connect.will, version))
    if connect.username is not None:
        flags |= USERNAME
        parts.append(encode_binary(connect.username))
    if connect.password is not None:
        flags |= PASSWORD
        parts.append(encode_binary(connect.password))
    level = version | BRIDGE if connect.bridge else version
    return encode_packet(0x10, encode_binary(name) + bytes((level, flags)) + b"".join(parts))


def _encode_will(will: Will, version: int) -> bytes:
    properties = encode_properties(will.properties, Carrier.WILL) if version == MQTT_5_0 else b""
    return properties + encode_binary(will.topic) + encode_binary(will.payload)


def encode_connack(
    version: int, session_present: bool, reason_code: int = 0, properties: Properties | None = None
) -> bytes:
    flags = SESSION_PRESENT if session_present else 0
    if version != MQTT_5_0:
        return bytes((0x20, 2, flags, connect_return_code(reason_code)))
    return encode_packet(0x20, bytes((flags, reason_code)) + encode_properties(properties, Carrier.CONNACK))


def encode_puback(version: int, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> bytes:
    return _encode_acknowledgement(0x40, Carrier.PUBACK, version, packet_id, reason_code, properties)


def encode_pubrec(version: int, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> bytes:
    return _encode_acknowledgement(0x50, Carrier.PUBREC, version, packet_id, reason_code, properties)


def encode_pubrel(version: int, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> bytes:
    return _encode_acknowledgement(0x62, Carrier.PUBREL, version, packet_id, reason_code, properties)


def encode_pubcomp(version: int, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> bytes:
    return _encode_acknowledgement(0x70, Carrier.PUBCOMP, version, packet_id, reason_code, properties)


def _encode_acknowledgement(
    first: int, carrier: Carrier, version: int, packet_id: int, reason_code: int, properties: Properties | None
) -> bytes:
    identifier = encode_packet_id(packet_id)
    if version != MQTT_5_0:
        return bytes((first, 2)) + identifier
    return encode_packet(first, identifier + _encode_outcome(carrier, reason_code, properties))


def _encode_outcome(carrier: Carrier, reason_code: int, properties: Properties | None) -> bytes:
    """Reason code and properties, as short as they can be: the receiver takes what is missing for success and none."""
    if properties is not None:
        return bytes((reason_code,)) + encode_properties(properties, carrier)
    return bytes((reason_code,)) if reason_code else b""


def encode_subscribe(
    version: int, packet_id: int, subscriptions: Iterable[Subscription], properties: Properties | None = None
) -> bytes:
    parts = [encode_packet_id(packet_id)]
    if version == MQTT_5_0:
        parts.append(encode_properties(properties, Carrier.SUBSCRIBE))
    for subscription in subscriptions:
        parts.append(encode_binary(subscription.topic_filter))
        parts.append(bytes((_subscription_options(version, subscription),)))
    return encode_packet(0x82, b"".join(parts))


def _subscription_options(version: int, subscription: Subscription) -> int:
    if version != MQTT_5_0:
        return subscription.qos
    return (
        subscription.qos
        | subscription.no_local << 2
        | subscription.retain_as_published << 3
        | subscription.retain_handling << 4
    )


def encode_suback(
    version: int, packet_id: int, reason_codes: Iterable[int], properties: Properties | None = None
) -> bytes:
    identifier = encode_packet_id(packet_id)
    if version != MQTT_5_0:  # It knows one failure only.
        return encode_packet(0x90, identifier + bytes(min(code, _FAILURE) for code in reason_codes))
    return encode_packet(0x90, identifier + encode_properties(properties, Carrier.SUBACK) + bytes(reason_codes))


def encode_unsubscribe(
    version: int, packet_id: int, topic_filters: Iterable[bytes], properties: Properties | None = None
) -> bytes:
    parts = [encode_packet_id(packet_id)]
    if version == MQTT_5_0:
        parts.append(encode_properties(properties, Carrier.UNSUBSCRIBE))
    parts.extend(encode_binary(topic_filter) for topic_filter in topic_filters)
    return encode_packet(0xA2, b"".join(parts))


def encode_unsuback(
    version: int, packet_id: int, reason_codes: Iterable[int] = (), properties: Properties | None = None
) -> bytes:
    identifier = encode_packet_id(packet_id)
    if version != MQTT_5_0:
        return bytes((0xB0, 2)) + identifier
    return encode_packet(0xB0, identifier + encode_properties(properties, Carrier.UNSUBACK) + bytes(reason_codes))


def encode_disconnect(version: int, reason_code: int = 0, properties: Properties | None = None) -> bytes:
    """Before 5.0 only a client may send it."""
    if version != MQTT_5_0:
        return b"\xe0\x00"
    return encode_packet(0xE0, _encode_outcome(Carrier.DISCONNECT, reason_code, properties))


def encode_auth(version: int, reason_code: int, properties: Properties | None = None) -> bytes:
    if version != MQTT_5_0:
        raise MisuseError("AUTH came with MQTT 5.0")
    return encode_packet(0xF0, _encode_outcome(Carrier.AUTH, reason_code, properties))
