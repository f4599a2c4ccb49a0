"""The daemon as a process: how it begins, how it ends on each signal, what it tells those who watch."""

import json
import os
import resource
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.storage.database import take_directory
from gateway.version import VERSION, form_name
from protocols.mqtt import encoder, packets
from tests.integration.leafnode_pair import IMPATIENT, LEAF_AUTHORIZATION, LINK_UP, hub_and_edge, leaf_url
from tests.integration.mqtt_peers import paho_client
from tests.integration.mqtt_servers import mqtt_server
from tests.integration.offences import CONNACK, MQTT_CONNECT, NATS_CONNECT, UPGRADE, close_frame, frame
from tests.integration.peers import Peer, free_port, gateway, nats_server, running, uplink, wait_until
from tests.integration.raw_peer import RawPeer, without_pings
from tests.patience import PATIENCE_SECONDS

PROTOCOLS = ("nats", "mqtt", "websocket")
PAYLOAD = bytes(1000)
MESSAGES = 8000
FLOOD = b"MSG flood 1 1000\r\n%b\r\n" % PAYLOAD * MESSAGES
DYNAMIC = b'CONNECT {"protocol":1,"verbose":false}\r\n'
# Nobody waits for so long: what ends in spite of it ended for another reason.
FOREVER = 600


def nats_client(edge: Peer, connect: bytes = NATS_CONNECT, receive_buffer: int = 0) -> RawPeer:
    """A raw client that has read its INFO, and been heard."""
    peer = RawPeer(edge.address("nats"), receive_buffer)
    assert peer.read_line().startswith(b"INFO {")
    peer.send(connect + b"PING\r\n")
    peer.read_through(b"PONG\r\n")
    return peer


@contextmanager
def reader_of_a_flood(edge: Peer) -> Iterator[RawPeer]:
    """A subscriber that has read nothing of what is on its way to it."""
    with nats_client(edge, receive_buffer=4096) as reader:
        reader.send(b"SUB flood 1\r\nPING\r\n")
        reader.read_through(b"PONG\r\n")
        publish_flood(edge)
        yield reader


def publish_flood(edge: Peer) -> None:
    with nats_client(edge) as publisher:
        publisher.send(b"PUB flood 1000\r\n%b\r\n" % PAYLOAD * MESSAGES + b"PING\r\n")
        publisher.read_through(b"PONG\r\n")


def is_refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return True
    return False


class TestTermination:
    """SIGTERM."""

    def test_what_is_queued_is_delivered_behind_closed_doors(self, tmp_path: Path) -> None:
        config = f"[timeouts]\ndrain-seconds = {FOREVER}\n"
        with gateway(tmp_path, protocols=PROTOCOLS, config=config) as edge, reader_of_a_flood(edge) as reader:
            edge.send_signal(signal.SIGTERM)
            wait_until(lambda: all(is_refused(edge.address(one)) for one in PROTOCOLS), "closing the listeners")
            assert without_pings(reader.read_to_end()) == FLOOD
            reader.close()
            assert edge.wait_exit() == 0
            assert "event=stopped" in edge.log()

    def test_everybody_is_told_in_the_protocol_of_each(self, tmp_path: Path) -> None:
        with (
            gateway(tmp_path, protocols=PROTOCOLS) as edge,
            nats_client(edge) as nats,
            RawPeer(edge.address("websocket")) as browser,
            RawPeer(edge.address("mqtt")) as sensor,
        ):
            browser.send(UPGRADE % b"/")
            browser.read_through(b"} \r\n")
            sensor.send(MQTT_CONNECT)
            assert sensor.read(4) == CONNACK
            edge.send_signal(signal.SIGTERM)
            assert without_pings(nats.read_to_end()) == b""
            assert browser.read_to_end() == close_frame(1001, "Server Shutdown")
            assert sensor.read_to_end() == b""
            for peer in (nats, browser, sensor):
                peer.close()
            assert edge.wait_exit() == 0
            assert edge.log().count("reason='Server Shutdown'") == 3

    def test_what_clients_have_sent_already_is_acted_upon(self, tmp_path: Path) -> None:
        with (
            gateway(tmp_path, protocols=("nats", "mqtt")) as edge,
            nats_client(edge) as inbox,
            RawPeer(edge.address("mqtt")) as sensor,
        ):
            inbox.send(b"SUB > 1\r\nPING\r\n")
            inbox.read_through(b"PONG\r\n")
            sensor.send(MQTT_CONNECT)
            assert sensor.read(4) == CONNACK
            sensor.send(encoder.encode_publish(4, b"last", b"words", 1, 7, False, False))
            edge.send_signal(signal.SIGTERM)
            assert sensor.read_to_end() == encoder.encode_puback(4, 7)
            sensor.close()
            assert without_pings(inbox.read_to_end()) == b"MSG last 1 5\r\nwords\r\n"
            inbox.close()
            assert edge.wait_exit() == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
    def test_retained_will_of_a_client_that_does_not_return_is_what_the_next_start_has(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        at_once = "[timeouts]\nlame-duck-grace-seconds = 0\nlame-duck-seconds = 0\n"
        will = packets.Will(b"tele/t1/LWT", b"Offline", 0, True)
        with mqtt_server(tmp_path, ("mqtt",), config=at_once, reference=False) as edge:
            with RawPeer(edge.address("mqtt")) as sensor:
                sensor.send(encoder.encode_connect(packets.Connect(4, b"t1", clean_start=True, will=will)))
                assert sensor.read(4) == CONNACK
                sensor.send(encoder.encode_publish(4, b"tele/t1/LWT", b"Online", 1, 7, True, False))
                assert sensor.read(4) == encoder.encode_puback(4, 7)
                edge.send_signal(number)
                assert sensor.read_to_end() == b""
            assert edge.wait_exit() == 0
            edge.start()
            edge.wait_ports()
            with RawPeer(edge.address("mqtt")) as heir:
                heir.send(MQTT_CONNECT + encoder.encode_subscribe(4, 9, [packets.Subscription(b"tele/t1/LWT", 0)]))
                assert heir.read(9) == CONNACK + encoder.encode_suback(4, 9, [0])
                retained = encoder.encode_publish(4, b"tele/t1/LWT", b"Offline", 0, 0, True, False)
                assert heir.read(len(retained)) == retained

    def test_will_of_a_client_reaches_the_hub_before_the_link_ends(self, tmp_path: Path) -> None:
        will = packets.Will(b"last/words", b"gone", 0)
        with (
            nats_server(tmp_path / "hub", leafnodes=LEAF_AUTHORIZATION) as hub,
            gateway(tmp_path / "edge", protocols=("nats", "mqtt"), config=uplink(leaf_url(hub), **IMPATIENT)) as edge,
            nats_client(hub) as inbox,
            RawPeer(edge.address("mqtt")) as sensor,
        ):
            edge.wait_for_log(LINK_UP)
            inbox.send(b"SUB last.words 1\r\nSUB probe 2\r\nPING\r\n")
            inbox.read_through(b"PONG\r\n")
            wait_until(lambda: knows_interest(edge, b"probe"), "interest of the hub")
            inbox.read_through(b"MSG probe 2 answer 0\r\n\r\n")
            sensor.send(encoder.encode_connect(packets.Connect(4, b"t1", clean_start=True, will=will)))
            assert sensor.read(4) == CONNACK
            edge.send_signal(signal.SIGTERM)
            assert without_pings(inbox.read_through(b"gone\r\n")) == b"MSG last.words 1 4\r\ngone\r\n"

    def test_reader_that_never_reads_does_not_hold_it_up(self, tmp_path: Path) -> None:
        with gateway(tmp_path, config="[timeouts]\ndrain-seconds = 0.2\n") as edge, reader_of_a_flood(edge):
            edge.send_signal(signal.SIGTERM)
            assert edge.wait_exit() == 0

    @pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
    def test_second_signal_ends_it_at_once(self, tmp_path: Path, second: signal.Signals) -> None:
        config = f"[timeouts]\ndrain-seconds = {FOREVER}\n"
        with gateway(tmp_path, config=config) as edge, reader_of_a_flood(edge):
            edge.send_signal(signal.SIGTERM)
            edge.wait_for_log("event=stopping signal=SIGTERM")
            edge.send_signal(second)
            assert edge.wait_exit() == 0
            assert f"event=stopping-at-once signal={second.name}" in edge.log()

    def test_what_is_queued_for_the_hub_is_delivered(self, tmp_path: Path) -> None:
        with hub_and_edge(tmp_path) as (hub, edge), nats_client(hub) as inbox:
            inbox.send(b"SUB flood 1\r\nSUB probe 2\r\nPING\r\n")
            inbox.read_through(b"PONG\r\n")
            wait_until(lambda: knows_interest(edge, b"probe"), "interest of the hub")
            inbox.read_through(b"MSG probe 2 answer 0\r\n\r\n")
            # With the hub's process stopped the link takes only what fits into the sockets' buffers.
            hub.send_signal(signal.SIGSTOP)
            publish_flood(edge)
            edge.send_signal(signal.SIGTERM)
            edge.wait_for_log("event=stopping signal=SIGTERM")
            hub.send_signal(signal.SIGCONT)
            heard = b""
            while missing := len(FLOOD) - len(without_pings(heard)):
                heard += inbox.read(missing)
            assert without_pings(heard) == FLOOD
            assert edge.wait_exit() == 0

    def test_link_is_not_opened_again_meanwhile(self, tmp_path: Path) -> None:
        with nats_server(tmp_path / "hub", leafnodes=LEAF_AUTHORIZATION) as hub:
            config = uplink(leaf_url(hub), **IMPATIENT) + "[timeouts]\ndrain-seconds = 1\n"
            with gateway(tmp_path / "edge", config=config) as edge, reader_of_a_flood(edge):
                edge.wait_for_log(LINK_UP)
                edge.send_signal(signal.SIGTERM)
                assert edge.wait_exit() == 0
                assert edge.log().count(LINK_UP) == 1


def knows_interest(edge: Peer, subject: bytes) -> bool:
    """Whether somebody would get a request: nobody answers it, but where nobody listens the gateway itself does."""
    with nats_client(edge, b'CONNECT {"headers":true,"no_responders":true,"protocol":1}\r\n') as peer:
        peer.send(b"SUB answer 1\r\nPUB %b answer 0\r\n\r\nPING\r\n" % subject)
        return b"503" not in peer.read_through(b"PONG\r\n")


class TestLameDuck:
    """SIGUSR2."""

    SETTINGS = "[timeouts]\nlame-duck-grace-seconds = 0.1\nlame-duck-seconds = 0.4\n"

    def test_clients_are_told_and_then_closed(self, tmp_path: Path) -> None:
        with (
            gateway(tmp_path, protocols=PROTOCOLS, config=self.SETTINGS) as edge,
            nats_client(edge, DYNAMIC) as dynamic,
            nats_client(edge) as static,
            RawPeer(edge.address("websocket")) as browser,
            paho_client(edge) as sensor,
        ):
            browser.send(UPGRADE % b"/" + frame(0x82, DYNAMIC + b"PING\r\n"))
            browser.read_through(b"PONG\r\n")
            edge.send_signal(signal.SIGUSR2)
            _, told = without_pings(dynamic.read_to_end()).splitlines()  # The first answered the PING.
            assert told.startswith(b"INFO {")
            assert b'"ldm":true' in told
            assert without_pings(static.read_to_end()) == b""
            said = browser.read_to_end()
            assert b'"ldm":true' in said
            assert said.endswith(close_frame(1001, "Server Shutdown"))
            sensor.wait_disconnected()
            for peer in (dynamic, static, browser):
                peer.close()
            assert edge.wait_exit() == 0
            assert edge.log().count("reason='Server Shutdown'") == 4

    def test_clients_work_on_until_they_are_closed(self, tmp_path: Path) -> None:
        config = f"[timeouts]\nlame-duck-grace-seconds = {FOREVER}\nlame-duck-seconds = {FOREVER}\n"
        with gateway(tmp_path, config=config) as edge, nats_client(edge, DYNAMIC) as peer:
            edge.send_signal(signal.SIGUSR2)
            peer.read_through(b'"ldm":true')
            assert is_refused(edge.address("nats"))
            peer.send(b"SUB a 1\r\nPUB a 2\r\nhi\r\n")
            peer.read_through(b"MSG a 1 2\r\nhi\r\n")
            # Who has no patience any more can still stop it the other way, in order.
            edge.send_signal(signal.SIGTERM)
            assert without_pings(peer.read_to_end()) == b""
            peer.close()
            assert edge.wait_exit() == 0
            assert "stopping-at-once" not in edge.log()

    @pytest.mark.parametrize("linked", [False, True])
    def test_without_clients_it_ends_at_once(self, tmp_path: Path, linked: bool) -> None:
        if linked:
            with hub_and_edge(tmp_path) as (_, edge):
                edge.wait_for_log(LINK_UP)
                edge.send_signal(signal.SIGUSR2)
                assert edge.wait_exit() == 0
        else:
            with gateway(tmp_path) as edge:
                edge.send_signal(signal.SIGUSR2)
                assert edge.wait_exit() == 0


class TestPortsFile:
    """Where it listens, for those who let it choose."""

    def test_names_every_listener_and_monitoring(self, tmp_path: Path) -> None:
        with gateway(tmp_path, protocols=("nats", "mqtt", "websocket", "nats"), monitoring=True) as edge:
            told = json.loads((tmp_path / "ports.json").read_text())
            assert [one["protocol"] for one in told["listeners"]] == ["nats", "mqtt", "websocket", "nats"]
            addresses = [one["address"] for one in told["listeners"]] + [told["monitoring"]]
            assert len(set(addresses)) == 5
            for address in addresses:
                host, _, port = address.rpartition(":")
                assert not is_refused((host, int(port)))
                edge.wait_for_log(address)

    def test_tells_that_there_is_no_monitoring(self, tmp_path: Path) -> None:
        with gateway(tmp_path):
            assert json.loads((tmp_path / "ports.json").read_text())["monitoring"] is None


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), protocols=PROTOCOLS, monitoring=True, name="edge-1") as peer:
        yield peer


class TestMonitoring:
    """HTTP for people and programs that watch."""

    def test_health(self, edge: Peer) -> None:
        assert get(edge, "/healthz") == {"status": "ok"}

    def test_varz_counts_what_goes_through(self, edge: Peer) -> None:
        before = get(edge, "/varz")
        with paho_client(edge) as sensor:
            sensor.subscribe("count", 1)
            sensor.publish("count", b"12345", 1)
            sensor.next_message()
            after = get(edge, "/varz")
        assert after["server_name"] == "edge-1"
        assert after["server_id"].startswith("N")
        assert after["port"] == edge.ports["nats"]
        assert (after["mqtt"]["port"], after["websocket"]["port"]) == (edge.ports["mqtt"], edge.ports["websocket"])
        grown = Counter({name: after[name] - before[name] for name in before if type(before[name]) is int})
        expected = {"in_msgs": 1, "in_bytes": 5, "out_msgs": 1, "out_bytes": 5, "total_connections": 1}
        assert {name: grown[name] for name in expected} == expected
        assert {"connections", "subscriptions", "slow_consumers", "mem", "cpu", "uptime", "cores"} <= after.keys()

    def test_connz_has_what_nats_top_reads(self, edge: Peer) -> None:
        with nats_client(edge, b'CONNECT {"name":"top","lang":"c","version":"1.2","verbose":false}\r\n') as peer:
            peer.send(b"SUB a.* 1\r\nSUB b workers 2\r\nPUB a.b 2\r\nhi\r\nPING\r\n")
            peer.read_through(b"PONG\r\n")
            page = get(edge, "/connz?subs=1&sort=bytes_to&limit=10")
        assert page["num_connections"] == page["total"] == len(page["connections"])
        (shown,) = [one for one in page["connections"] if one.get("name") == "top"]
        expected = {"ip": "127.0.0.1", "port": peer.port, "lang": "c", "version": "1.2", "subscriptions": 2}
        expected |= {"in_msgs": 1, "in_bytes": 2, "out_msgs": 1, "out_bytes": 2, "pending_bytes": 0}
        assert {name: shown[name] for name in expected} == expected
        assert sorted(shown["subscriptions_list"]) == ["a.*", "b"]
        assert {"cid", "uptime", "idle", "start", "last_activity", "type"} <= shown.keys()

        def is_closed() -> bool:
            closed = get(edge, f"/connz?state=closed&cid={shown['cid']}")["connections"]
            return [one.get("reason") for one in closed] == ["Client Closed"]

        wait_until(is_closed, "the closed connection on the page")

    def test_connz_names_mqtt_clients(self, edge: Peer) -> None:
        with paho_client(edge, "thermometer") as sensor:
            sensor.subscribe("a/+")
            (shown,) = get(edge, "/connz?mqtt_client=thermometer&subs=1")["connections"]
            assert (shown["type"], shown["mqtt_client"]) == ("mqtt", "thermometer")
            assert shown["subscriptions_list"] == ["a.*"]

    def test_unknown_page_and_bad_parameter(self, edge: Peer) -> None:
        for path, status in (("/nothing", 404), ("/connz?sort=colour", 400)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(edge, path)
            assert caught.value.code == status
            caught.value.close()


def get(edge: Peer, path: str) -> Any:
    with urllib.request.urlopen(edge.url("monitoring", "http") + path, timeout=PATIENCE_SECONDS) as response:
        return json.load(response)


def test_what_nobody_asked_for_is_not_loaded(tmp_path: Path) -> None:
    """OpenSSL above all: it takes more memory than all connections of a small site."""
    with gateway(tmp_path, protocols=("nats", "mqtt")) as edge, nats_client(edge):
        mapped = Path(f"/proc/{edge.pid}/maps").read_text()
    assert "gateway" in mapped or form_name() == "pure"
    assert not any(library in mapped for library in ("libcrypto", "libssl", "cryptography", "nacl", "bcrypt"))


def test_clients_over_the_limit_are_told_so_and_others_stay(tmp_path: Path) -> None:
    refusal = b"-ERR 'maximum connections exceeded'\r\n"
    config = "[limits]\nmax-connections = 2\n"
    with (
        gateway(tmp_path, protocols=PROTOCOLS, config=config) as edge,
        nats_client(edge) as one,
        nats_client(edge) as other,
    ):
        with RawPeer(edge.address("nats")) as third:
            third.read_through(b"} \r\n")
            assert third.read_to_end() == refusal
        with RawPeer(edge.address("mqtt")) as third:
            assert third.read_to_end() == b""
        with RawPeer(edge.address("websocket")) as third:
            third.send(UPGRADE % b"/")
            assert third.read_to_end().startswith(b"HTTP/1.1 503 ")
        edge.wait_for_log("limit=max-connections", count=3)
        one.send(b"PING\r\n")
        assert one.read_line() == b"PONG\r\n"
        other.close()
        edge.wait_for_log("reason='Client Closed'")
        with RawPeer(edge.address("mqtt")) as third:
            third.send(MQTT_CONNECT)
            assert third.read(4) == CONNACK


class TestStart:
    """What is not there yet is waited for, and what the log says of the start."""

    def test_port_that_is_held_is_opened_when_it_is_free_and_others_are_served_meanwhile(self, tmp_path: Path) -> None:
        held = free_port()
        with socket.create_server(("127.0.0.1", held)) as holder:
            ports = {"nats": free_port(), "mqtt": held, "monitoring": free_port()}
            lines = [
                f'[[listeners]]\nprotocol = "{one}"\naddress = "127.0.0.1:{ports[one]}"' for one in ("nats", "mqtt")
            ]
            file = tmp_path / "leafgate.toml"
            file.write_text("\n".join([*lines, f'[monitoring]\naddress = "127.0.0.1:{ports["monitoring"]}"\n']))
            edge = Peer("gateway", tmp_path, [sys.executable, "-m", "gateway", "run", "-c", str(file)], ports)
            edge.start()
            with running(edge):
                edge.wait_for_log("event=waiting-for-address")
                for one in ("nats", "monitoring"):
                    edge.wait_ready(lambda one=one: not is_refused(edge.address(one)))  # type: ignore[misc]
                nats_client(edge).close()
                told = get(edge, "/healthz")
                assert told["status"] == "degraded"
                assert "address already in use" in told["listeners"][f"mqtt 127.0.0.1:{held}"]
                assert "event=started" not in edge.log()
                holder.close()
                edge.wait_for_log("event=started")
                with RawPeer(edge.address("mqtt")) as sensor:
                    sensor.send(MQTT_CONNECT)
                    assert sensor.read(4) == CONNACK
                assert get(edge, "/healthz") == {"status": "ok"}

    def test_directory_that_is_locked_is_taken_when_it_is_free(self, tmp_path: Path) -> None:
        locks = take_directory(tmp_path / "data")
        file = tmp_path / "leafgate.toml"
        listener = '[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:0"\n[monitoring]\naddress = ""\n'
        file.write_text(f'data-directory = "{tmp_path / "data"}"\n{listener}')
        edge = Peer("gateway", tmp_path, [sys.executable, "-m", "gateway", "run", "-c", str(file)], {})
        edge.start()
        with running(edge):
            edge.wait_for_log("event=waiting-for-directory")
            for lock in locks:
                os.close(lock)
            edge.wait_for_log("event=started")

    def test_hangup_is_heard_and_survived(self, tmp_path: Path) -> None:
        with gateway(tmp_path) as edge, nats_client(edge) as client:
            for count in (1, 2):
                edge.send_signal(signal.SIGHUP)
                edge.wait_for_log("event=reloaded", count=count)
            client.send(b"PING\r\n")
            assert client.read_line() == b"PONG\r\n"

    def test_log_names_what_runs_and_foretells_that_descriptors_run_out(self, tmp_path: Path) -> None:
        config = '[limits]\nmax-connections = 1000000\n[logging]\nformat = "json"\n'
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with gateway(tmp_path, config=config) as edge:
            edge.wait_for_log('"event": "started"')
            lines = [json.loads(line) for line in edge.log().splitlines() if line.startswith("{")]
            (started,) = [line for line in lines if line.get("event") == "started"]
            assert started["version"] == VERSION
            assert started["form"] == form_name()
            assert started["configuration"] == str(tmp_path / "leafgate.toml")
            assert started["listeners"] == f"nats 127.0.0.1:{edge.ports['nats']}"
            foretold = [line for line in lines if line.get("event") == "few-descriptors"]
            if limit == resource.RLIM_INFINITY or limit >= 1_000_100:
                assert foretold == []
            else:
                assert [line["descriptors"] for line in foretold] == [limit]
