"""Properties of MQTT 5.0: every one of them in every place, allowed or not."""

import pytest

from protocols.errors import MisuseError
from protocols.mqtt.errors import PacketError
from protocols.mqtt.primitives import PacketReader
from protocols.mqtt.properties import RULES, Carrier, Kind, Properties, encode_properties, read_properties
from protocols.mqtt.reason_codes import ReasonCode

VALUES = {
    Kind.FLAG: (b"\x01", 1),
    Kind.UINT16: (b"\x01\x02", 258),
    Kind.UINT32: (b"\x01\x02\x03\x04", 16909060),
    Kind.VARINT: (b"\x80\x01", 128),
    Kind.STRING: (b"\x00\x02\xc3\xa4", "ä".encode()),
    Kind.BINARY: (b"\x00\x01\xff", b"\xff"),
    Kind.PAIR: (b"\x00\x01k\x00\x01v", (b"k", b"v")),
}
# Table 2-4 of the specification, written down a second time.
ALLOWED = {
    "CONNECT": {0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27},
    "CONNACK": {0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A},
    "PUBLISH": {0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26},
    "WILL": {0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26},
    "PUBACK": {0x1F, 0x26},
    "PUBREC": {0x1F, 0x26},
    "PUBREL": {0x1F, 0x26},
    "PUBCOMP": {0x1F, 0x26},
    "SUBSCRIBE": {0x0B, 0x26},
    "SUBACK": {0x1F, 0x26},
    "UNSUBSCRIBE": {0x26},
    "UNSUBACK": {0x1F, 0x26},
    "DISCONNECT": {0x11, 0x1C, 0x1F, 0x26},
    "AUTH": {0x15, 0x16, 0x1F, 0x26},
}


def read(block: bytes, carrier: Carrier) -> Properties | None:
    data = bytes((len(block),)) + block
    reader = PacketReader("packet", 5, True, data, 0, len(data))
    properties = read_properties(reader, carrier)
    reader.finish()
    return properties


@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_property_stands_where_the_specification_allows_it_and_nowhere_else(rule, carrier):
    wire, value = VALUES[rule.kind]
    block = bytes((rule.identifier,)) + wire
    expected = Properties(**{rule.name: (value,) if rule.is_collected else value})
    if rule.identifier in ALLOWED[carrier.name]:
        assert read(block, carrier) == expected
        assert encode_properties(expected, carrier) == bytes((len(block),)) + block
    else:
        with pytest.raises(PacketError) as caught:
            read(block, carrier)
        assert caught.value.code is ReasonCode.MALFORMED_PACKET
        with pytest.raises(MisuseError):
            encode_properties(expected, carrier)


@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_property_stands_twice_only_where_it_may(rule, carrier):
    if not carrier & rule.carriers:
        return
    wire, value = VALUES[rule.kind]
    block = (bytes((rule.identifier,)) + wire) * 2
    if rule.name == "user_properties" or (rule.name == "subscription_identifiers" and carrier is Carrier.PUBLISH):
        assert read(block, carrier) == Properties(**{rule.name: (value, value)})
    else:
        with pytest.raises(PacketError) as caught:
            read(block, carrier)
        assert caught.value.code is ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_property_that_is_cut_short_is_malformed(rule):
    wire, _ = VALUES[rule.kind]
    carrier = next(one for one in Carrier if one & rule.carriers)
    for size in range(len(wire)):
        with pytest.raises(PacketError) as caught:
            read(bytes((rule.identifier,)) + wire[:size], carrier)
        assert caught.value.code is ReasonCode.MALFORMED_PACKET


def test_absent_properties_read_as_none_and_as_empty_rows():
    properties = read(b"\x02\x00\x00\x00\x07", Carrier.PUBLISH)
    assert properties is not None
    assert properties.message_expiry_interval == 7
    assert properties.topic_alias is None
    assert properties.user_properties == ()
    assert repr(properties) == "Properties(message_expiry_interval=7)"


def test_no_properties_are_none():
    assert read(b"", Carrier.PUBLISH) is None
    assert encode_properties(None, Carrier.PUBLISH) == encode_properties(Properties(), Carrier.PUBLISH) == b"\0"


def test_order_of_user_properties_is_kept():
    pairs = ((b"b", b"1"), (b"a", b"2"), (b"b", b"1"))
    block = encode_properties(Properties(user_properties=pairs), Carrier.PUBLISH)
    assert read(block[1:], Carrier.PUBLISH) == Properties(user_properties=pairs)
