"""MQTT and streams: what a stream takes is on the disk before it is acknowledged, by whatever protocol it came."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.mqtt_conformance.raw_client import Clients
from tests.integration.peers import Peer, gateway, running, wait_until
from tests.torture.disk_record import Loss
from tests.torture.harmed_gateway import HarmedGateway

COUNT = 20


@pytest.fixture
def place(tmp_path: Path) -> Iterator[HarmedGateway]:
    one = HarmedGateway(tmp_path, ("nats", "mqtt"), "[streams]\n")
    try:
        with running(one.gateway):
            one.start_gateway()
            yield one
    finally:
        one.close()


def make_stream(peer: Peer) -> None:
    async def make() -> None:
        async with client(peer) as connection:
            await connection.jetstream(timeout=PATIENCE_SECONDS).add_stream(name="S", subjects=["s.>"])

    run(make)


def stored(peer: Peer) -> list[bytes]:
    found: list[bytes] = []

    async def read() -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            state = (await js.stream_info("S")).state
            found.extend([(await js.get_msg("S", one)).data or b"" for one in range(1, state.last_seq + 1)])

    run(read)
    return found


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_acknowledged_is_in_the_stream_after_a_power_cut(place: HarmedGateway, qos: int) -> None:
    make_stream(place.gateway)
    if not place.has_record:
        pytest.skip("there is no gcc to make a library that records the disk")
    with Clients(place.gateway.address("mqtt")) as clients:
        publisher = clients.connect(5, b"publisher")
        for number in range(COUNT):
            # The subject has no session, so nothing but the stream is waited for.
            assert publisher.publish(b"s/a", b"%d" % number, qos) < ReasonCode.UNSPECIFIED_ERROR
        place.cut_power(Loss.ALL, 1)
    place.start_gateway()
    assert stored(place.gateway) == [b"%d" % number for number in range(COUNT)]


def test_who_publishes_is_told_when_the_disk_is_full(place: HarmedGateway) -> None:
    if not place.has_small_disk:
        pytest.skip("a small disk cannot be mounted here")
    make_stream(place.gateway)
    with Clients(place.gateway.address("mqtt")) as clients:
        publisher = clients.connect(5, b"publisher")
        place.fill_disk()
        payload = bytes(64 << 10)
        codes = {publisher.publish(b"s/a", payload, 1) for _ in range(200)}
        assert ReasonCode.QUOTA_EXCEEDED in codes
        accepted = len(stored(place.gateway))
        place.empty_disk()
        wait_until(lambda: publisher.publish(b"s/b", b"again", 1) != ReasonCode.QUOTA_EXCEEDED, "that it goes on")
    assert stored(place.gateway)[accepted:] == [b"again"]


class Asker:
    """An MQTT 5 client that reads history."""

    def __init__(self, peer: Peer) -> None:
        self._replies: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = lambda client, data, message: self._replies.put(message)
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect("127.0.0.1", peer.ports["mqtt"])
        self._client.loop_start()
        self._client.subscribe("replies/mine", 1)
        assert ready.wait(PATIENCE_SECONDS)

    def ask(self, subject_filter: str, **asked: str) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
        """Sequences with payloads, and what the last reply says."""
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = "replies/mine"
        properties.UserProperty = [(f"Nats-{name.replace('_', '-')}", value) for name, value in asked.items()]
        self._client.publish("$LEAFGATE/stream/get", subject_filter, 1, properties=properties)
        found = []
        while True:
            message = self._replies.get(timeout=PATIENCE_SECONDS)
            told = dict(message.properties.UserProperty)
            if "Nats-Status" in told:
                return found, told
            found.append((told["Nats-Sequence"], message.payload))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    options = {"protocols": ("nats", "mqtt"), "config": "[streams]\n", "data_directory": directory / "data"}
    with gateway(directory, **options) as peer:
        make_stream(peer)

        async def fill() -> None:
            async with client(peer) as connection:
                js = connection.jetstream(timeout=PATIENCE_SECONDS)
                await js.add_stream(name="OTHER", subjects=["other"])
                for number in range(1, 11):
                    await js.publish(f"s.{'even' if number % 2 == 0 else 'odd'}", b"%d" % number)

        run(fill)
        yield peer


@pytest.fixture
def asker(edge: Peer) -> Iterator[Asker]:
    one = Asker(edge)
    yield one
    one.close()


def test_an_mqtt_client_reads_history(asker: Asker) -> None:
    everything = [(str(number), b"%d" % number) for number in range(1, 11)]
    found, end = asker.ask("s.>", Start_Sequence="1")
    assert (found, end["Nats-Status"], end["Nats-Num-Pending"]) == (everything, "204", "0")
    found, end = asker.ask("s.>", Start_Sequence="3", Count="2")
    assert (found, end["Nats-Last-Sequence"], end["Nats-Num-Pending"]) == (everything[2:4], "4", "1")
    assert asker.ask("s.even", Count="2")[0] == [everything[7], everything[9]]
    assert asker.ask("", Stream="S")[0] == everything
    assert asker.ask("s.>", Start_Time="2000-01-01T00:00:00Z", Count="1")[0] == everything[:1]
    found, end = asker.ask("s.>", Start_Time="2100-01-01T00:00:00Z")
    assert (found, end["Nats-Status"]) == ([], "404")


@pytest.mark.parametrize(
    ("subject_filter", "asked", "told"),
    [
        ("", {}, "400 Nats-Stream Is Missing"),
        ("nothing", {}, "404 Stream Not Found"),
        ("s.>", {"Stream": "NONE"}, "404 Stream Not Found"),
        ("s..a", {}, "400 Invalid Subject"),
        ("s.>", {"Start_Sequence": "x"}, "400 Invalid Start"),
        ("s.>", {"Start_Time": "noon"}, "400 Invalid Start"),
    ],
)
def test_what_cannot_be_answered_is_told(asker: Asker, subject_filter: str, asked: dict[str, str], told: str) -> None:
    found, end = asker.ask(subject_filter, **asked)
    assert (found, " ".join(end.values())) == ([], told)


def test_history_has_what_the_asker_may_receive(tmp_path: Path) -> None:
    users = """
[[users]]
name = "all"
password = "all"
[[users]]
name = "some"
password = "some"
permissions = { publish = { allow = ["$LEAFGATE.>"] }, subscribe = { allow = ["s.a", "_INBOX.>"] } }
"""
    config = f"[streams]\n{users}"
    with gateway(tmp_path, config=config, data_directory=tmp_path / "data") as peer:

        async def test() -> None:
            async with client(peer, user="all", password="all") as connection:
                js = connection.jetstream(timeout=PATIENCE_SECONDS)
                await js.add_stream(name="S", subjects=["s.>"])
                for subject in ("s.a", "s.b", "s.a"):
                    await js.publish(subject, subject.encode())
            async with client(peer, user="some", password="some") as connection:
                inbox = connection.new_inbox()
                replies = await connection.subscribe(inbox)
                await connection.publish("$LEAFGATE.stream.get", b"s.>", inbox)
                payloads = [(await replies.next_msg(PATIENCE_SECONDS)).data for _ in range(3)]
                assert payloads == [b"s.a", b"s.a", b""]

        run(test)
