"""The server that the MQTT tests talk to: the gateway, or mosquitto, which shows that a test asks nothing odd.

LEAFGATE_CONFORMANCE_SERVER=mosquitto chooses mosquitto; what it cannot do is marked `only_gateway`. Both keep their
sessions and retained messages in their directory and come back on the same ports.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.peers import MOSQUITTO, Peer, free_port, require_peer, running

REFERENCE = os.environ.get("LEAFGATE_CONFORMANCE_SERVER", "gateway") == MOSQUITTO
ALL_PROTOCOLS = ("nats", "mqtt", "websocket")


def only_gateway(reason: str) -> pytest.MarkDecorator:
    """Marks a test that mosquitto cannot pass."""
    return pytest.mark.skipif(REFERENCE, reason=f"mosquitto: {reason}")


@contextmanager
def mqtt_server(
    directory: Path, protocols: Iterable[str] = ALL_PROTOCOLS, *, config: str = "", reference: bool = REFERENCE
) -> Iterator[Peer]:
    """A server with a data directory. `config` is more TOML for the gateway, tables only; mosquitto does without."""
    directory.mkdir(parents=True, exist_ok=True)
    ports = {protocol: free_port() for protocol in protocols}
    peer = _mosquitto(directory, ports) if reference else _gateway(directory, ports, config)
    peer.start()
    with running(peer):
        peer.wait_ports()
        yield peer


def restart(server: Peer) -> None:
    """Have the server come back as after a power cut. mosquitto writes its data only when it is stopped politely."""
    if server.name == MOSQUITTO:
        server.stop()
    else:
        server.kill()
    server.start()
    server.wait_ports()


def _gateway(directory: Path, ports: dict[str, int], config: str) -> Peer:
    lines = ['name = "edge"', f'data-directory = "{directory / "data"}"']
    for protocol, port in ports.items():
        lines += ["[[listeners]]", f'protocol = "{protocol}"', f'address = "127.0.0.1:{port}"']
    file = directory / "leafgate.toml"
    file.write_text("\n".join([*lines, "[monitoring]", 'address = ""', config]) + "\n")
    return Peer("gateway", directory, [sys.executable, "-m", "gateway", "run", "-c", str(file)], ports)


def _mosquitto(directory: Path, ports: dict[str, int]) -> Peer:
    lines = ["allow_anonymous true", "user root", "persistence true", f"persistence_location {directory}/"]
    # Acknowledged QoS 2 messages count against it; the tests send more than the default of 20.
    lines += ["max_inflight_messages 200", "max_queued_messages 0"]
    served = {protocol: port for protocol, port in ports.items() if protocol != "nats"}
    for protocol, port in served.items():
        lines += [f"listener {port} 127.0.0.1", f"protocol {protocol}s" if protocol == "websocket" else "protocol mqtt"]
    file = directory / "mosquitto.conf"
    file.write_text("\n".join(lines) + "\n")
    return Peer(MOSQUITTO, directory, [require_peer(MOSQUITTO), "-c", str(file)], served)
