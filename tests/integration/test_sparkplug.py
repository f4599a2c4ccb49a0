"""Both ends of Sparkplug B with pysparkplug at the other one, here and at a mosquitto."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocols.sparkplug.payload import LONG, Metric, Payload, decode_payload, encode_payload
from protocols.sparkplug.values import TYPES
from tests.integration.certificates import Site
from tests.integration.mqtt_peers import PahoClient, paho_client
from tests.integration.peers import Peer, free_port, gateway, mosquitto, wait_until
from tests.integration.raw_peer import RawPeer
from tests.integration.sparkplug_peers import close, listening, make_client, named, pysparkplug
from tests.integration.test_bridge_brokers import PASSWORD, USER, guarded_broker, tls
from tests.integration.test_bridges import broker_url
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

NODE = """
[[sparkplug-node]]
name = "plant"
group = "G 1"
node = "edge"
retry-max-seconds = 0.5
"""
METRICS = """
[[sparkplug-node.metrics]]
subject = "plant.node.*"
type = "Int16"
[[sparkplug-node.metrics]]
subject = "plant.*.*"
device = "{{token(2)}}"
command = "{{subject}}.set"
[[sparkplug-node.devices]]
presence = "presence.*"
device = "{{token(2)}}"
"""
HOST = '[[sparkplug-host]]\nname = "scada"\nhost-id = "scada-1"\nretry-max-seconds = 0.5\n'


class Client(RawPeer):
    """A NATS client."""

    def __init__(self, edge: Peer, *subjects: str) -> None:
        super().__init__(edge.address("nats"))
        self.send(b'CONNECT {"verbose":false}\r\n')
        for number, subject in enumerate(subjects, 1):
            self.send(f"SUB {subject} {number}\r\n".encode())
        self.send(b"PING\r\n")
        self.read_through(b"PONG\r\n")

    def publish(self, subject: str, payload: str, reply: str = "") -> None:
        self.send(f"PUB {subject} {reply + ' ' if reply else ''}{len(payload)}\r\n{payload}\r\n".encode())

    def wait_for(self, subject: str) -> bytes:
        """The payload of the next message on that subject; others before it are passed over."""
        self.read_through(f"MSG {subject} ".encode())
        size = int(self.read_through(b"\r\n").split()[-1])
        return self.read(size)

    def json(self, subject: str) -> Any:
        return json.loads(self.wait_for(subject))


@contextmanager
def born(edge: Peer) -> Iterator[None]:
    """From when the node was born."""
    edge.wait_for_log("integration=sparkplug-node/plant event=up")
    yield


def take_out(edge: Peer, config: str) -> None:
    """An integration is not wanted any more."""
    file = edge.directory / "leafgate.toml"
    file.write_text(file.read_text().replace(config, ""))
    edge.send_signal(signal.SIGHUP)


def told(edge: Peer, page: str) -> Any:
    with urllib.request.urlopen(edge.url("monitoring", "http") + page, timeout=PATIENCE_SECONDS) as response:
        return json.load(response)


def test_pysparkplug_understands_an_edge_node_and_writes_to_it(tmp_path: Path) -> None:
    with (
        gateway(tmp_path, protocols=("nats", "mqtt"), config=NODE + METRICS, monitoring=True) as edge,
        born(edge),
        listening(edge) as host,
        Client(edge, "plant.*.*.set") as client,
    ):
        client.publish("plant.pump.rpm", "12.5")
        birth = host.next("DBIRTH", "pump")
        assert [(one.name, one.datatype.name, one.value) for one in birth.metrics] == [("rpm", "DOUBLE", 12.5)]
        data = host.next("DDATA", "pump")
        assert named(data) == {"rpm": 12.5}
        assert (birth.metrics[0].alias, data.seq) == (data.metrics[0].alias, birth.seq + 1)
        # A metric of the node's own has all be born anew.
        client.publish("plant.node.load", "7")
        node_birth = host.next("NBIRTH")
        assert node_birth.seq == 0
        found = {one.name: (one.datatype.name, one.value, one.alias) for one in node_birth.metrics}
        assert found == {
            "bdSeq": ("INT64", 0, None),
            "Node Control/Rebirth": ("BOOLEAN", False, None),
            "load": ("INT16", 7, 2),
        }
        assert named(host.next("DBIRTH", "pump")) == {"rpm": 12.5}
        assert named(host.next("NDATA")) == {"load": 7}
        host.command("G 1", "edge", "pump", "rpm", pysparkplug.DataType.DOUBLE, 20.5)
        assert client.wait_for("plant.pump.rpm.set") == b"20.5"
        host.next("DCMD", "pump")
        host.command("G 1", "edge", None, "Node Control/Rebirth", pysparkplug.DataType.BOOLEAN, True)
        host.next("NCMD")
        assert (again := host.next("NBIRTH")).seq == 0
        assert named(again)["bdSeq"] == 0
        host.next("DBIRTH", "pump")
        client.publish("presence.pump", '{"state":"offline"}')
        assert host.next("DDEATH", "pump").seq == 2
        client.publish("presence.pump", '{"state":"online"}')
        host.next("DBIRTH", "pump")
        client.publish("plant.node.load", "much")
        wait_until(lambda: "its value is none of Int16" in edge.log(), "a line about it")
        client.publish("plant.pump.rpm", "13")
        assert named(host.next("DDATA", "pump")) == {"rpm": 13.0}
        wait_until(lambda: told(edge, "/varz")["integrations"][0]["sent_msgs"] == 4, "four messages are counted")
        (status,) = told(edge, "/varz")["integrations"]
        assert (status["kind"], status["up"]) == ("sparkplug-node", True)
        take_out(edge, NODE + METRICS)
        assert host.next("NDEATH").bd_seq_metric.value == 0


def test_what_an_edge_node_of_pysparkplug_says_becomes_json(tmp_path: Path) -> None:
    Metric, Type = (pysparkplug.Metric, pysparkplug.DataType) if pysparkplug else (None, None)  # noqa: N806
    with (
        gateway(tmp_path, protocols=("nats", "mqtt"), config=HOST, monitoring=True) as edge,
        Client(edge, "sparkplug.>", "spBv1//0.STATE.>", "answers.>") as client,
    ):
        peer = make_client("pysparkplug-node")
        now = pysparkplug.get_current_timestamp()

        def metric(name: str, kind: Any, value: object) -> Any:
            return Metric(timestamp=now, name=name, datatype=kind, value=value)

        written: list[Any] = []
        node = pysparkplug.EdgeNode("G", "E 7", [metric("a/b", Type.INT8, -3)], client=peer)
        arrays = metric("flags", Type.BOOLEAN_ARRAY, (True, False, True))
        device = pysparkplug.Device(
            "pump", [metric("rpm", Type.FLOAT, 1.5), arrays], cmd_callback=lambda _, message: written.append(message)
        )
        node.register(device)
        node.connect(*edge.address("mqtt")[:1], port=edge.ports["mqtt"])
        assert client.json("sparkplug.G.E_7.presence")["state"] == "online"
        expected = {"value": -3, "timestamp": now, "type": "Int8", "metric": "a/b", "birth": True}
        assert client.json("sparkplug.G.E_7.node.a.b") == expected
        assert client.json("sparkplug.G.E_7.presence.pump")["device"] == "pump"
        assert client.json("sparkplug.G.E_7.device.pump.rpm")["value"] == 1.5
        assert client.json("sparkplug.G.E_7.device.pump.flags")["value"] == [True, False, True]
        node.update_device("pump", [metric("rpm", Type.FLOAT, 2.5)])
        expected = {"value": 2.5, "timestamp": now, "type": "Float", "metric": "rpm"}
        assert client.json("sparkplug.G.E_7.device.pump.rpm") == expected
        client.publish("sparkplug.G.E_7.command.device.pump.rpm", "7.25", "answers.1")
        assert client.json("answers.1") == {"ok": True}
        wait_until(lambda: bool(written), "a command")
        assert named(written[0].payload) == {"rpm": 7.25}
        for subject, payload, code in (("device.pump.rpm", "fast", 400), ("node.none", "1", 404)):
            client.publish(f"sparkplug.G.E_7.command.{subject}", payload, "answers.2")
            assert client.json("answers.2")["error"]["code"] == code
        # As if it were killed: the gateway tells its will.
        peer._client._sock_close()
        assert client.json("sparkplug.G.E_7.presence.pump")["state"] == "offline"
        assert client.json("sparkplug.G.E_7.presence")["state"] == "offline"
        close(peer)
        client.publish("sparkplug.G.E_7.command.device.pump.rpm", "1", "answers.3")
        assert client.json("answers.3") == {"ok": True}  # It is known, and may be back.
        (status,) = told(edge, "/varz")["integrations"]
        assert (status["kind"], status["up"]) == ("sparkplug-host", True)
        assert status["received_msgs"] >= 4
        with paho_client(edge) as late:
            late.subscribe("spBv1.0/STATE/scada-1", 1)
            state = late.next_message()
            assert (state.retain, json.loads(state.payload)["online"]) == (True, True)
            # Somebody's will of before.
            late.publish(state.topic, state.payload.replace(b"true", b"false"), 1, retain=True)
            assert json.loads(late.next_message().payload)["online"] is False
            assert late.next_pair() == (state.topic, state.payload)
            take_out(edge, HOST)
            assert json.loads(late.next_message().payload)["online"] is False


class Scada:
    """What paho hears of an edge node at a broker."""

    def __init__(self, client: PahoClient) -> None:
        self.client = client
        client.subscribe("spBv1.0/#", 1)

    def next(self, verb: str) -> Payload:
        topic, payload = self.client.next_pair()
        assert topic.split("/")[2] == verb, topic
        return decode_payload(payload)


def bd_seq(payload: Payload) -> object:
    return next(one.value for one in payload.metrics if one.name == "bdSeq")


def test_node_at_another_broker_dies_with_its_connection_and_brings_what_waited(tmp_path: Path) -> None:
    port = free_port()
    config = f'{NODE}url = "mqtt://127.0.0.1:{port}"\nprimary-host = "scada-1"\n{METRICS}'
    with (
        gateway(tmp_path / "edge", protocols=("nats", "mqtt"), config=config, monitoring=True) as edge,
        Client(edge) as client,
    ):
        wait_until(lambda: "event=down" in edge.log(), "an outage")
        client.publish("plant.pump.rpm", "1")
        with mosquitto(tmp_path / "far", port=port) as broker, paho_client(broker) as far:
            scada = Scada(far)
            # It is not there while its primary host is not.
            wait_until(lambda: "the primary host scada-1 is not there" in str(told(edge, "/healthz")), "the reason")
            far.publish("spBv1.0/STATE/scada-1", b'{"online":true,"timestamp":100}', 1, retain=True)
            far.next_message()
            birth = scada.next("NBIRTH")
            scada.next("DBIRTH")
            (first,) = scada.next("DDATA").metrics
            assert (first.value, first.is_historical) == (1.0, True)
            client.publish("plant.pump.rpm", "2")
            (second,) = scada.next("DDATA").metrics
            assert (second.value, second.is_historical, second.alias) == (2.0, False, first.alias)
            # What the broker has not acknowledged yet would come again.
            wait_until(lambda: told(edge, "/varz")["integrations"][0]["sent_msgs"] == 2, "both acknowledged")
            # An older death of the host is none; this one is.
            far.publish("spBv1.0/STATE/scada-1", b'{"online":false,"timestamp":99}', 1, retain=True)
            far.next_message()
            far.publish("spBv1.0/STATE/scada-1", b'{"online":false,"timestamp":100}', 1, retain=True)
            far.next_message()
            assert bd_seq(scada.next("NDEATH")) == bd_seq(birth)
            client.publish("plant.pump.rpm", "3")
            far.publish("spBv1.0/STATE/scada-1", b'{"online":true,"timestamp":200}', 1, retain=True)
            far.next_message()
            assert bd_seq(again := scada.next("NBIRTH")) == bd_seq(birth) + 1  # type: ignore[operator]
            assert [one.value for one in scada.next("DBIRTH").metrics] == [2.0]
            (third,) = scada.next("DDATA").metrics
            assert (third.value, third.is_historical) == (3.0, True)
            edge.kill()
            assert bd_seq(scada.next("NDEATH")) == bd_seq(again)


def test_host_at_another_broker_asks_for_a_rebirth_once(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path / "far") as broker,
        paho_client(broker) as far,
        gateway(
            tmp_path / "edge", config=f'{HOST}url = "mqtt://127.0.0.1:{broker.ports["mqtt"]}"\n', monitoring=True
        ) as edge,
        Client(edge, "sparkplug.>") as client,
    ):
        far.subscribe("spBv1.0/STATE/scada-1", 1)
        assert json.loads(far.next_message().payload)["online"] is True
        far.subscribe("spBv1.0/+/NCMD/+", 1)

        def say(verb: str, seq: int, *metrics: Metric) -> None:
            far.publish(f"spBv1.0/G/{verb}/E", encode_payload(Payload(timestamp=5, seq=seq, metrics=list(metrics))))

        def value(number: int) -> Metric:
            return Metric(alias=9, field=LONG, value=number)

        for seq in (3, 4):  # Of a node whose birth was not heard.
            say("NDATA", seq, value(seq))
        topic, asked = far.next_pair()
        assert topic == "spBv1.0/G/NCMD/E"
        (metric,) = decode_payload(asked).metrics
        assert (metric.name, metric.value) == ("Node Control/Rebirth", True)
        bd = Metric(name="bdSeq", datatype=TYPES["Int64"], field=LONG, value=0)
        say("NBIRTH", 0, bd, Metric(name="t", alias=9, datatype=TYPES["UInt64"], field=LONG, value=1))
        assert client.json("sparkplug.G.E.node.t")["value"] == 1
        say("NDATA", 1, value(2))
        assert client.json("sparkplug.G.E.node.t") == {"value": 2, "timestamp": 5, "type": "UInt64", "metric": "t"}
        far.nothing_more()
        wait_until(lambda: "its birth was not heard" in str(told(edge, "/healthz")), "the reason in health")
        broker.kill()
        assert client.json("sparkplug.G.E.presence")["state"] == "offline"
        wait_until(lambda: "integration=sparkplug-host/scada event=down" in edge.log(), "a line about it")


def test_node_shows_a_broker_in_tls_who_it_is(tmp_path: Path) -> None:
    site = Site(tmp_path / "tls")
    with guarded_broker(tmp_path / "far", site) as broker:
        url = broker_url(broker, "mqtts", "localhost")
        lines = [NODE, f'url = "{url}"', tls(site), f'user = "{USER}"']
        right = "\n".join([*lines, f'password = "{PASSWORD}"', METRICS])
        wrong = "\n".join([*lines, 'password = "guessed"', METRICS]).replace('"plant"', '"wrong"')
        with gateway(tmp_path / "edge", config=right + wrong) as edge:
            edge.wait_for_log("integration=sparkplug-node/plant event=up")
            edge.wait_for_log("integration=sparkplug-node/wrong event=down")
            assert f"{url} says: not authorized" in edge.log()
            assert "guessed" not in edge.log()
