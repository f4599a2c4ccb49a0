"""PUBLISH: what is a message at once, what needs a closer look, and runs of either."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MisuseError
from protocols.message import Burst, Message
from protocols.mqtt.decoder import ClientDecoder, Decoder
from protocols.mqtt.encoder import encode_connect, encode_publish
from protocols.mqtt.header_mapping import headers_of
from protocols.mqtt.packets import Connect
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish, PublishReader, PublishRun, publish_head
from tests.protocols.mqtt.one_by_one import one_by_one


def packet(topic: bytes, payload: bytes = b"", version: int = 4) -> bytes:
    return encode_publish(version, topic, payload, 0, 0, False, False)


def numbered(topic: bytes, payload: bytes, qos: int, packet_id: int, version: int = 4) -> bytes:
    return encode_publish(version, topic, payload, qos, packet_id, False, False)


def connected(version: int = 4, **limits: int) -> Decoder:
    decoder = Decoder(1 << 20, **limits)
    decoder.receive(encode_connect(Connect(version, b"c")))
    return decoder


def test_run_ends_before_an_incomplete_packet_and_before_another_kind():
    run = packet(b"a", b"1") + packet(b"b", b"2")
    for rest in (b"", b"\xc0", b"\x30", b"\x30\x80", packet(b"c", b"x" * 200)[:-1], b"\xc0\x00" + packet(b"c")):
        reader = PublishReader(True, 1000, 1000, 10)
        reader.version = 4
        events: list[object] = []
        assert reader.read(b"\xd0\x00" + run + rest, 2, events) == 2 + len(run)
        assert [event.payload() for event in events] == [b"1", b"2"]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_message_of_quality_of_service_0_is_its_packet_and_a_subject(version):
    wire = packet(b"a/b", b"payload", version)
    (message,) = connected(version).receive(wire)
    assert isinstance(message, Message)
    assert (message.subject, message.reply, message.header_size, message.size, message.qos) == (b"a.b", b"", 0, 7, 0)
    assert (message.mqtt3, message.mqtt5) == ((None, wire) if version == 5 else (wire, None))
    assert message.make_tail() == b"7\r\npayload\r\n"


@pytest.mark.parametrize("version", [3, 4, 5])
def test_packets_that_differ_in_the_payload_only_make_one_burst(version):
    run = [packet(b"a/b", b"%03d" % number, version) for number in range(9)]
    (burst,) = connected(version).receive(b"".join(run))
    assert isinstance(burst, Burst)
    assert (burst.subject, burst.count, burst.message_size, burst.qos) == (b"a.b", 9, 3, 0)
    assert (burst.mqtt5 if version == 5 else burst.mqtt3) == b"".join(run)
    assert burst.contents() == [b"%03d" % number for number in range(9)]


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_packets_with_identifiers_make_one_run_whatever_their_topics(version, qos):
    sent = [(b"a/%d" % (number % 4), b"x" * number, 500 + number) for number in range(9)]
    (run,) = connected(version).receive(
        b"".join(numbered(topic, payload, qos, packet_id, version) for topic, payload, packet_id in sent)
    )
    assert isinstance(run, PublishRun)
    assert run.qos == qos
    assert run.packet_ids == [500 + number for number in range(9)]
    assert [(message.subject, message.payload(), message.qos) for message in run.messages] == [
        (topic.replace(b"/", b"."), payload, qos) for topic, payload, _ in sent
    ]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_messages_to_be_retained_are_part_of_a_run(version):
    stream = numbered(b"a", b"1", 1, 1, version)
    stream += encode_publish(version, b"b/c", b"22", 1, 2, True, False)
    stream += encode_publish(version, b"d", b"", 1, 3, True, False)
    (run,) = connected(version).receive(stream)
    assert [message.is_retained() for message in run.messages] == [False, True, True]
    assert [message.header() for message in run.messages] == [b"", headers_of(None, True), headers_of(None, True)]
    assert [message.payload() for message in run.messages] == [b"1", b"22", b""]
    assert (run.retained, run.retained_bytes) == (2, len(b"b.cd22") + 2 * len(headers_of(None, True)))


# A topic that may be published to, one with a level too many, one that is reserved, and one of other characters.
TOPICS = [b"a", b"b/c", b"a/b/c/d", b"$GR/x", b"\xc3\xa9/t.u"]
PACKETS = st.tuples(
    st.sampled_from(TOPICS),
    st.integers(0, 12),  # The limit is 10.
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.none() | st.just(Properties(content_type=b"t")),
)


@given(
    said=st.lists(PACKETS, max_size=12), cuts=st.lists(st.integers(0, 200), max_size=6), version=st.sampled_from([4, 5])
)
def test_any_split_gives_the_same_messages_in_the_same_order(said, cuts, version):
    stream = b""
    sent = []
    for number, (topic, size, qos, retain, dup, properties) in enumerate(said, 1):
        publish = Publish()
        publish.topic, publish.payload, publish.qos, publish.retain = topic, bytes([64 + number]) * size, qos, retain
        publish.packet_id, publish.dup = (number, dup) if qos else (0, False)
        publish.properties = properties if version == 5 else None
        sent.append(publish)
        stream += encode_publish(
            version, topic, publish.payload, qos, publish.packet_id, retain, publish.dup, publish.properties
        )
    decoder = connected(version, max_payload=10, max_levels=3)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    events = [
        event for start, end in zip([0, *ends], ends, strict=False) for event in decoder.receive(stream[start:end])
    ]
    assert one_by_one(events) == sent
    for event in events:
        if isinstance(event, Publish):  # There is something to say, or to refuse.
            assert (
                (event.retain and not event.qos)
                or event.dup
                or event.properties
                or len(event.payload) > 10
                or event.topic in (b"a/b/c/d", b"$GR/x")
            )


def test_run_ends_before_a_packet_that_has_more_to_say():
    alike = [numbered(b"a", b"1", 1, number, 5) for number in (1, 2)]
    expiring = encode_publish(5, b"a", b"", 1, 3, False, False, Properties(message_expiry_interval=5))
    repeated = encode_publish(5, b"a", b"1", 1, 4, False, True)
    sure = numbered(b"a", b"1", 2, 6, 5)
    first, *others, last = connected(5).receive(b"".join((*alike, expiring, repeated, sure)))
    assert (first.qos, first.packet_ids) == (1, [1, 2])
    assert [(event.packet_id, event.dup, event.retain, event.qos) for event in others] == [
        (3, False, False, 1),
        (4, True, False, 1),
    ]
    assert others[0].properties == Properties(message_expiry_interval=5)
    assert (last.qos, last.packet_ids) == (2, [6])


def test_messages_of_other_kinds_keep_their_place_between_numbered_ones():
    events = connected().receive(numbered(b"a", b"1", 1, 1) + packet(b"a", b"2") + numbered(b"a", b"3", 1, 2))
    assert [event.payload for event in one_by_one(events)] == [b"1", b"2", b"3"]


def test_packet_identifier_0_within_a_run_is_a_violation():
    good = b"".join(numbered(b"a", b"1", 1, number) for number in (1, 2))
    bad = bytes.fromhex("32 06 0001 61 0000 31")
    run, violation = connected().receive(good + bad + good)
    assert run.packet_ids == [1, 2]
    assert violation.detail == "PUBLISH: the packet identifier is 0"


def test_what_a_server_sends_is_a_publish_each():
    wire = packet(b"a", b"1") * 2 + numbered(b"a", b"1", 1, 1) * 2
    events = ClientDecoder(1000, 4).receive(wire)
    assert [(type(event), event.topic, event.payload, event.packet_id) for event in events] == [
        (Publish, b"a", b"1", packet_id) for packet_id in (0, 0, 1, 1)
    ]


def test_messages_compare_by_what_they_say():
    one, two, other = (ClientDecoder(1000, 4).receive(packet(b"a", payload))[0] for payload in (b"1", b"1", b"2"))
    assert one == two
    assert one != other
    assert one != "a"
    assert repr(other) == (
        "Publish(dup=False, packet_id=0, payload=b'2', properties=None, qos=0, retain=False, topic=b'a')"
    )
    with pytest.raises(TypeError):
        hash(Publish())


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("topic", [b"a", b"t" * 256, b"t" * 257, b"t" * 65_535])
@pytest.mark.parametrize("size", [0, 1, 119, 121, 122, 123, 124, 125, 16376, 16377, 16378, 16379, 16380, 16381])
def test_head_and_payload_are_a_whole_packet(version, topic, size):
    for qos, packet_id in ((0, 0), (1, 1), (2, 0xABCD)):
        whole = encode_publish(version, topic, bytes(size), qos, packet_id, False, False)
        assert publish_head(version, topic, size, qos, packet_id) + bytes(size) == whole


@pytest.mark.parametrize(
    ("topic", "size", "qos", "packet_id"),
    [(b"t" * 65_536, 0, 0, 0), (b"t", 0x0FFFFFFF, 0, 0), (b"t", 0, 1, 0), (b"t", 0, 2, 65_536)],
)
def test_head_of_no_packet_is_refused(topic, size, qos, packet_id):
    with pytest.raises(MisuseError):
        publish_head(4, topic, size, qos, packet_id)
