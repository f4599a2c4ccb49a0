"""amqtt's codec for 3.1.1, written by others, as an oracle: what we encode it reads, and the other way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.decoder import Decoder
from protocols.mqtt.encoder import encode_connect, encode_publish, encode_subscribe
from protocols.mqtt.packets import Connect, Subscription, Will
from tests.protocols.mqtt.one_by_one import one_by_one

VERSION = 4

texts = st.text(st.characters(exclude_characters="+#", exclude_categories=["Cc", "Cn", "Cs"]), min_size=1, max_size=20)
packet_ids = st.integers(1, 0xFFFF)


@pytest.fixture(scope="module", autouse=True)
def _amqtt():
    pytest.importorskip("amqtt", reason="amqtt is not installed")


def amqtt_decode(packet_class, data: bytes):
    """amqtt reads with coroutines; from a buffer they never wait."""
    from amqtt.adapters import BufferReader

    try:
        packet_class.from_stream(BufferReader(data)).send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("amqtt waits for more bytes")


def connected() -> Decoder:
    decoder = Decoder(1 << 20)
    decoder.receive(encode_connect(Connect(VERSION, b"c")))
    return decoder


@given(texts, st.binary(max_size=300), st.integers(0, 2), packet_ids, st.booleans(), st.booleans())
def test_publish_is_read_and_written_alike(topic, payload, qos, packet_id, retain, dup):
    from amqtt.mqtt.publish import PublishPacket

    packet_id = packet_id if qos else 0
    dup = dup and qos > 0
    wire = encode_publish(VERSION, topic.encode(), payload, qos, packet_id, retain, dup)
    theirs = amqtt_decode(PublishPacket, wire)
    assert (theirs.topic_name, theirs.data, theirs.qos, theirs.packet_id or 0) == (topic, payload, qos, packet_id)
    assert (theirs.retain_flag, theirs.dup_flag) == (retain, dup)

    built = PublishPacket.build(topic, payload, packet_id or None, dup, qos, retain).to_bytes()
    assert bytes(built) == wire
    (ours,) = one_by_one(connected().receive(bytes(built)))
    assert (ours.topic, ours.payload, ours.qos, ours.packet_id) == (topic.encode(), payload, qos, packet_id)
    assert (ours.retain, ours.dup) == (retain, dup)


@given(
    texts,
    st.booleans(),
    st.integers(0, 0xFFFF),
    st.none() | texts,
    st.none() | texts,
    st.none() | st.tuples(texts, st.binary(max_size=50), st.integers(0, 2), st.booleans()),
)
def test_connect_is_read_and_written_alike(client_id, clean, keep_alive, username, password, will):
    from amqtt.mqtt.connect import ConnectPacket

    password = password if username is not None else None
    connect = Connect(VERSION, client_id.encode(), clean, keep_alive)
    connect.username = username.encode() if username is not None else None
    connect.password = password.encode() if password is not None else None
    if will is not None:
        topic, payload, qos, retain = will
        connect.will = Will(topic.encode(), payload, qos, retain)
    wire = encode_connect(connect)
    theirs = amqtt_decode(ConnectPacket, wire)
    assert (theirs.proto_name, theirs.proto_level) == ("MQTT", VERSION)
    assert (theirs.client_id, theirs.clean_session_flag, theirs.keep_alive) == (client_id, clean, keep_alive)
    assert (theirs.username, theirs.password) == (username, password)
    if will is not None:
        theirs_will = theirs.will_topic, bytes(theirs.will_message), theirs.will_qos, theirs.will_retain_flag
        assert theirs_will == will
    assert theirs.will_flag == (will is not None)

    assert bytes(theirs.to_bytes()) == wire
    assert Decoder(1 << 20).receive(bytes(theirs.to_bytes())) == [connect]


@given(packet_ids, st.lists(st.tuples(texts, st.integers(0, 2)), min_size=1, max_size=5))
def test_subscribe_is_read_and_written_alike(packet_id, topics):
    from amqtt.mqtt.subscribe import SubscribePacket

    subscriptions = tuple(Subscription(topic.encode(), qos) for topic, qos in topics)
    wire = encode_subscribe(VERSION, packet_id, subscriptions)
    theirs = amqtt_decode(SubscribePacket, wire)
    assert (theirs.variable_header.packet_id, theirs.payload.topics) == (packet_id, topics)

    built = bytes(SubscribePacket.build(topics, packet_id).to_bytes())
    assert built == wire
    (ours,) = connected().receive(built)
    assert (ours.packet_id, ours.subscriptions) == (packet_id, subscriptions)
