"""Home Assistant's MQTT discovery as an example: retained configurations, birth message, availability by will."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.mqtt_peers import MQTT_3_1_1, MQTT_5_0, PahoClient, paho_client
from tests.integration.mqtt_servers import REFERENCE, mqtt_server, restart
from tests.integration.peers import Peer

pytestmark = pytest.mark.one_form

BIRTH = "homeassistant/status"
CONFIGS = "homeassistant/+/+/config"
DEVICES = ("kitchen", "hall", "Living room")

versions = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0], ids=["3.1.1", "5.0"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Peer]:
    with mqtt_server(tmp_path, ("mqtt",)) as peer:
        yield peer


class Device(PahoClient):
    """A thermometer that announces itself when it connects, and again when Home Assistant is born."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"thermometer {name}", version)
        self.name = name
        self.availability = f"zigbee2mqtt/{name}/availability"
        self.paho.will_set(self.availability, "offline", 1, retain=True)

    def switch_on(self, server: Peer) -> None:
        assert self.connect(server) == 0
        self.subscribe(BIRTH, 1)
        self.announce()

    def announce(self) -> None:
        self.publish(self.config_topic, json.dumps(self.config), 1, retain=True)
        self.publish(self.availability, "online", 1, retain=True)
        self.publish(self.config["state_topic"], '{"temperature": 21.5}', 1, retain=True)

    @property
    def config_topic(self) -> str:
        return f"homeassistant/sensor/{self.name.replace(' ', '_')}_temperature/config"

    @property
    def config(self) -> dict[str, str]:
        return {
            "name": f"{self.name} temperature",
            "unique_id": f"{self.name}-t",
            "state_topic": f"zigbee2mqtt/{self.name}",
            "availability_topic": self.availability,
            "value_template": "{{ value_json.temperature }}",
        }


class HomeAssistant(PahoClient):
    """Learns entities from their configurations, then follows the topics that these name."""

    def __init__(self, version: int) -> None:
        super().__init__("homeassistant", version)
        self.paho.will_set(BIRTH, "offline", 1, retain=False)

    def start(self, server: Peer) -> None:
        assert self.connect(server) == 0
        self.subscribe(CONFIGS, 1)

    def discover(self, count: int) -> dict[str, dict[str, str]]:
        """Configurations by topic."""
        found = {}
        while len(found) < count:
            topic, payload = self.next_pair()
            found[topic] = json.loads(payload)
        return found

    def follow(self, config: dict[str, str]) -> tuple[bytes, bytes]:
        """Availability and state as they are retained."""
        values = []
        for topic in (config["availability_topic"], config["state_topic"]):
            self.subscribe(topic, 1)
            message = self.next_message()
            assert (message.topic, message.retain) == (topic, True)
            values.append(message.payload)
        return values[0], values[1]

    def say_birth(self) -> None:
        self.publish(BIRTH, "online", 1, retain=False)


@contextmanager
def home(server: Peer, version: int) -> Iterator[tuple[HomeAssistant, list[Device]]]:
    """Home Assistant and devices that are switched on."""
    assistant, devices = HomeAssistant(version), [Device(name, version) for name in DEVICES]
    try:
        for device in devices:
            device.switch_on(server)
        assistant.start(server)
        yield assistant, devices
    finally:
        for client in (assistant, *devices):
            client.close()


def expected(devices: list[Device]) -> dict[str, dict[str, str]]:
    return {device.config_topic: device.config for device in devices}


@versions
def test_home_assistant_finds_devices_that_were_there_before(server: Peer, version: int) -> None:
    with home(server, version) as (assistant, devices):
        found = assistant.discover(len(devices))
        assert found == expected(devices)
        for config in found.values():
            assert assistant.follow(config) == (b"online", b'{"temperature": 21.5}')


@versions
def test_devices_announce_themselves_again_at_its_birth(server: Peer, version: int) -> None:
    with home(server, version) as (assistant, devices):
        assistant.discover(len(devices))
        assistant.say_birth()
        for device in devices:
            assert device.next_pair() == (BIRTH, b"online")
            device.announce()
        assert assistant.discover(len(devices)) == expected(devices)


@versions
def test_killed_device_becomes_unavailable_and_comes_back(server: Peer, version: int) -> None:
    with home(server, version) as (assistant, devices):
        assistant.discover(len(devices))
        lost = devices[2]
        assistant.follow(lost.config)
        lost.cut()
        assert assistant.next_pair() == (lost.availability, b"offline")
        again = Device(lost.name, version)
        again.switch_on(server)
        received = [assistant.next_pair() for _ in range(3)]
        assert (lost.availability, b"online") in received
        again.close()


@versions
def test_home_assistant_that_restarts_gets_everything_again(server: Peer, version: int) -> None:
    with home(server, version) as (assistant, devices):
        assistant.discover(len(devices))
        devices[0].subscribe("fence", 1)
        assistant.cut()
        assert devices[0].next_pair() == (BIRTH, b"offline")
        devices[1].cut()
        again = HomeAssistant(version)
        again.start(server)
        assert again.discover(len(devices)) == expected(devices)
        assert again.follow(devices[0].config)[0] == b"online"
        again.subscribe(devices[1].availability, 1)
        while again.next_pair() != (devices[1].availability, b"offline"):
            pass
        again.close()


@versions
def test_removed_device_is_forgotten(server: Peer, version: int) -> None:
    with home(server, version) as (assistant, devices):
        assistant.discover(len(devices))
        devices[0].publish(devices[0].config_topic, b"", 1, retain=True)
        assert assistant.next_pair() == (devices[0].config_topic, b"")
        again = HomeAssistant(version)
        again.paho._client_id = b"another"
        again.start(server)
        assert again.discover(len(devices) - 1) == expected(devices[1:])
        again.nothing_more()
        again.close()


@versions
def test_everything_is_still_known_after_the_server_came_back(server: Peer, version: int) -> None:
    with home(server, version) as (assistant, devices):
        assistant.discover(len(devices))
        wanted = expected(devices)
    if not REFERENCE:  # It may be killed once it has heard the goodbyes, and what it then acknowledges is behind them.
        server.wait_for_log("event=closed kind=mqtt reason='Client Closed'", count=len(devices) + 1)
        with paho_client(server) as last:
            last.publish("last", b"word", 1, retain=True)
    restart(server)
    assistant = HomeAssistant(version)
    assistant.start(server)
    assert assistant.discover(len(DEVICES)) == wanted
    for config in wanted.values():
        # The devices had said goodbye: their last word stands.
        assert assistant.follow(config) == (b"online", b'{"temperature": 21.5}')
    assistant.close()


def test_will_is_said_for_devices_that_do_not_come_back_after_a_crash(server: Peer) -> None:
    """The server dies with the device on the line; its will must not die with it."""
    device = Device("attic", MQTT_3_1_1)
    device.switch_on(server)
    restart(server)
    device.wait_disconnected()
    device.paho.loop_stop()
    watcher = PahoClient("watcher")
    assert watcher.connect(server) == 0
    watcher.subscribe(device.availability, 1)
    while watcher.next_pair() != (device.availability, b"offline"):
        pass
    watcher.close()
