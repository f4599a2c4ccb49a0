"""How connections of MQTT clients begin, end and fall behind: client ids, wills, keep-alive, slow subscribers."""

import queue
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connect, Subscription, Will
from tests.integration.mqtt_peers import (
    MQTT_3_1,
    MQTT_3_1_1,
    PATIENCE_SECONDS,
    PahoClient,
    paho_client,
    unique_topic,
)
from tests.integration.peers import Peer, gateway
from tests.integration.raw_peer import RawPeer

UNSUPPORTED_PROTOCOL_VERSION = 0x84
SLOW_MESSAGES = 1500


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), protocols=("nats", "mqtt")) as peer:
        yield peer


@pytest.fixture(scope="module")
def tight_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """A gateway with little room for what waits."""
    config = "[mqtt]\nmax-inflight = 3\nmax-queued-messages = 4\n[limits]\nmax-payload-bytes = 8192\n"
    config += "max-pending-bytes = 65536\n"
    with gateway(tmp_path_factory.mktemp("tight"), protocols=("nats", "mqtt"), config=config) as peer:
        yield peer


def with_will(topic: str, qos: int = 0, retain: bool = False, version: int = MQTT_3_1_1) -> PahoClient:
    client = PahoClient(version=version)
    client.paho.will_set(topic, b"gone", qos, retain)
    return client


@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1], ids=["3.1", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_will_is_said_when_the_connection_breaks(edge: Peer, version: int, qos: int) -> None:
    topic = unique_topic("will")
    with paho_client(edge) as display:
        display.subscribe(topic, 1)
        sensor = with_will(topic, qos, version=version)
        assert sensor.connect(edge) == 0
        sensor.cut()
        sensor.close()
        message = display.next_message()
        assert (message.payload, message.qos, message.retain) == (b"gone", min(qos, 1), False)
        display.nothing_more()


def test_will_is_not_said_after_disconnect(edge: Peer) -> None:
    topic = unique_topic("will")
    with paho_client(edge) as display, RawPeer(edge.address("mqtt")) as sensor:
        display.subscribe(topic)
        sensor.send(encoder.encode_connect(Connect(MQTT_3_1_1, b"", will=Will(topic.encode(), b"gone"))))
        sensor.send(encoder.encode_disconnect(MQTT_3_1_1))
        assert sensor.read_to_end() == b"\x20\x02\x00\x00"
        display.nothing_more()


def test_retained_will_waits_for_later_subscribers(edge: Peer) -> None:
    topic = unique_topic("will")
    sensor = with_will(topic, 1, retain=True)
    assert sensor.connect(edge) == 0
    with paho_client(edge) as display:
        display.subscribe(topic, 1)
        sensor.cut()
        sensor.close()
        assert not display.next_message().retain
    with paho_client(edge) as late:
        late.subscribe(topic, 1)
        message = late.next_message()
        assert (message.payload, message.retain) == (b"gone", True)


def test_silent_client_is_closed_and_its_will_said(edge: Peer) -> None:
    topic = unique_topic("will")
    with paho_client(edge) as display:
        display.subscribe(topic)
        sensor = with_will(topic)
        assert sensor.connect(edge, keep_alive=1) == 0
        # Without its network loop it sends no PINGREQ.
        sensor.paho.loop_stop()
        assert display.next_pair() == (topic, b"gone")
        sensor.close()
    edge.wait_for_log("reason='Stale Connection'")


def test_pings_keep_a_client_alive(edge: Peer) -> None:
    pongs: queue.Queue[str] = queue.Queue()
    with paho_client(edge, keep_alive=4) as sensor:
        sensor.paho.on_log = lambda _client, _data, _level, text: "PINGRESP" in text and pongs.put(text)
        for _ in range(2):
            pongs.get(timeout=PATIENCE_SECONDS)
        sensor.nothing_more()


def test_newer_client_of_the_same_id_takes_over(edge: Peer) -> None:
    topic = unique_topic("will")
    with paho_client(edge) as display:
        display.subscribe(topic)
        old = PahoClient("thermometer")
        old.paho.will_set(topic, b"old is gone")
        assert old.connect(edge) == 0
        with paho_client(edge, "thermometer") as new:
            old.wait_disconnected()
            assert display.next_pair() == (topic, b"old is gone")
            new.subscribe(topic)
            new.publish(topic, b"new is here")
            assert new.next_pair() == (topic, b"new is here")
        old.close()
    edge.wait_for_log("reason='Duplicate Client ID'")


def test_clients_without_an_id_live_side_by_side(edge: Peer) -> None:
    topic = unique_topic("nameless")
    one, other = paho.Client(paho.CallbackAPIVersion.VERSION2), paho.Client(paho.CallbackAPIVersion.VERSION2)
    with paho_client(edge) as display:
        display.subscribe(topic)
        for client in (one, other):
            client.connect(*edge.address("mqtt"))
            client.loop_start()
        for client, payload in ((one, b"1"), (other, b"2")):
            client.publish(topic, payload, 1).wait_for_publish(PATIENCE_SECONDS)
            assert display.next_pair() == (topic, payload)
        for client in (one, other):
            client.disconnect()
            client.loop_stop()


@pytest.mark.parametrize(("version", "clean", "code"), [(4, False, 2), (3, True, 2), (3, False, 2)])
def test_client_without_an_id_that_wants_a_session_is_refused(edge: Peer, version: int, clean: bool, code: int) -> None:
    with RawPeer(edge.address("mqtt")) as client:
        client.send(encoder.encode_connect(Connect(version, b"", clean_start=clean)))
        assert client.read_to_end() == bytes((0x20, 2, 0, code))


def test_window_of_unacknowledged_messages_and_the_queue_behind_it_are_bounded(tight_edge: Peer) -> None:
    topic = unique_topic("window")
    with paho_client(tight_edge) as sensor, paho_client(tight_edge, manual_ack=True) as display:
        display.subscribe(topic, 1)
        for number in range(10):
            sensor.publish(topic, str(number), 1)
        sensor.publish(topic, b"passes", 0)
        first = [display.next_message() for _ in range(4)]
        assert [message.payload for message in first] == [b"0", b"1", b"2", b"passes"]
        for message in first[:3]:
            display.paho.ack(message.mid, message.qos)
        second = [display.next_message() for _ in range(3)]
        assert [message.payload for message in second] == [b"3", b"4", b"5"]
        for message in second:
            display.paho.ack(message.mid, message.qos)
        assert display.next_message().payload == b"6"
        display.nothing_more()


def test_subscriber_that_does_not_read_loses_messages_and_stays(tight_edge: Peer) -> None:
    topic = unique_topic("slow")
    with RawPeer(tight_edge.address("mqtt"), receive_buffer=4096) as slow, paho_client(tight_edge) as sensor:
        slow.send(encoder.encode_connect(Connect(MQTT_3_1_1, b"slow")))
        slow.send(encoder.encode_subscribe(MQTT_3_1_1, 1, [Subscription(topic.encode(), 0)]))
        assert slow.read(9) == b"\x20\x02\x00\x00" + b"\x90\x03\x00\x01\x00"
        with paho_client(tight_edge) as display:
            display.subscribe(topic, 1)
            # More than the sockets' buffers on both sides and the limit hold.
            for number in range(SLOW_MESSAGES):
                sensor.paho.publish(topic, b"%04d" % number + bytes(4092), 0)
            sensor.publish(topic, b"end", 1)
            while display.next_message().payload != b"end":
                pass
        slow.send(encoder.PINGREQ)
        received = slow.read_through(encoder.PINGRESP)
        assert b"0000" in received
        assert received.count(topic.encode()) < SLOW_MESSAGES
        slow.send(encoder.encode_disconnect(MQTT_3_1_1))
        assert slow.read_to_end() == b""
    assert "Slow Consumer" not in tight_edge.log()
