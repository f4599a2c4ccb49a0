"""What the gateway tells Home Assistant, heard by an MQTT client: entities, birth, availability, removal."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mqtt_peers import MQTT_5_0, PahoClient
from tests.integration.peers import Peer, gateway, read_ports_file
from tests.integration.raw_peer import RawPeer

BIRTH = "homeassistant/status"
DEVICE = """
[[home-assistant.devices]]
id = "shed"
subject = "sheds.one"
presence = ".presence"
[[home-assistant.devices.entities]]
id = "t"
component = "sensor"
state = ".climate"
"""
RELAY = '[[home-assistant.devices.entities]]\nid = "relay"\ncomponent = "switch"\ncommand = ".relay"\n'


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Peer]:
    config = DEVICE + RELAY
    with gateway(
        tmp_path / "edge", protocols=("nats", "mqtt"), config=config, data_directory=tmp_path / "data"
    ) as peer:
        yield peer


def discover(assistant: PahoClient, count: int) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    while len(found) < count:
        topic, payload = assistant.next_pair()
        found[topic] = json.loads(payload)
    return found


def test_home_assistant_finds_entities_hears_them_again_at_its_birth_and_follows_them(edge: Peer) -> None:
    assistant = PahoClient("homeassistant", MQTT_5_0)
    assert assistant.connect(edge) == 0
    try:
        assistant.subscribe("homeassistant/+/+/+/config", 1)
        found = discover(assistant, 2)
        assert set(found) == {"homeassistant/sensor/shed/t/config", "homeassistant/switch/shed/relay/config"}
        edge.wait_for_log("event=announced devices=1 entities=2")
        assistant.publish(BIRTH, "online", 1, retain=False)
        assert discover(assistant, 2) == found
        sensor = found["homeassistant/sensor/shed/t/config"]
        (availability,) = sensor["availability"]  # type: ignore[misc]
        assistant.subscribe(availability["topic"], 1)
        with RawPeer(edge.address("nats")) as board:
            board.send(b'CONNECT {"verbose":false,"presence":"sheds.one.presence"}\r\nPING\r\n')
            topic, payload = assistant.next_pair()
            assert (topic, json.loads(payload)["state"]) == ("sheds/one/presence", "online")
            assistant.subscribe(str(sensor["state_topic"]), 1)
            board.send(b"PUB sheds.one.climate 4\r\n21.5\r\nSUB sheds.one.relay 1\r\nPING\r\n")
            assert assistant.next_pair() == ("sheds/one/climate", b"21.5")
            board.read_through(b"PONG\r\nPONG\r\n")
            command = found["homeassistant/switch/shed/relay/config"]["command_topic"]
            assistant.publish(str(command), "ON", 1, retain=False)
            assert b"MSG sheds.one.relay 1 2\r\nON" in board.read_through(b"ON\r\n")
        topic, payload = assistant.next_pair()
        assert (topic, json.loads(payload)["state"]) == ("sheds/one/presence", "offline")
    finally:
        assistant.close()


def test_entity_that_is_configured_no_more_is_taken_back_by_a_reload_and_by_a_start(edge: Peer) -> None:
    assistant = PahoClient("homeassistant", MQTT_5_0)
    assert assistant.connect(edge) == 0
    try:
        assistant.subscribe("homeassistant/+/+/+/config", 1)
        discover(assistant, 2)
        file = edge.directory / "leafgate.toml"
        file.write_text(file.read_text().replace(RELAY, ""))
        assert assistant.next_pair() == ("homeassistant/switch/shed/relay/config", b"")
    finally:
        assistant.close()
    edge.stop()
    file.write_text(file.read_text().replace('id = "t"', 'id = "temperature"'))
    (edge.directory / "ports.json").unlink()
    edge.start()
    edge.wait_for_log("event=announced devices=1 entities=1")
    ports_file = edge.directory / "ports.json"
    edge.wait_ready(ports_file.exists)
    edge.ports = read_ports_file(ports_file) or {}
    again = PahoClient("again", MQTT_5_0)
    assert again.connect(edge) == 0
    try:
        again.subscribe("homeassistant/#", 1)
        assert set(discover(again, 1)) == {"homeassistant/sensor/shed/temperature/config"}
        again.nothing_more()
    finally:
        again.close()
