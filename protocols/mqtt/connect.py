"""Reading CONNECT, which decides how everything after it is read, and its answer CONNACK.

A CONNECT that is refused is answered with a CONNACK where its version has a code for the cause (3.1.1: two of them).
"""

from protocols.mqtt.encoder import (
    BRIDGE,
    CLEAN_START,
    PASSWORD,
    SESSION_PRESENT,
    USERNAME,
    WILL,
    WILL_QOS,
    WILL_RETAIN,
    encode_connack,
)
from protocols.mqtt.errors import PacketError
from protocols.mqtt.packets import Connack, Connect, Will
from protocols.mqtt.primitives import MQTT_3_1, MQTT_3_1_1, MQTT_5_0, PacketReader
from protocols.mqtt.properties import Carrier, Properties, read_properties
from protocols.mqtt.publish import check_message_properties
from protocols.mqtt.reason_codes import CONNACK_CODES, CONNECT_RETURN_CODES, ReasonCode
from protocols.mqtt.topics import is_topic_name

VERSIONS = {b"MQTT": (MQTT_3_1_1, MQTT_5_0), b"MQIsdp": (MQTT_3_1,)}

RESERVED_FLAG = 0x01


def parse_connect(reader: PacketReader) -> Connect:
    level = _read_level(reader)
    reader.version = version = level & ~BRIDGE
    try:
        connect = _read_connect(reader, version)
        connect.bridge = level & BRIDGE != 0
        reader.finish()
    except PacketError as fault:
        if version == MQTT_5_0:
            fault.farewell = encode_connack(version, False, fault.code)
        raise
    return connect


def _read_level(reader: PacketReader) -> int:
    """The protocol level, with BRIDGE where that is set.

    PacketError for one that we do not speak, and for another protocol's name.
    """
    name = reader.string("the protocol name")
    if name not in VERSIONS:  # [MQTT-3.1.2-1]: whoever sends this would not understand an answer.
        raise reader.fault(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, "the protocol name is not MQTT")
    level = reader.byte("the protocol level")
    if level & ~BRIDGE not in VERSIONS[name]:  # [MQTT-3.1.2-2]
        fault = reader.fault(
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, f"there is no protocol level {level} of {name.decode()}"
        )
        # In the form that whoever chose this name and level understands.
        newest = max(VERSIONS[name])
        answer_in = newest if level & ~BRIDGE >= newest else min(VERSIONS[name])
        fault.farewell = encode_connack(answer_in, False, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)
        raise fault
    return level


def _read_connect(reader: PacketReader, version: int) -> Connect:
    flags = reader.byte("the connect flags")
    _check_flags(reader, flags)
    keep_alive = reader.uint16("the keep alive")
    properties = None
    if version == MQTT_5_0:
        properties = read_properties(reader, Carrier.CONNECT)
        _check_authentication(reader, properties)
    client_id = reader.string("the client identifier")
    clean_start = flags & CLEAN_START != 0
    _check_client_id(reader, client_id, clean_start)
    will = _read_will(reader, flags) if flags & WILL else None
    username = reader.string("the user name") if flags & USERNAME else None
    password = reader.binary("the password") if flags & PASSWORD else None
    return Connect(version, client_id, clean_start, keep_alive, username, password, will, properties)


def _check_flags(reader: PacketReader, flags: int) -> None:
    # In MQTT 3.1 bits without a meaning are unused, whatever they are.
    if flags & RESERVED_FLAG and reader.version != MQTT_3_1:  # [MQTT-3.1.2-3]
        raise reader.malformed("the reserved connect flag is set")
    without_will = not flags & WILL and flags & (WILL_QOS | WILL_RETAIN)
    if without_will and reader.version != MQTT_3_1:  # [MQTT-3.1.2-11], [MQTT-3.1.2-13]
        raise reader.malformed("will QoS or will retain is set without a will")
    if flags & WILL_QOS == WILL_QOS:  # [MQTT-3.1.2-12]
        raise reader.malformed("the will QoS is 3")
    if flags & PASSWORD and not flags & USERNAME and reader.version != MQTT_5_0:  # [MQTT-3.1.2-22] of 3.1.1
        raise reader.malformed("there is a password without a user name")


def _check_client_id(reader: PacketReader, client_id: bytes, clean_start: bool) -> None:
    """Before 5.0 a server refuses an empty client identifier that would name a session [MQTT-3.1.3-8], in 3.1 any."""
    if client_id or reader.version == MQTT_5_0 or (clean_start and reader.version == MQTT_3_1_1):
        return
    fault = reader.fault(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "the client identifier is empty")
    fault.farewell = encode_connack(reader.version, False, fault.code)
    raise fault


def _read_will(reader: PacketReader, flags: int) -> Will:
    properties = read_properties(reader, Carrier.WILL) if reader.version == MQTT_5_0 else None
    topic = reader.string("the will topic")
    if not is_topic_name(topic):
        raise reader.fault(ReasonCode.TOPIC_NAME_INVALID, "the will topic is empty or holds a wildcard")
    payload = reader.binary("the will payload")
    if properties is not None:
        check_message_properties(reader, properties, payload)
    return Will(topic, payload, (flags & WILL_QOS) >> 3, flags & WILL_RETAIN != 0, properties)


def parse_connack(reader: PacketReader) -> Connack:
    flags = reader.byte("the acknowledge flags")
    if flags & ~SESSION_PRESENT:  # [MQTT-3.2.2-1]
        raise reader.malformed("a reserved acknowledge flag is set")
    properties = None
    if reader.version == MQTT_5_0:
        code = reader.reason_code(CONNACK_CODES)
        properties = read_properties(reader, Carrier.CONNACK)
        _check_authentication(reader, properties)
    else:
        code = reader.reason_code(CONNECT_RETURN_CODES)
    if flags and code:  # [MQTT-3.2.2-6]
        raise reader.protocol_error("a refused connection has no session")
    return Connack(bool(flags), code, properties)


def _check_authentication(reader: PacketReader, properties: Properties | None) -> None:
    """Authentication data says nothing without its method (3.1.2.11.10)."""
    if properties is None or properties.authentication_method is not None:
        return
    if properties.authentication_data is not None:
        raise reader.protocol_error("there is authentication data without an authentication method")
