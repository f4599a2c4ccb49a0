"""Client and server back to back: what one encodes, the other decodes to the same packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder, Decoder
from protocols.mqtt.properties import RULES, Carrier, Kind, Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import (
    CLIENT_AUTH_CODES,
    CLIENT_DISCONNECT_CODES,
    CONNACK_CODES,
    CONNECT_RETURN_CODES,
    PUBACK_CODES,
    PUBREL_CODES,
    SERVER_DISCONNECT_CODES,
    SUBACK_CODES,
    SUBACK_CODES_3_1_1,
    UNSUBACK_CODES,
)
from tests.protocols.mqtt.one_by_one import one_by_one

LIMIT = 1 << 20
VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])

characters = st.characters(exclude_categories=["Cc", "Cn", "Cs"])
strings = st.text(characters, max_size=20).map(str.encode)
level = st.text(st.characters(exclude_characters="+#/", exclude_categories=["Cc", "Cn", "Cs"]), max_size=5)
topics = st.lists(level, min_size=1, max_size=4).map("/".join).filter(bool).map(str.encode)
topic_filters = st.builds(
    lambda levels, rest: "/".join([*levels, *rest]).encode(),
    st.lists(level | st.just("+"), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
).filter(bool)
packet_ids = st.integers(1, 0xFFFF)
VALUES = {
    Kind.FLAG: st.integers(0, 1),
    Kind.UINT16: st.integers(1, 0xFFFF),
    Kind.UINT32: st.integers(1, 0xFFFFFFFF),
    Kind.VARINT: st.integers(1, 0x0FFFFFFF),
    Kind.STRING: strings,
    Kind.BINARY: st.binary(max_size=20),
    Kind.PAIR: st.tuples(strings, strings),
}


def values(rule, carrier: Carrier):
    if rule.name == "response_topic":
        return topics
    if rule.is_collected:
        most = 3 if rule.may_repeat_in(carrier) else 1
        return st.lists(VALUES[rule.kind], min_size=1, max_size=most).map(tuple)
    return VALUES[rule.kind]


def properties_of(version: int, carrier: Carrier, without: tuple[str, ...] = (), needed: tuple[str, ...] = ()):
    """Properties that may stand in a packet, or None."""
    if version != 5:
        return st.none()
    allowed = {
        rule.name: values(rule, carrier) for rule in RULES if carrier & rule.carriers and rule.name not in without
    }
    some = st.fixed_dictionaries(
        {name: allowed[name] for name in needed},
        optional={name: value for name, value in allowed.items() if name not in needed},
    )
    built = some.filter(bool).map(lambda fields: Properties(**fields))
    return built if needed else st.none() | built


def to_server(version: int, data: bytes) -> list[object]:
    decoder = Decoder(LIMIT)
    decoder.receive(encoder.encode_connect(packets.Connect(version, b"c")))
    return one_by_one(decoder.receive(data))


def to_client(version: int, data: bytes) -> list[object]:
    return ClientDecoder(LIMIT, version).receive(data)


@VERSIONS
@given(data=st.data())
def test_connect(version, data):
    # Text in the payload that is marked as text would have to be text.
    will_properties = properties_of(version, Carrier.WILL, without=("payload_format_indicator",))
    wills = st.builds(packets.Will, topics, st.binary(max_size=20), st.integers(0, 2), st.booleans(), will_properties)
    username = data.draw(st.none() | strings)
    password = data.draw(st.none() | st.binary(max_size=20)) if username is not None or version == 5 else None
    client_id = data.draw(strings)
    connect = packets.Connect(
        version,
        client_id if version == 5 else client_id or b"c",
        data.draw(st.booleans()),
        data.draw(st.integers(0, 0xFFFF)),
        username,
        password,
        data.draw(st.none() | wills),
        data.draw(properties_of(version, Carrier.CONNECT, needed=("authentication_method",)) | st.none()),
    )
    assert Decoder(LIMIT).receive(encoder.encode_connect(connect)) == [connect]


@VERSIONS
@given(data=st.data())
def test_connack(version, data):
    codes = CONNACK_CODES if version == 5 else CONNECT_RETURN_CODES
    code = data.draw(st.sampled_from(list(codes.values())))
    properties = data.draw(properties_of(version, Carrier.CONNACK, without=("authentication_data",)))
    connack = packets.Connack(data.draw(st.booleans()) and not code, code, properties)
    wire = encoder.encode_connack(version, connack.session_present, connack.reason_code, connack.properties)
    assert to_client(version, wire) == [connack]


@VERSIONS
@given(data=st.data())
def test_publish(version, data):
    publish = Publish()
    publish.qos = data.draw(st.integers(0, 2))
    publish.packet_id = data.draw(packet_ids) if publish.qos else 0
    publish.dup = publish.qos > 0 and data.draw(st.booleans())
    publish.retain = data.draw(st.booleans())
    publish.topic = data.draw(topics)
    publish.payload = data.draw(st.binary(max_size=200))
    publish.properties = data.draw(
        properties_of(version, Carrier.PUBLISH, without=("payload_format_indicator", "subscription_identifiers"))
    )
    wire = encoder.encode_publish(
        version,
        publish.topic,
        publish.payload,
        publish.qos,
        publish.packet_id,
        publish.retain,
        publish.dup,
        publish.properties,
    )
    assert to_server(version, wire) == to_client(version, wire) == [publish]


ACKNOWLEDGEMENTS = [
    (packets.Puback, encoder.encode_puback, PUBACK_CODES, Carrier.PUBACK),
    (packets.Pubrec, encoder.encode_pubrec, PUBACK_CODES, Carrier.PUBREC),
    (packets.Pubrel, encoder.encode_pubrel, PUBREL_CODES, Carrier.PUBREL),
    (packets.Pubcomp, encoder.encode_pubcomp, PUBREL_CODES, Carrier.PUBCOMP),
]


@VERSIONS
@pytest.mark.parametrize(("kind", "encode", "codes", "carrier"), ACKNOWLEDGEMENTS)
@given(data=st.data())
def test_acknowledgement(version, kind, encode, codes, carrier, data):
    code = data.draw(st.sampled_from(list(codes.values()))) if version == 5 else codes[0]
    packet = kind(data.draw(packet_ids), code, data.draw(properties_of(version, carrier)))
    wire = encode(version, packet.packet_id, packet.reason_code, packet.properties)
    assert to_server(version, wire) == to_client(version, wire) == [packet]


@VERSIONS
@given(data=st.data())
def test_subscribe(version, data):
    options = (st.booleans(), st.booleans(), st.integers(0, 2)) if version == 5 else ()
    subscriptions = st.lists(
        st.builds(packets.Subscription, topic_filters, st.integers(0, 2), *options), min_size=1, max_size=4
    )
    subscribe = packets.Subscribe(
        data.draw(packet_ids), tuple(data.draw(subscriptions)), data.draw(properties_of(version, Carrier.SUBSCRIBE))
    )
    wire = encoder.encode_subscribe(version, subscribe.packet_id, subscribe.subscriptions, subscribe.properties)
    assert to_server(version, wire) == [subscribe]


@VERSIONS
@given(data=st.data())
def test_unsubscribe(version, data):
    unsubscribe = packets.Unsubscribe(
        data.draw(packet_ids),
        tuple(data.draw(st.lists(topic_filters, min_size=1, max_size=4))),
        data.draw(properties_of(version, Carrier.UNSUBSCRIBE)),
    )
    wire = encoder.encode_unsubscribe(version, unsubscribe.packet_id, unsubscribe.topic_filters, unsubscribe.properties)
    assert to_server(version, wire) == [unsubscribe]


@VERSIONS
@given(data=st.data())
def test_answers_to_subscriptions(version, data):
    packet_id = data.draw(packet_ids)
    codes = SUBACK_CODES if version == 5 else SUBACK_CODES_3_1_1
    granted = tuple(data.draw(st.lists(st.sampled_from(list(codes.values())), min_size=1, max_size=4)))
    suback = packets.Suback(packet_id, granted, data.draw(properties_of(version, Carrier.SUBACK)))
    wire = encoder.encode_suback(version, packet_id, suback.reason_codes, suback.properties)
    assert to_client(version, wire) == [suback]
    ended = tuple(data.draw(st.lists(st.sampled_from(list(UNSUBACK_CODES.values())), min_size=1, max_size=4)))
    unsuback = packets.Unsuback(
        packet_id, ended if version == 5 else (), data.draw(properties_of(version, Carrier.UNSUBACK))
    )
    wire = encoder.encode_unsuback(version, packet_id, unsuback.reason_codes, unsuback.properties)
    assert to_client(version, wire) == [unsuback]


@VERSIONS
def test_ping(version):
    assert to_server(version, encoder.PINGREQ) == [packets.Pingreq()]
    assert to_client(version, encoder.PINGRESP) == [packets.Pingresp()]


@given(st.data())
def test_disconnect_with_a_reason(data):
    from_client = packets.Disconnect(
        data.draw(st.sampled_from(list(CLIENT_DISCONNECT_CODES.values()))),
        data.draw(properties_of(5, Carrier.DISCONNECT)),
    )
    assert to_server(5, encoder.encode_disconnect(5, from_client.reason_code, from_client.properties)) == [from_client]
    from_server = packets.Disconnect(
        data.draw(st.sampled_from(list(SERVER_DISCONNECT_CODES.values()))),
        data.draw(properties_of(5, Carrier.DISCONNECT, without=("session_expiry_interval",))),
    )
    assert to_client(5, encoder.encode_disconnect(5, from_server.reason_code, from_server.properties)) == [from_server]


@given(st.data())
def test_auth(data):
    auth = packets.Auth(
        data.draw(st.sampled_from(list(CLIENT_AUTH_CODES.values()))),
        data.draw(properties_of(5, Carrier.AUTH, needed=("authentication_method",))),
    )
    assert to_server(5, encoder.encode_auth(5, auth.reason_code, auth.properties)) == [auth]
