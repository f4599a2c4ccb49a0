"""Retained messages on their way to a new subscription, beside live ones, slow clients and ends of subscriptions."""

import pytest
import trio
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.mqtt.retained_feed import SLICE
from gateway.settings.limits import Limits
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from protocols.close_reason import CloseReason
from protocols.message import make_message
from protocols.mqtt import encoder
from protocols.mqtt.packets import Subscription
from protocols.mqtt.publish import Publish
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer

RETAIN = b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"
SMALL = Config(limits=Limits(max_payload_bytes=1000, max_pending_bytes=8192))


def keep(gateway: Gateway, subject: bytes, payload: bytes) -> None:
    gateway.account.router.publish(make_message(subject, payload, b"", RETAIN), gateway.account.port)


def heard(peer: Peer) -> list[bytes]:
    found: list[bytes] = []
    for packet in peer.hear():
        if isinstance(packet, Publish):
            found.append(packet.payload)
        elif hasattr(packet, "payloads"):
            found += packet.payloads()
    return found


async def test_first_slice_comes_at_once_and_the_rest_by_and_by(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        count = SLICE * 2 + 7
        for number in range(count):
            keep(gateway, b"t.%05d" % number, b"%05d" % number)
        peer = Peer(gateway)
        peer.receive(encoder.encode_subscribe(5, 9, [Subscription(b"t/#")]))
        first = heard(peer)
        assert 0 < len(first) <= SLICE
        await trio.sleep(1)
        assert first + heard(peer) == [b"%05d" % number for number in range(count)]


async def test_value_that_was_held_back_does_not_follow_a_newer_one(autojump_clock: MockClock):
    async with running_gateway(SMALL) as gateway:
        for number in range(8):
            keep(gateway, b"t.%d" % number, b"old" + bytes(900))
        peer = Peer(gateway)
        peer.hear()
        peer.sink.room = 0
        peer.session.connection.relieved = _at_once  # type: ignore[attr-defined]
        peer.receive(encoder.encode_subscribe(5, 9, [Subscription(b"t/#")]))
        for number in range(8):
            keep(gateway, b"t.%d" % number, b"new")
        peer.sink.room = None
        peer.outbox.resume()
        await trio.sleep(1)
        found = [payload[:3] for payload in heard(peer)]
        assert set(found) == {b"old", b"new"}
        assert found == sorted(found, reverse=True)  # First old ones, then new ones.


async def _at_once() -> None:
    await trio.lowlevel.checkpoint()


async def test_end_of_a_subscription_ends_its_feed(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        for number in range(SLICE * 3):
            keep(gateway, b"t.%05d" % number, b"1")
        keep(gateway, b"u", b"2")
        peer = Peer(gateway)
        wanted = [Subscription(b"t/#"), Subscription(b"u")]
        peer.receive(encoder.encode_subscribe(5, 9, wanted))
        assert 0 < len(heard(peer)) <= SLICE
        peer.receive(encoder.encode_unsubscribe(5, 9, [b"t/#"]))
        await trio.sleep(1)
        assert heard(peer) == [b"2"]


async def test_many_subscriptions_to_the_same_make_no_longer_list(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        for number in range(SLICE + 1):
            keep(gateway, b"t.%05d" % number, b"1")
        peer = Peer(gateway)
        for _ in range(100):
            peer.receive(encoder.encode_subscribe(5, 9, [Subscription(b"t/#")]))
        feed = peer.kept.feed
        assert feed is not None
        assert len(feed._wanted) == 1
        await trio.sleep(1)
        assert len(heard(peer)) == 2 * (SLICE + 1)


async def test_messages_with_acknowledgement_come_as_the_window_opens(autojump_clock: MockClock):
    async with running_gateway(Config(mqtt=Mqtt(max_inflight=2, max_queued_messages=4))) as gateway:
        for number in range(10):
            keep(gateway, b"t.%d" % number, b"%d" % number)
        peer = Peer(gateway)
        peer.receive(encoder.encode_subscribe(5, 9, [Subscription(b"t/#", 1)]))
        found: list[bytes] = []
        packet_id = 0
        for _ in range(20):
            for payload in heard(peer):
                found.append(payload)
                packet_id += 1
                peer.puback(packet_id)
            await trio.sleep(0.1)
        assert found == [b"%d" % number for number in range(10)]


async def test_room_that_no_acknowledgement_tells_of_is_found(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        keep(gateway, b"t", b"1")
        peer = Peer(gateway)
        outgoing = peer.kept.outgoing
        outgoing.window, outgoing.max_messages = 0, 0
        peer.receive(encoder.encode_subscribe(5, 9, [Subscription(b"t", 1)]))
        assert heard(peer) == []
        outgoing.window, outgoing.max_messages = 10, 10
        await trio.sleep(2)
        assert heard(peer) == [b"1"]


@pytest.mark.parametrize("qos", [0, 1])
async def test_client_that_goes_ends_its_feed(qos: int, autojump_clock: MockClock):
    async with running_gateway() as gateway:
        for number in range(SLICE * 3):
            keep(gateway, b"t.%05d" % number, bytes(5000))
        peer = Peer(gateway)
        peer.sink.room = 0
        peer.receive(encoder.encode_subscribe(5, 9, [Subscription(b"t/#", qos)]))
        feed = peer.kept.feed
        assert feed is not None
        peer.sink.send = peer.sink.send_pieces = lambda data: _break(peer)  # type: ignore[method-assign, assignment]
        peer.close(CloseReason.READ_ERROR)
        await trio.sleep(5)
        assert peer.kept.feed is None
        assert feed._stopped


def _break(peer: Peer) -> int:
    peer.outbox.close()
    return 0


async def test_fault_in_a_feed_ends_its_connection_and_nothing_else(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        for number in range(SLICE + 1):
            keep(gateway, b"t.%05d" % number, b"1")
        peer = Peer(gateway)
        peer.receive(encoder.encode_subscribe(5, 9, [Subscription(b"t/#")]))
        feed = peer.kept.feed
        assert feed is not None
        feed._current = iter([object()])  # type: ignore[list-item]
        await trio.sleep(1)
        assert peer.close_reason is CloseReason.INTERNAL_ERROR
