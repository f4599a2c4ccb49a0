"""Gives the byte vectors of tests/vectors/mqtt_packets.toml to the tests that ask for them by argument name."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.mqtt import packets
from protocols.mqtt.decoder import ClientDecoder, Decoder
from protocols.mqtt.encoder import encode_connect
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode

VECTORS = Path(__file__).parents[2] / "vectors" / "mqtt_packets.toml"
PUBLISH_DEFAULTS = {"qos": 0, "retain": False, "dup": False, "packet_id": 0, "properties": None}


@dataclass
class Vector:
    """Bytes, who sends them after a CONNECT of which version (0: they come first), and the event they become."""

    version: int
    from_client: bool
    data: bytes
    event: object
    shortest: bool = True

    def decoder(self, max_packet_size: int = 1 << 20) -> Decoder:
        """A decoder that waits for the vector."""
        if not self.from_client:
            return ClientDecoder(max_packet_size, self.version)
        decoder = Decoder(max_packet_size)
        if self.version and not isinstance(self.event, packets.Connect):
            decoder.receive(encode_connect(packets.Connect(self.version, b"c")))
        return decoder


def make_publish(**fields) -> Publish:
    publish = Publish()
    for name, value in (PUBLISH_DEFAULTS | fields).items():
        setattr(publish, name, value)
    return publish


def _value(name: str, value: object) -> object:
    """A field of a packet from its form in TOML."""
    match name, value:
        case "reason_code", int():
            return ReasonCode(value)
        case "reason_codes", list():
            return tuple(map(ReasonCode, value))
        case "properties", dict():
            return Properties(**_fields(value))
        case "will", dict():
            return packets.Will(**_fields(value))
        case "subscriptions", list():
            return tuple(packets.Subscription(**_fields(one)) for one in value)
        case _, str():
            return value.encode()
        case _, {"hex": digits}:
            return bytes.fromhex(digits)
        case _, list():
            return tuple(_value("", one) for one in value)
    return value


def _fields(table: dict[str, object]) -> dict[str, object]:
    return {name: _value(name, value) for name, value in table.items()}


def _packet_vectors(table: dict) -> list:
    fields = _fields(table.get("fields", {}))
    event = make_publish(**fields) if table["type"] == "Publish" else getattr(packets, table["type"])(**fields)
    return [
        pytest.param(
            Vector(version, sender == "client", bytes.fromhex(table["hex"]), event, table.get("shortest", True)),
            id=f"{table['name']}, level {version} from {sender}",
        )
        for version in table["versions"]
        for sender in (("client", "server") if table["from"] == "both" else (table["from"],))
    ]


def _violation_vector(table: dict):
    violation = PeerViolation(CloseReason[table["reason"]], table["detail"], bytes.fromhex(table["farewell"]))
    from_client = table.get("from", "client") == "client"
    return pytest.param(Vector(table["version"], from_client, bytes.fromhex(table["hex"]), violation), id=table["name"])


@cache
def _tables() -> dict[str, list[dict]]:
    with VECTORS.open("rb") as file:
        return tomllib.load(file)


def pytest_generate_tests(metafunc):
    if "packet_vector" in metafunc.fixturenames:
        vectors = [vector for table in _tables()["packets"] for vector in _packet_vectors(table)]
        metafunc.parametrize("packet_vector", vectors)
    if "violation_vector" in metafunc.fixturenames:
        metafunc.parametrize("violation_vector", [_violation_vector(table) for table in _tables()["violations"]])
