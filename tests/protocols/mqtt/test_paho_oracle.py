"""paho's packing and unpacking as an oracle, for 3.1, 3.1.1 and 5.0: what we write it reads, and the other way."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt import encoder
from protocols.mqtt.decoder import ClientDecoder, Decoder
from protocols.mqtt.packets import Connect, Subscription, Will
from protocols.mqtt.primitives import read_length
from protocols.mqtt.properties import RULES, Carrier, Kind, Properties
from protocols.mqtt.publish import Publish
from tests.protocols.mqtt.one_by_one import one_by_one

paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
# 2.2 has its unpacking apart from its client.
packet = pytest.importorskip("paho.mqtt._packet", reason="paho-mqtt is older than 2.2")

from paho.mqtt.packettypes import PacketTypes  # noqa: E402 -- behind the check that it is there
from paho.mqtt.properties import Properties as PahoProperties  # noqa: E402
from paho.mqtt.reasoncodes import ReasonCode as PahoReasonCode  # noqa: E402
from paho.mqtt.subscribeoptions import SubscribeOptions  # noqa: E402

versions = st.sampled_from([3, 4, 5])
texts = st.text(st.characters(exclude_characters="+#", exclude_categories=["Cc", "Cn", "Cs"]), min_size=1, max_size=20)
packet_ids = st.integers(1, 0xFFFF)
qualities = st.integers(0, 2)

# Of a variable byte integer; paho lets no maximum packet size be larger either.
LARGEST = 268_435_455
VALUES = {
    Kind.FLAG: st.integers(0, 1),
    Kind.UINT16: st.integers(1, 0xFFFF),
    Kind.UINT32: st.integers(1, LARGEST),
    Kind.VARINT: st.integers(1, LARGEST),
    Kind.STRING: texts,
    Kind.BINARY: st.binary(max_size=50),
    Kind.PAIR: st.tuples(texts, texts),
}
MOST_REPEATED = 3
SINGULAR = {
    "user_properties": "user_property",
    "subscription_identifiers": "subscription_identifier",
    "subscription_identifiers_available": "subscription_identifier_available",
}
ACKNOWLEDGEMENTS = {
    "PUBACK": (encoder.encode_puback, "decode_puback"),
    "PUBREC": (encoder.encode_pubrec, "decode_pubrec"),
    "PUBREL": (encoder.encode_pubrel, "decode_pubrel"),
    "PUBCOMP": (encoder.encode_pubcomp, "decode_pubcomp"),
}


class Writer(paho.Client):  # type: ignore[misc, name-defined]
    """A paho client that keeps what it would send."""

    def __init__(self, version: int, client_id: str = "c", **options: Any) -> None:
        super().__init__(paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, **options)
        self.written = b""
        self._sock = self  # It only asks whether there is one.

    def _packet_queue(self, _command: int, wire: bytes, _mid: int, _qos: int, _info: Any = None) -> Any:
        self.written = bytes(wire)
        return paho.MQTT_ERR_SUCCESS

    def close(self) -> None:
        """As a socket."""

    def fileno(self) -> int:
        return -1

    def __del__(self) -> None:
        self._sock = None
        super().__del__()


def body_of(wire: bytes) -> bytes:
    """What follows the fixed header."""
    return wire[read_length(wire, 1)[1] :]


@st.composite
def property_values(draw: st.DrawFn, carrier: Carrier) -> dict[str, Any]:
    """Values by our names: text as str, what may be repeated as a list."""
    found: dict[str, Any] = {}
    for rule in RULES:
        if carrier & rule.carriers and draw(st.booleans()):
            value = VALUES[rule.kind]
            many = MOST_REPEATED if rule.may_repeat_in(carrier) else 1
            found[rule.name] = draw(st.lists(value, min_size=1, max_size=many) if rule.is_collected else value)
    return found


def ours(values: dict[str, Any]) -> Properties | None:
    def plain(value: Any) -> Any:
        match value:
            case str():
                return value.encode()
            case list() | tuple():
                return tuple(map(plain, value))
            case _:
                return value

    return Properties(**{name: plain(value) for name, value in values.items()}) if values else None


def theirs(values: dict[str, Any], kind: int) -> PahoProperties:
    made = PahoProperties(kind)
    for name, value in values.items():
        setattr(made, their_name(name), value)
    return made


def their_name(name: str) -> str:
    known = {word.replace(" ", "").lower(): word.replace(" ", "") for word in PahoProperties(PacketTypes.PUBLISH).names}
    return known[SINGULAR.get(name, name).replace("_", "")]


def read_back(found: PahoProperties, values: dict[str, Any]) -> dict[str, Any]:
    """Their values under our names."""
    return {name: getattr(found, their_name(name), None) for name in values}


def connected(version: int) -> Decoder:
    decoder = Decoder(1 << 20)
    decoder.receive(encoder.encode_connect(Connect(version, b"c")))
    return decoder


@given(versions, texts, st.binary(max_size=300), qualities, packet_ids, st.booleans(), st.booleans(), st.data())
def test_publish_is_read_and_written_alike(version, topic, payload, qos, packet_id, retain, dup, data):
    packet_id, dup = (packet_id, dup) if qos else (0, False)
    values = data.draw(property_values(Carrier.PUBLISH)) if version == 5 else {}
    wire = encoder.encode_publish(version, topic.encode(), payload, qos, packet_id, retain, dup, ours(values))
    read = packet.decode_publish(wire[0], body_of(wire), version)
    assert (read.topic, read.payload, read.qos, read.mid) == (topic.encode(), payload, qos, packet_id)
    assert (read.retain, read.dup) == (retain, dup)
    if version == 5:
        assert read_back(read.properties, values) == values


@given(versions, texts, st.binary(max_size=300), qualities, packet_ids, st.booleans(), st.booleans(), st.data())
def test_publish_of_a_client_is_read(version, topic, payload, qos, packet_id, retain, dup, data):
    packet_id, dup = (packet_id, dup) if qos else (0, False)
    values = data.draw(property_values(Carrier.PUBLISH)) if version == 5 else {}
    values.pop("subscription_identifiers", None)  # Only servers may send them.
    # It would have the payload be UTF-8, which is another test's matter.
    values.pop("payload_format_indicator", None)
    writer = Writer(version)
    writer._send_publish(
        packet_id, topic.encode(), payload, qos, retain, dup, properties=theirs(values, PacketTypes.PUBLISH)
    )
    (read,) = one_by_one(connected(version).receive(writer.written))
    assert isinstance(read, Publish)
    assert (read.topic, read.payload, read.qos, read.packet_id) == (topic.encode(), payload, qos, packet_id)
    assert (read.retain, read.dup, read.properties) == (retain, dup, ours(values))


@given(
    versions,
    texts,
    st.booleans(),
    st.integers(0, 0xFFFF),
    st.none() | texts,
    st.none() | texts,
    st.none() | st.tuples(texts, st.binary(max_size=50), qualities, st.booleans()),
    st.data(),
)
def test_connect_is_written_alike(version, client_id, clean, keep_alive, username, password, will, data):
    password = password if username is not None else None
    values = data.draw(property_values(Carrier.CONNECT)) if version == 5 else {}
    if "authentication_method" not in values:  # [MQTT-3.1.2.11.10]
        values.pop("authentication_data", None)
    will_values = data.draw(property_values(Carrier.WILL)) if version == 5 and will is not None else {}
    will_values.pop("payload_format_indicator", None)
    writer = Writer(version, client_id, **({} if version == 5 else {"clean_session": clean}))
    if username is not None:
        writer.username_pw_set(username, password)
    expected = Connect(version, client_id.encode(), clean, keep_alive, properties=ours(values))
    expected.username = username.encode() if username is not None else None
    expected.password = password.encode() if password is not None else None
    if will is not None:
        topic, payload, qos, retain = will
        will_properties = theirs(will_values, PacketTypes.WILLMESSAGE) if version == 5 else None
        writer.will_set(topic, payload, qos, retain, will_properties)
        expected.will = Will(topic.encode(), payload, qos, retain, ours(will_values))
    if version == 5:
        writer._clean_start = clean
        writer._connect_properties = theirs(values, PacketTypes.CONNECT)
    writer._send_connect(keep_alive)
    assert Decoder(1 << 20).receive(writer.written) == [expected]
    if version != 5:  # Of 5.0 the order of the properties may differ.
        assert encoder.encode_connect(expected) == writer.written


@given(
    versions,
    st.lists(st.tuples(texts, qualities, st.booleans(), st.booleans(), st.integers(0, 2)), min_size=1, max_size=5),
    st.data(),
)
def test_subscribe_and_unsubscribe_are_written_alike(version, asked, data):
    values = data.draw(property_values(Carrier.SUBSCRIBE)) if version == 5 else {}
    writer = Writer(version)
    if version == 5:
        topics = [(topic.encode(), SubscribeOptions(*options)) for topic, *options in asked]
        subscriptions = tuple(Subscription(topic.encode(), *options) for topic, *options in asked)
    else:
        topics = [(topic.encode(), qos) for topic, qos, *_ in asked]
        subscriptions = tuple(Subscription(topic.encode(), qos) for topic, qos, *_ in asked)
    _, packet_id = writer._send_subscribe(0, topics, theirs(values, PacketTypes.SUBSCRIBE))
    (read,) = connected(version).receive(writer.written)
    assert (read.packet_id, read.subscriptions, read.properties) == (packet_id, subscriptions, ours(values))

    filters = tuple(topic.encode() for topic, *_ in asked)
    _, packet_id = writer._send_unsubscribe(0, list(filters))
    assert encoder.encode_unsubscribe(version, packet_id, filters) == writer.written
    (read,) = connected(version).receive(writer.written)
    assert (read.packet_id, read.topic_filters) == (packet_id, filters)


@pytest.mark.parametrize("name", ACKNOWLEDGEMENTS)
@given(version=versions, packet_id=packet_ids, data=st.data())
def test_acknowledgements_are_read_and_written_alike(name, version, packet_id, data):
    encode, decode = ACKNOWLEDGEMENTS[name]
    values = data.draw(property_values(Carrier[name])) if version == 5 else {}
    code = data.draw(st.sampled_from([0x00, 0x92] if name in ("PUBREL", "PUBCOMP") else [0x00, 0x10, 0x80, 0x97]))
    wire = encode(version, packet_id, code, ours(values))
    read = getattr(packet, decode)(wire[0], body_of(wire), version)
    assert read.mid == packet_id
    if version == 5:
        assert (read.reason.value, read_back(read.properties, values)) == (code, values)

    writer = Writer(version)
    getattr(writer, f"_send_{name.lower()}")(packet_id)
    assert encode(version, packet_id) == writer.written


@given(versions, st.booleans(), st.data())
def test_connack_is_read_alike(version, present, data):
    values = data.draw(property_values(Carrier.CONNACK)) if version == 5 else {}
    code = data.draw(st.sampled_from([0x00, 0x84, 0x85, 0x87]))
    wire = encoder.encode_connack(version, present and not code, code, ours(values))
    read = packet.decode_connack(wire[0], body_of(wire), version)
    assert (read.flags, read.reason.value) == (int(present and not code), code)
    if version == 5:
        assert read_back(read.properties, values) == values


@given(versions, packet_ids, st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=5), st.data())
def test_suback_is_read_alike(version, packet_id, codes, data):
    values = data.draw(property_values(Carrier.SUBACK)) if version == 5 else {}
    wire = encoder.encode_suback(version, packet_id, codes, ours(values))
    read = packet.decode_suback(wire[0], body_of(wire), version)
    assert (read.mid, [code.value for code in read.reason_codes]) == (packet_id, codes)
    assert read_back(read.properties, values) == values


@given(packet_ids, st.lists(st.sampled_from([0x00, 0x11, 0x80]), min_size=1, max_size=5), st.data())
def test_unsuback_and_disconnect_of_5_0_are_read_alike(packet_id, codes, data):
    values = data.draw(property_values(Carrier.UNSUBACK))
    wire = encoder.encode_unsuback(5, packet_id, codes, ours(values))
    read = packet.decode_unsuback(wire[0], body_of(wire), 5)
    assert (read.mid, [code.value for code in read.reason_codes]) == (packet_id, codes)
    assert read_back(read.properties, values) == values

    values = data.draw(property_values(Carrier.DISCONNECT))
    wire = encoder.encode_disconnect(5, 0x8E, ours(values))
    read = packet.decode_disconnect(wire[0], body_of(wire), 5)
    assert read.reason.value == 0x8E
    if values:
        assert read_back(read.properties, values) == values


@given(st.sampled_from([0x00, 0x04, 0x81]), st.data())
def test_disconnect_of_a_client_is_read(code, data):
    values = data.draw(property_values(Carrier.DISCONNECT))
    values.pop("server_reference", None)  # Only servers may send it.
    writer = Writer(5)
    reason = PahoReasonCode(PacketTypes.DISCONNECT, identifier=code)
    writer._send_disconnect(reason, theirs(values, PacketTypes.DISCONNECT))
    (read,) = connected(5).receive(writer.written)
    assert (read.reason_code, read.properties) == (code, ours(values))


def test_empty_packets_are_alike() -> None:
    writer = Writer(4)
    writer._send_pingreq()
    assert writer.written == encoder.PINGREQ
    writer._send_pingresp()
    assert writer.written == encoder.PINGRESP
    assert len(ClientDecoder(1 << 20, 4).receive(writer.written)) == 1
    writer._send_disconnect()
    assert writer.written == encoder.encode_disconnect(4)
