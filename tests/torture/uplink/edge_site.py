"""A gateway that stores and forwards, its hub with JetStream, and the line between them; all of it can be harmed."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from tests.integration.leafnode_pair import client
from tests.integration.peers import NATS_SERVER, Peer, free_port, nats_server_ready, require_peer, running, uplink
from tests.integration.serial_line import serial_table
from tests.torture.harmed_gateway import GATEWAY, HarmedGateway
from tests.torture.uplink.ledger import Key, key_of
from tests.torture.uplink.publishers import SUBJECT

STREAM = "TORTURE"
# Shorter than most outages: an id alone does not keep a message from being stored twice.
DUPLICATE_WINDOW = 2.0
FETCHED = 1000
ANSWER_SECONDS = 30.0

HUB = """
server_name: hub
listen: "127.0.0.1:{nats}"
# Not advertised: the gateway would find the way around the proxy.
leafnodes {{ listen: "127.0.0.1:{leafnode}", no_advertise: true }}
# A hub that is killed must not lose what it has acknowledged: that would be taken for our loss.
jetstream {{ store_dir: "{store}", sync_interval: always }}
"""
BUFFER = f"""
[[store-and-forward]]
subjects = ["{SUBJECT}.>"]
acknowledge-timeout-seconds = 1.5
"""
LINK = {
    "name": "hub",
    "reconnect_min_seconds": 0.02,
    "reconnect_max_seconds": 0.3,
    "ping_interval_seconds": 1.0,
    "ping_max": 1,
}


class Site(HarmedGateway):
    """Everything on free ports, below `directory`; `start` before anything else."""

    def __init__(self, directory: Path, serial: Path | None, launcher: tuple[str, ...] = GATEWAY) -> None:
        self.proxy_port = free_port()
        config = [uplink(f"nats-leaf://127.0.0.1:{self.proxy_port}", **LINK), BUFFER]
        if serial is not None:
            config.append(serial_table(serial, baud=921_600))
        super().__init__(directory, ("nats", "mqtt"), "\n".join(config), launcher)
        self.hub = self._make_hub()

    def start(self) -> None:
        self.hub.start()
        nats_server_ready(self.hub)
        self.start_gateway()

    # The gateway.

    def backlog(self) -> int | None:
        """How many messages wait for the hub; None while nobody answers, or knows of no buffer yet."""
        try:
            told = self._monitored()
        except (OSError, urllib.error.URLError, ValueError):
            return None
        waiting = [one["messages"] for one in told["store_and_forward"]]
        return sum(waiting) if waiting else None

    def _monitored(self) -> Any:
        url = f"http://127.0.0.1:{self.gateway.ports['monitoring']}/varz"
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as response:
            return json.load(response)

    # The hub.

    def restart_hub(self) -> None:
        self.hub.start()
        nats_server_ready(self.hub)

    def make_stream(self) -> None:
        async def make() -> None:
            async with client(self.hub) as connection:
                config = StreamConfig(name=STREAM, subjects=[f"{SUBJECT}.>"], duplicate_window=DUPLICATE_WINDOW)
                await connection.jetstream().add_stream(config)

        asyncio.run(make())

    def stored(self) -> list[Key]:
        """What the hub's stream has of ours, in its order."""

        async def read() -> list[Key]:
            async with client(self.hub) as connection:
                jetstream = connection.jetstream()
                count = (await jetstream.stream_info(STREAM)).state.messages
                keys: list[Key | None] = []
                if count:
                    config = ConsumerConfig(ack_policy=AckPolicy.NONE)
                    subscription = await jetstream.pull_subscribe(">", stream=STREAM, config=config)
                    while len(keys) < count:
                        messages = await subscription.fetch(min(FETCHED, count - len(keys)), ANSWER_SECONDS)
                        keys += [key_of(message.data) for message in messages]
                return [key for key in keys if key is not None]

        return asyncio.run(read())

    def _make_hub(self) -> Peer:
        directory = self.directory / "hub"
        directory.mkdir()
        ports = {"nats": free_port(), "leafnode": free_port()}
        file = directory / "nats.conf"
        file.write_text(HUB.format(store=directory / "store", **ports))
        return Peer(NATS_SERVER, directory, [require_peer(NATS_SERVER), "-c", str(file)], ports)


@contextmanager
def site(directory: Path, serial: Path | None = None, launcher: tuple[str, ...] = GATEWAY) -> Iterator[Site]:
    """A site that runs; both servers end with it."""
    one = Site(directory, serial, launcher)
    try:
        with running(one.hub), running(one.gateway):
            one.start()
            one.make_stream()
            yield one
    finally:
        one.close()
