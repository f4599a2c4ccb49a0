"""Messages as sites send them, no two in a row alike: taken, delivered and acknowledged many at once."""

import pytest

from gateway.settings.limits import Limits
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from protocols.message import make_message
from protocols.mqtt import packets
from protocols.mqtt.acknowledgements import PUBACK, PUBCOMP, PUBREC, PUBREL, encode_acknowledgements
from protocols.mqtt.encoder import encode_publish
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer

TOPICS = (b"a", b"a/b", b"home/Living Room", b"a/b.c", b"\xc3\xa9/t")
KINDS = {1: packets.Puback, 2: packets.Pubrec}


def mixed(count: int) -> list[tuple[bytes, bytes]]:
    """Topics and payloads."""
    return [(TOPICS[number % len(TOPICS)], b"%d" % number * (number % 50)) for number in range(count)]


def stream(version: int, messages: list[tuple[bytes, bytes]], qos: int = 0, first_id: int = 1) -> bytes:
    return b"".join(
        encode_publish(version, topic, payload, qos, first_id + number if qos else 0, False, False)
        for number, (topic, payload) in enumerate(messages)
    )


def said(heard: list[object]) -> list[tuple[bytes, bytes]]:
    """Topics and payloads of what must all be messages."""
    for packet in heard:
        assert isinstance(packet, Publish), packet
    return [(packet.topic, packet.payload) for packet in heard]  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_packets_of_quality_of_service_0_go_out_as_they_came_in(version: int):
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display", version), Peer(gateway, b"sensor", version)
        display.subscribe(b"#")
        wire = stream(version, mixed(100))
        sensor.receive(wire)
        assert display.take() == wire


@pytest.mark.parametrize(("sent", "received"), [(4, 5), (5, 4)])
async def test_packets_of_quality_of_service_0_are_rewritten_for_clients_of_another_version(sent: int, received: int):
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display", received), Peer(gateway, b"sensor", sent)
        display.subscribe(b"#")
        sensor.receive(stream(sent, mixed(100)))
        assert display.take() == stream(received, mixed(100))


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
async def test_messages_are_acknowledged_and_delivered_in_their_order_whatever_their_topics(version: int, qos: int):
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display", version), Peer(gateway, b"sensor", version)
        display.subscribe(b"#", qos)
        sensor.receive(stream(version, mixed(90), qos, 300))
        assert sensor.hear() == [KINDS[qos](300 + number) for number in range(90)]
        assert display.take() == stream(version, mixed(90), qos)
        display.receive(encode_acknowledgements(PUBACK if qos == 1 else PUBREC, list(range(1, 91))))
        if qos == 2:
            assert display.hear() == [packets.Pubrel(1 + number) for number in range(90)]
            display.receive(encode_acknowledgements(PUBCOMP, list(range(1, 91))))
            sensor.receive(encode_acknowledgements(PUBREL, list(range(300, 390))))
            assert sensor.hear() == [packets.Pubcomp(300 + number) for number in range(90)]
            assert not sensor.kept.received
        assert not display.kept.outgoing.sent


@pytest.mark.parametrize("qos", [1, 2])
async def test_messages_that_do_not_fit_into_the_window_follow_in_their_order(qos: int):
    async with running_gateway(Config(mqtt=Mqtt(max_inflight=7, max_queued_messages=93))) as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"#", qos)
        sensor.receive(stream(5, mixed(100), qos))
        heard: list[tuple[bytes, bytes]] = []
        while received := display.hear():
            heard += said(received)
            assert len(display.kept.outgoing.sent) == len(received) <= 7
            ids = [packet.packet_id for packet in received]  # type: ignore[attr-defined]
            if qos == 2:
                display.receive(encode_acknowledgements(PUBREC, ids))
                display.hear()
            display.receive(encode_acknowledgements(PUBACK if qos == 1 else PUBCOMP, ids))
        assert heard == mixed(100)
        assert display.kept.dropped == 0
        assert display.kept.outgoing.bytes == 0


@pytest.mark.parametrize("qos", [1, 2])
async def test_messages_that_reach_nobody_are_told_apart(qos: int):
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"a/+", qos)
        sensor.receive(stream(5, [(b"a/1", b""), (b"b/1", b""), (b"a/2", b""), (b"b/2", b"")], qos))
        nobody = ReasonCode.NO_MATCHING_SUBSCRIBERS
        kind = KINDS[qos]
        assert sensor.hear() == [kind(1), kind(2, nobody), kind(3), kind(4, nobody)]


async def test_more_messages_in_a_row_than_may_be_unreleased_end_the_connection_where_they_are_too_many():
    async with running_gateway(Config(mqtt=Mqtt(receive_maximum=3))) as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"#")
        sensor.receive(stream(5, mixed(5), 2))
        *answers, farewell = sensor.hear()
        assert answers == [packets.Pubrec(number) for number in (1, 2, 3)]
        assert isinstance(farewell, packets.Disconnect)
        assert farewell.reason_code is ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
        assert said(display.hear()) == mixed(3)


async def test_message_of_quality_of_service_2_that_comes_again_among_others_is_delivered_once():
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"#")
        sensor.receive(stream(5, [(b"a", b"1"), (b"b", b"2")], 2))
        sensor.receive(stream(5, [(b"b", b"2"), (b"c", b"3")], 2, 2) + stream(5, [(b"c", b"3")], 2, 3))
        assert sensor.hear() == [packets.Pubrec(number) for number in (1, 2, 2, 3, 3)]
        assert said(display.hear()) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        (b"$GR/x", b"", ReasonCode.NOT_AUTHORIZED),
        (b"a/b/c/d", b"", ReasonCode.TOPIC_NAME_INVALID),
        (b"a", bytes(101), ReasonCode.PACKET_TOO_LARGE),
    ],
)
async def test_message_that_may_not_be_published_is_refused_among_others(
    topic: bytes, payload: bytes, code: ReasonCode, qos: int
):
    config = Config(mqtt=Mqtt(max_topic_levels=3), limits=Limits(max_payload_bytes=100))
    async with running_gateway(config) as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"#")
        good = [(b"a/b/c", bytes(100)), (b"b", b"")]
        sensor.receive(stream(5, [*good, (topic, payload), *good], qos))
        answers = sensor.hear()
        if qos == 0 or code is ReasonCode.PACKET_TOO_LARGE:
            assert isinstance(answers[-1], packets.Disconnect)
            assert answers[-1].reason_code is code
            assert said(display.hear()) == good
        else:
            assert [answer.reason_code for answer in answers] == [0, 0, code, 0, 0]  # type: ignore[attr-defined]
            assert said(display.hear()) == good + good


async def test_every_subject_that_comes_once_reaches_its_subscribers_under_its_own_topic():
    async with running_gateway() as gateway:
        one, all_of_them, other = (Peer(gateway, name) for name in (b"one", b"all", b"other"))
        sensor = Peer(gateway, b"sensor", 4)
        one.subscribe(b"fresh/+/x", 1)
        all_of_them.subscribe(b"#")
        other.subscribe(b"$share/g/fresh/#")
        sent = [(b"fresh/%d/x" % number, b"%d" % number) for number in range(50)]
        sensor.receive(stream(4, sent, 1))
        assert said(one.hear()) == said(all_of_them.hear()) == said(other.hear()) == sent


@pytest.mark.parametrize("topic_filter", [b"#", b"+/a"])
async def test_filter_that_begins_with_a_wildcard_does_not_match_subjects_that_come_once_and_begin_with_a_dollar(
    topic_filter: bytes,
):
    async with running_gateway() as gateway:
        display = Peer(gateway, b"display")
        display.subscribe(topic_filter)
        for subject in (b"x1.a", b"$x2.a", b"x3.a", b"$x4.a"):
            gateway.account.router.publish(make_message(subject, b""), gateway.account.port)
        assert said(display.hear()) == [(b"x1/a", b""), (b"x3/a", b"")]


async def test_subject_that_comes_once_and_makes_no_topic_is_left_out():
    async with running_gateway() as gateway:
        display = Peer(gateway, b"display")
        display.subscribe(b"#")
        for subject in (b"x1.a", b"x2.+", b"x3.\xff", b"x4.a"):
            gateway.account.router.publish(make_message(subject, b""), gateway.account.port)
        assert said(display.hear()) == [(b"x1/a", b""), (b"x4/a", b"")]


async def test_own_messages_do_not_come_back_where_they_are_not_wanted_even_on_subjects_that_come_once():
    async with running_gateway() as gateway:
        bridge, sensor = Peer(gateway, b"bridge"), Peer(gateway, b"sensor")
        bridge.subscribe(b"#", no_local=True)
        bridge.receive(stream(5, [(b"x1", b""), (b"x2", b"")]))
        sensor.receive(stream(5, [(b"x3", b""), (b"x4", b"")]))
        assert said(bridge.hear()) == [(b"x3", b""), (b"x4", b"")]


async def test_filters_of_one_client_that_become_one_subject_filter_give_one_copy_even_of_subjects_that_come_once():
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"+/a/#")
        display.subscribe(b"+/a")
        sensor.receive(stream(5, [(b"x1/a", b""), (b"x2/a", b"")]))
        assert said(display.hear()) == [(b"x1/a", b""), (b"x2/a", b"")]
