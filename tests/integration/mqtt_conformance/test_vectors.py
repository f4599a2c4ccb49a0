"""Every violation among the byte vectors, sent to the server: it answers with that farewell and closes."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connack, Connect
from protocols.mqtt.primitives import MQTT_5_0
from tests.integration.mqtt_conformance.raw_client import KEEP_ALIVE, Clients, RawClient, unique

VECTORS = tomllib.loads((Path(__file__).parents[2] / "vectors" / "mqtt_packets.toml").read_text())["violations"]
FROM_CLIENTS = [vector for vector in VECTORS if vector.get("from", "client") == "client"]


def begun(clients: Clients, vector: Mapping[str, object]) -> RawClient:
    """A connection that waits for the vector's bytes."""
    version = vector["version"]
    assert isinstance(version, int)
    client = clients.open(version or MQTT_5_0)
    name = str(vector["name"])
    if version and not name.startswith("CONNECT "):
        client.send(encoder.encode_connect(Connect(version, unique("vector"), keep_alive=KEEP_ALIVE)))
        assert isinstance(client.receive(), Connack)
    return client


@pytest.mark.parametrize("vector", FROM_CLIENTS, ids=lambda vector: vector["name"])
def test_violation_is_answered_as_its_vector_says(clients: Clients, vector: dict[str, str]) -> None:
    client = begun(clients, vector)
    client.send(bytes.fromhex(vector["hex"]))
    assert client.remaining_bytes().hex() == vector["farewell"].replace(" ", "")
