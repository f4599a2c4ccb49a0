"""What a client is sent is no larger than it takes [MQTT-3.1.2-24]."""

import pytest

from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer


class Taken(Peer):
    """Keeps every byte that it was sent."""

    wire = b""

    def take(self) -> bytes:
        taken = super().take()
        self.wire += taken
        return taken


@pytest.mark.parametrize("size", range(1, 80))
@pytest.mark.parametrize("client_id", [b"", b"peer"])
async def test_greeting_fits_or_there_is_none(size: int, client_id: bytes):
    async with running_gateway() as gateway:
        asked = {"maximum_packet_size": size, "request_response_information": 1}
        try:
            peer = Taken(gateway, client_id, **asked)
        except ValueError:  # nothing was said
            assert size < 5
            return
        assert isinstance(peer.greeting, packets.Connack)
        assert len(peer.wire) <= size
        assert peer.greeting.reason_code in (0, ReasonCode.PACKET_TOO_LARGE)
        assert (peer.greeting.reason_code == 0) == (peer.close_reason is None)


async def test_greeting_leaves_out_what_is_not_needed():
    async with running_gateway() as gateway:
        peer = Taken(gateway, b"peer", maximum_packet_size=1000, request_response_information=1)
        whole = len(peer.wire)
        smaller = Taken(gateway, b"peer", maximum_packet_size=whole - 1, request_response_information=1)
        assert smaller.greeting.reason_code == 0  # type: ignore[attr-defined]
        assert len(smaller.wire) < whole


@pytest.mark.parametrize("count", [90, 100, 200])
@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
async def test_answer_that_the_client_does_not_take_is_refused_before_anything_is_done(kind: str, count: int):
    async with running_gateway() as gateway:
        peer = Taken(gateway, b"peer", maximum_packet_size=100)
        peer.subscribe(b"t/0")
        peer.wire = b""
        topics = [b"t/%d" % number for number in range(count)]
        if kind == "subscribe":
            wanted = [packets.Subscription(topic) for topic in topics]
            peer.receive(encoder.encode_subscribe(5, 7, wanted))
        else:
            peer.receive(encoder.encode_unsubscribe(5, 7, topics))
        heard = peer.hear()
        assert all(len(peer.wire) <= 100 for _ in heard)
        if count == 90:
            assert type(heard[0]) in (packets.Suback, packets.Unsuback)
            return
        assert isinstance(heard[0], packets.Disconnect)
        assert heard[0].reason_code == ReasonCode.PACKET_TOO_LARGE
        assert peer.close_reason is CloseReason.MAXIMUM_PAYLOAD_EXCEEDED
        again = Peer(gateway, b"peer")
        assert list(again.kept.subscriptions) == [b"t/0"]


SYSTEM = (b"$SYS/x", b"$SYS/broker/uptime", b"$SYS/")


@pytest.mark.parametrize("topic", SYSTEM)
async def test_nobody_publishes_where_a_broker_tells_of_itself(topic: bytes):
    async with running_gateway() as gateway:
        listener = Peer(gateway, b"listener")
        listener.subscribe(b"$SYS/#", 1)
        peer = Peer(gateway, b"peer")
        peer.publish(topic, b"", 1)
        (answer,) = peer.hear()
        assert isinstance(answer, packets.Puback)
        assert answer.reason_code == ReasonCode.NOT_AUTHORIZED
        old = Peer(gateway, b"old", 4)
        old.publish(topic, b"", 1)
        assert old.close_reason is not None
        assert listener.hear() == []


async def test_bridges_tell_that_they_are_connected():
    async with running_gateway() as gateway:
        peer = Peer(gateway, b"peer", will=packets.Will(b"$SYS/broker/connection/bridge/state", b"0", 1, True))
        peer.publish(b"$SYS/broker/connection/bridge/state", b"1", 1)
        (answer,) = peer.hear()
        assert isinstance(answer, packets.Puback)
        assert answer.reason_code in (ReasonCode.SUCCESS, ReasonCode.NO_MATCHING_SUBSCRIBERS)
