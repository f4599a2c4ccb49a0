"""Bad input in bulk: valid packets with one byte changed or cut off at any offset, in every state of a connection."""

import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connect, Subscription, Will
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0

VECTORS = Path(__file__).parents[2] / "vectors" / "mqtt_packets.toml"
VERSIONS = (MQTT_3_1_1, MQTT_5_0)
CONNECT_TYPE = 0x10
KEEP_ALIVE = 60
# Longer vectors hold payload mostly, which may be anything.
LONGEST = 200


@dataclass(frozen=True)
class Offence:
    """`prelude` brings a connection into a state, `bad` is what comes then."""

    version: int
    state: str
    prelude: bytes
    bad: bytes


def packets(version: int) -> list[bytes]:
    """A valid packet of every kind and shape that a client may send."""
    tables = tomllib.loads(VECTORS.read_text())["packets"]
    found = [
        bytes.fromhex(table["hex"])
        for table in tables
        if version in table["versions"] and table["from"] in ("client", "both")
    ]
    return [packet for packet in found if len(packet) <= LONGEST]


def preludes(version: int) -> dict[str, bytes]:
    """What is sent first, by the state that it makes; the server finds a new client each time."""
    plain = encoder.encode_connect(Connect(version, b"", keep_alive=KEEP_ALIVE))
    will = Will(b"hostile/will", b"gone", 1)
    with_will = encoder.encode_connect(Connect(version, b"", keep_alive=KEEP_ALIVE, will=will))
    subscribe = encoder.encode_subscribe(version, 1, [Subscription(b"hostile/+", 2)])
    publish = encoder.encode_publish(version, b"hostile/flight", b"x", 2, 2, False, False)
    return {
        "before CONNECT": b"",
        "connected": plain,
        "QoS 2 in flight": plain + subscribe + publish,
        "with a will": with_will,
    }


def damaged(packet: bytes, noise: random.Random) -> Iterator[bytes]:
    """The packet with every byte changed in several ways, and cut at every offset."""
    for offset in range(len(packet)):
        old = packet[offset]
        changes = {0, 0xFF, old ^ 0x80, old ^ 1, (old + 1) & 0xFF, noise.randrange(256)} - {old}
        for new in sorted(changes):
            yield packet[:offset] + bytes((new,)) + packet[offset + 1 :]
        yield packet[:offset]


def offences(noise: random.Random) -> Iterator[Offence]:
    """Every damaged packet in every state in which its kind may come, both versions."""
    for version in VERSIONS:
        states = preludes(version)
        for packet in packets(version):
            for bad in damaged(packet, noise):
                for state, prelude in states.items():
                    if (packet[0] == CONNECT_TYPE) == (not prelude):
                        yield Offence(version, state, prelude, bad)


def random_offences(noise: random.Random) -> Iterator[Offence]:
    """Endless: damaged packets and now and then noise, of any version and in any state."""
    states = {version: preludes(version) for version in VERSIONS}
    valid = {version: packets(version) for version in VERSIONS}
    while True:
        version = noise.choice(VERSIONS)
        state = noise.choice(list(states[version]))
        packet = noise.choice(valid[version])
        offset = noise.randrange(len(packet))
        match noise.randrange(8):
            case 0:
                bad = packet[:offset]
            case 1:
                bad = packet[:1] + noise.randbytes(noise.randrange(40))
            case 2:
                bad = packet[:offset] + noise.randbytes(3) + packet[offset:]
            case _:
                bad = packet[:offset] + noise.randbytes(1) + packet[offset + 1 :]
        yield Offence(version, state, states[version][state], bad)
