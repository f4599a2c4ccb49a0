"""Writing packets: every vector, what older versions leave out, and what does not fit."""

import pytest

from protocols.errors import MisuseError
from protocols.mqtt import encoder, packets
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode

ANY = Properties(user_properties=((b"k", b"v"),))


def encode(version: int, packet: object) -> bytes:
    match packet:
        case packets.Connect():
            return encoder.encode_connect(packet)
        case packets.Pingreq():
            return encoder.PINGREQ
        case packets.Pingresp():
            return encoder.PINGRESP
        case Publish():
            return encoder.encode_publish(
                version,
                packet.topic,
                packet.payload,
                packet.qos,
                packet.packet_id,
                packet.retain,
                packet.dup,
                packet.properties,
            )
    function = getattr(encoder, f"encode_{type(packet).__name__.lower()}")
    return function(version, *(getattr(packet, name) for name in packet.__struct_fields__))


def test_packet_encodes_in_its_shortest_form(packet_vector):
    if packet_vector.shortest:
        assert encode(packet_vector.version, packet_vector.event) == packet_vector.data


@pytest.mark.parametrize("version", [3, 4])
def test_what_came_with_version_5_is_left_out_before(version):
    publish = encoder.encode_publish(version, b"a", b"", 1, 1, False, False, ANY)
    assert publish == encoder.encode_publish(version, b"a", b"", 1, 1, False, False)
    assert encoder.encode_puback(version, 1, 0x97, ANY) == b"\x40\x02\x00\x01"
    assert encoder.encode_connack(version, False, 0x8A, ANY) == b"\x20\x02\x00\x05"
    assert encoder.encode_suback(version, 1, [2, 0x8F], ANY) == b"\x90\x04\x00\x01\x02\x80"
    assert encoder.encode_unsuback(version, 1, [0x11], ANY) == b"\xb0\x02\x00\x01"
    assert encoder.encode_disconnect(version, 0x8E, ANY) == b"\xe0\x00"
    options = packets.Subscription(b"a", 1, True, True, 2)
    assert encoder.encode_subscribe(version, 1, [options]) == b"\x82\x06\x00\x01\x00\x01a\x01"


def test_refusal_without_a_return_code_of_its_own_becomes_server_unavailable():
    assert encoder.encode_connack(4, False, ReasonCode.QUOTA_EXCEEDED) == b"\x20\x02\x00\x03"


@pytest.mark.parametrize(
    "call",
    [
        lambda: encoder.encode_publish(4, b"t" * 65536, b"", 0, 0, False, False),
        lambda: encoder.encode_publish(4, b"t", b"", 1, 0, False, False),
        lambda: encoder.encode_publish(4, b"t", b"", 1, 65536, False, False),
        lambda: encoder.encode_publish(4, b"t", bytes(1 << 28), 0, 0, False, False),
        lambda: encoder.encode_puback(4, 0),
        lambda: encoder.encode_connect(packets.Connect(4, b"c" * 65536)),
        lambda: encoder.encode_connect(packets.Connect(4, b"c", keep_alive=65536)),
        lambda: encoder.encode_auth(4, 0x18),
        lambda: encoder.encode_puback(5, 1, 0, Properties(topic_alias=1)),
        lambda: encoder.encode_publish(5, b"t", b"", 0, 0, False, False, Properties(message_expiry_interval=1 << 32)),
        lambda: encoder.encode_publish(5, b"t", b"", 0, 0, False, False, Properties(subscription_identifiers=(-1,))),
    ],
)
def test_what_does_not_fit_into_a_packet_is_misuse(call):
    with pytest.raises(MisuseError):
        call()
