"""An MQTT session on both sides of a restart: what is sent, sent again, given up and not sent any more."""

from pathlib import Path

import pytest

from gateway.dataplane.port import Port
from gateway.settings.limits import Limits
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from protocols.close_reason import CloseReason
from protocols.message import make_message
from protocols.mqtt import encoder, packets
from protocols.mqtt.publish import Publish
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer, commit, messages_of, stored_gateway

RETAINED = b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"


async def test_message_of_quality_of_service_2_is_sent_after_its_commit_and_of_1_at_once(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"t", 2)
        await commit(gateway)
        display.hear()
        sensor.publish(b"t", b"1", 1, 1)
        assert display.hear_messages() == [(b"1", 1, False)]
        sensor.publish(b"t", b"2", 2, 2)
        assert display.hear_messages() == []
        await commit(gateway)
        assert display.hear_messages() == [(b"2", 2, False)]


async def test_release_is_not_said_again_before_it_is_stored(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        display = Peer(gateway, b"display")
        display.subscribe(b"t", 2)
        message = make_message(b"t", b"1")
        message.qos = 2
        gateway.account.router.publish(message, gateway.account.port)
        await commit(gateway)
        assert [type(packet) for packet in display.hear()] == [packets.Suback, Publish]
        display.pubrec(1)
        assert display.hear() == []
        display.close(CloseReason.READ_ERROR)
        again = Peer(gateway, b"display")
        assert again.packets == []
        await commit(gateway)
        assert again.hear() == [packets.Pubrel(1)]


@pytest.mark.parametrize("farewell", [True, False])
async def test_what_was_sent_before_a_restart_is_sent_again_as_a_repetition(tmp_path: Path, farewell: bool):
    async with stored_gateway(tmp_path) as gateway:
        display, sensor = Peer(gateway, b"display", receive_maximum=2), Peer(gateway, b"sensor")
        display.subscribe(b"t", 1)
        for number in range(3):
            sensor.publish(b"t", b"%d" % number, 1, number + 1)
        if farewell:
            display.disconnect()
        await commit(gateway)
    async with stored_gateway(tmp_path) as gateway:
        display = Peer(gateway, b"display")
        assert display.greeting.session_present  # type: ignore[attr-defined]
        heard = await messages_of(display, 3)
        assert [(payload, packet_id) for payload, packet_id, _ in heard] == [(b"0", 1), (b"1", 2), (b"2", 3)]
        assert [dup for _, _, dup in heard[:2]] == [True, True]


async def test_what_never_went_out_is_no_repetition_after_an_orderly_restart(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        display, sensor = Peer(gateway, b"display", receive_maximum=2), Peer(gateway, b"sensor")
        display.subscribe(b"t", 1)
        for number in range(3):
            sensor.publish(b"t", b"%d" % number, 1, number + 1)
        display.close(CloseReason.SERVER_SHUTDOWN)
        sensor.publish(b"t", b"3", 1, 4)
        await commit(gateway)
    async with stored_gateway(tmp_path) as gateway:
        # Another restart, without the client.
        await commit(gateway)
    async with stored_gateway(tmp_path) as gateway:
        heard = await messages_of(Peer(gateway, b"display"), 4)
        assert heard == [(b"0", 1, True), (b"1", 2, True), (b"2", 3, False), (b"3", 4, False)]


async def test_second_reconnection_still_knows_what_the_first_did_not_get_to(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        display, sensor = Peer(gateway, b"display", receive_maximum=3), Peer(gateway, b"sensor")
        display.subscribe(b"t", 1)
        for number in range(4):
            sensor.publish(b"t", b"%d" % number, 1, number + 1)
        display.close(CloseReason.READ_ERROR)
        await commit(gateway)
        Peer(gateway, b"display", receive_maximum=1).close(CloseReason.READ_ERROR)
        display = Peer(gateway, b"display")
        heard = [(packet.payload, packet.dup) for packet in display.packets]  # type: ignore[attr-defined]
        heard += [(payload, dup) for payload, _, dup in await messages_of(display, 1)]
        assert heard == [(b"0", True), (b"1", True), (b"2", True), (b"3", False)]


async def test_message_expires_while_it_waits_but_not_once_it_was_sent():
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display", receive_maximum=1), Peer(gateway, b"sensor")
        display.subscribe(b"t", 1)
        sensor.publish(b"t", b"sent", 1, 1, message_expiry_interval=100)
        sensor.publish(b"t", b"waits", 1, 2, message_expiry_interval=100)
        sensor.publish(b"t", b"stays", 1, 3)
        display.hear()
        display.close(CloseReason.READ_ERROR)
        waiting = display.kept.outgoing.waiting
        assert waiting is not None
        waiting[0].expires_at = waiting[1].expires_at = gateway.account.clock() - 1
        again = Peer(gateway, b"display")
        assert [packet.payload for packet in again.packets] == [b"sent", b"stays"]  # type: ignore[attr-defined]


async def test_client_is_made_to_forget_a_message_of_quality_of_service_2_that_is_too_large_for_it_now():
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"t", 2)
        sensor.publish(b"t", bytes(500), 2, 1)
        display.close(CloseReason.READ_ERROR)
        again = Peer(gateway, b"display", maximum_packet_size=100)
        assert again.packets == [packets.Pubrel(1)]
        again.pubcomp(1)
        assert not again.kept.outgoing.sent


async def test_connection_that_breaks_while_it_is_sent_to_keeps_its_messages_and_disturbs_nobody():
    async with running_gateway(Config(mqtt=Mqtt(max_inflight=10))) as gateway:
        display, sensor = Peer(gateway, b"display", receive_maximum=2), Peer(gateway, b"sensor")
        display.subscribe(b"t", 1)
        big = bytes(700_000)
        sensor.publish(b"t", big, 1, 1)
        display.hear()
        for packet_id in (2, 3, 4):
            sensor.publish(b"t", big, 1, packet_id)

        def broken(data: object) -> int:
            display.outbox.close()
            display.close(CloseReason.WRITE_ERROR)
            return 0

        display.sink.send = display.sink.send_pieces = broken  # type: ignore[method-assign, assignment]
        display.puback(1)
        assert (display.close_reason, sensor.close_reason) == (CloseReason.WRITE_ERROR, None)
        assert len(display.kept.outgoing.sent) == 0
        again = Peer(gateway, b"display")
        assert [packet.packet_id for packet in again.packets] == [2, 3, 4]  # type: ignore[attr-defined]


async def test_no_message_finds_its_way_into_a_session_that_is_over(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        display = Peer(gateway, b"display")
        display.subscribe(b"t", 1)
        session = display.kept
        routes = gateway.account.router._resolve(b"t")
        display.close(CloseReason.READ_ERROR)
        Peer(gateway, b"display", clean_start=True, session_expiry_interval=0).disconnect()
        await commit(gateway)
        before = gateway.account.durability.mark()
        assert not routes.plain[0].deliver(make_message(b"t", b"late"), Port(None))
        assert len(session.outgoing) == 0
        assert gateway.account.durability.mark() == before


async def test_queue_of_none_keeps_nothing_for_a_client_that_is_away():
    async with running_gateway(Config(mqtt=Mqtt(max_queued_messages=0))) as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"t", 1)
        display.disconnect()
        sensor.publish(b"t", b"1", 1)
        assert Peer(gateway, b"display").packets == []
        assert display.kept.dropped == 1


async def test_shared_subscription_to_everything_does_not_match_topics_that_begin_with_a_dollar():
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"$share/g/#", 1)
        sensor.publish(b"$own/a", b"1")
        sensor.publish(b"own/a", b"2")
        assert display.hear_messages() == [(b"2", 0, False)]


@pytest.mark.parametrize("qos", [0, 1])
async def test_bridge_gets_the_retain_flag_of_live_messages(qos: int):
    async with running_gateway() as gateway:
        bridge = Peer(gateway, b"bridge", version=4)
        bridge.session.bridge = True  # type: ignore[attr-defined]
        bridge.subscribe(b"t", qos)
        for header in (RETAINED, b""):
            message = make_message(b"t", b"1", b"", header)
            gateway.account.router.publish(message, gateway.account.port)
        assert [packet.retain for packet in bridge.hear()] == [True, False]  # type: ignore[attr-defined]


async def test_topics_whose_packets_do_not_go_out_take_no_alias_and_no_memory():
    limits = Limits(max_payload_bytes=1000, max_pending_bytes=4096)
    async with running_gateway(Config(limits=limits)) as gateway:
        display = Peer(gateway, b"display", topic_alias_maximum=2)
        display.subscribe(b"#")
        display.sink.room = 0
        for number in range(20):
            subject = b"t%d" % number
            gateway.account.router.publish(make_message(subject, bytes(1000)), gateway.account.port)
        aliases = display.kept.aliases
        assert aliases is not None
        assert len(aliases) == 2


async def test_unsubscribing_ends_one_filter_and_replacing_it_keeps_one_delivery():
    async with running_gateway() as gateway:
        display, sensor = Peer(gateway, b"display"), Peer(gateway, b"sensor")
        display.subscribe(b"a/#", 1)
        display.subscribe(b"a/#", 0)
        display.subscribe(b"a/+", 1)
        sensor.publish(b"a/b", b"1", 1)
        assert display.hear_messages() == [(b"1", 1, False)]
        display.receive(encoder.encode_unsubscribe(5, 1, [b"a/+", b"none"]))
        assert display.hear() == [packets.Unsuback(1, (0, 0x11))]
        sensor.publish(b"a/b", b"2", 1, 2)
        assert display.hear_messages() == [(b"2", 0, False)]
