"""Two gateways of a pair: the second one dials the first. Each can be killed and comes back where it was."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.integration.peers import Peer, free_port, running, wait_until
from tests.patience import PATIENCE_SECONDS

SECRET = "one secret of the two"
PROTOCOLS = ("nats", "mqtt", "websocket", "leafnode")


class Box(Peer):
    """A gateway of a pair."""

    def health(self) -> dict[str, object]:
        with urlopen(self.url("monitoring", "http") + "/healthz") as answer:
            told: dict[str, object] = json.load(answer)
        return told

    def sees_the_other(self) -> bool:
        return "pair" not in self.health()

    def come_back(self) -> None:
        self.start()
        self.wait_ports()


@contextmanager
def box(directory: Path, name: str, other: int | None, config: str, pair: str) -> Iterator[Box]:
    """One of them; `other` is the leafnode port of the other one, for the one that dials."""
    directory.mkdir(parents=True, exist_ok=True)
    ports = {protocol: free_port() for protocol in (*PROTOCOLS, "monitoring")}
    lines = [f'name = "{name}"', f'data-directory = "{directory / "data"}"']
    for protocol in PROTOCOLS:
        lines += ["[[listeners]]", f'protocol = "{protocol}"', f'address = "127.0.0.1:{ports[protocol]}"']
    lines += ["[monitoring]", f'address = "127.0.0.1:{ports["monitoring"]}"']
    if other is not None:
        lines += ["[[uplinks]]", 'name = "other"', f'urls = ["nats-leaf://127.0.0.1:{other}"]']
        lines += ["jetstream = false", "reconnect-max-seconds = 0.5", "ignore-discovered-servers = true"]
    lines += ["[pair]", f'secret = "{SECRET}"', 'uplink = "other"' if other is not None else "", pair, config]
    file = directory / "leafgate.toml"
    file.write_text("\n".join(lines) + "\n")
    peer = Box(name, directory, [sys.executable, "-m", "gateway", "run", "-c", str(file)], ports)
    peer.start()
    with running(peer):
        peer.wait_ports()
        yield peer


@contextmanager
def two_boxes(directory: Path, config: str = "", pair: str = "") -> Iterator[tuple[Box, Box]]:
    """Both know each other; `config` is more of both files, `pair` more keys of `[pair]`."""
    with (
        box(directory / "one", "box-1", None, config, pair) as first,
        box(directory / "two", "box-2", first.ports["leafnode"], config, pair) as second,
    ):
        await_pair(first, second)
        yield first, second


def await_pair(*boxes: Box) -> None:
    for one in boxes:
        wait_until(one.sees_the_other, f"{one.name} sees the other", PATIENCE_SECONDS)
