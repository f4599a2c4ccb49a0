"""`make torture-kafka`: messages become records, and records messages, while the broker and the gateway are killed.

    python -m tests.torture.kafka [--minutes N] [--seed N]

Publishers put numbers into a stream that goes out as records, each behind the acknowledgement of the one before;
writers put numbers into a topic that comes in to another stream. The broker is killed, or stopped for a while, as
behind a network that is half closed; the gateway is killed. At the end of each round every acknowledged number is on
the other side, and those of a key are in order; what came a second time is counted.
"""

import argparse
import asyncio
import itertools
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.integration.kafka_broker import Kafka, kafka
from tests.integration.peers import Peer, gateway, read_ports_file, wait_until
from tests.patience import LONG_SECONDS

KEYS = 4
LIFE_SECONDS = (0.3, 2.0)
STOPPED_SECONDS = (0.2, 3.0)
ROUND_SECONDS = 60.0
DRAIN_SECONDS = LONG_SECONDS
READ_AT_ONCE = 500
CONFIG = """
[streams]
[[kafka]]
name = "out"
servers = ["{server}"]
retry-max-seconds = 0.5
stream = "OUT"
out = [{{ subject = "out.*", topic = "{topic}-out" }}]
properties = {{ "reconnect.backoff.max.ms" = 500 }}
[[kafka]]
name = "in"
servers = ["{server}"]
retry-max-seconds = 0.5
group = "{topic}"
in = [{{ topic = "{topic}-in", subject = "in.{{{{key}}}}" }}]
properties = {{ "reconnect.backoff.max.ms" = 500, "session.timeout.ms" = 3000, "heartbeat.interval.ms" = 500 }}
"""


@dataclass
class Outcome:
    """What was acknowledged and what arrived, by key, each way; what is wrong, in lines."""

    acknowledged: dict[str, dict[str, int]] = field(default_factory=lambda: {"out": {}, "in": {}})
    doubled: dict[str, int] = field(default_factory=lambda: {"out": 0, "in": 0})
    kills: int = 0
    complaints: list[str] = field(default_factory=list)

    def compare(self, way: str, arrived: Iterable[tuple[str, int]]) -> None:
        """Numbers of a key, in the order in which they came. One that was not acknowledged may be there."""
        found: dict[str, list[int]] = {}
        for key, number in arrived:
            found.setdefault(key, []).append(number)
        for key, last in self.acknowledged[way].items():
            numbers = found.get(key, [])
            first_seen = list(dict.fromkeys(numbers))
            self.doubled[way] += len(numbers) - len(first_seen)
            lost = set(range(1, last + 1)) - set(first_seen)
            if lost:
                self.complaints.append(f"{way} {key}: lost {len(lost)} of {last}, {sorted(lost)[:5]}")
            if first_seen != sorted(first_seen):
                self.complaints.append(f"{way} {key}: out of order")

    def summary(self) -> str:
        counts = [f"{sum(keys.values())} {way}" for way, keys in self.acknowledged.items()]
        doubled = [f"{count} {way}" for way, count in self.doubled.items()]
        return f"acknowledged {', '.join(counts)}; {self.kills} kills; came twice {', '.join(doubled)}"


class KafkaTorture:
    """`topic` is the lead of the topics, which are made here; the broker may have others."""

    def __init__(self, broker: Kafka, edge: Peer, topic: str, seed: int, kills_broker: bool) -> None:
        self.outcome = Outcome()
        self._broker = broker
        self._edge = edge
        self._topic = topic
        self._random = random.Random(seed)
        self._is_over = False
        self._harms = [self._kill_edge, self._stop_broker, *([self._kill_broker] if kills_broker else [])]

    async def run(self, seconds: float, kills: int) -> Outcome:
        await self._make_streams()
        async with asyncio.TaskGroup() as group:
            for key in range(KEYS):
                group.create_task(self._publish(str(key)))
                group.create_task(self._write(str(key)))
            await self._harm(seconds, kills)
            self._is_over = True
        await self._drain()
        return self.outcome

    async def _connect(self) -> Any:
        """A client of the gateway, however often it is killed meanwhile."""
        while True:
            with suppress(OSError, TimeoutError, nats.errors.Error):
                return await nats.connect(
                    self._edge.url(), allow_reconnect=False, connect_timeout=5, error_cb=ignore, closed_cb=nothing
                )
            await asyncio.sleep(0.05)

    async def _make_streams(self) -> None:
        connection = await self._connect()
        js = connection.jetstream(timeout=30)
        await js.add_stream(name="OUT", subjects=["out.*"])
        await js.add_stream(name="IN", subjects=["in.*"])
        await connection.close()

    async def _publish(self, key: str) -> None:
        """Numbers, each once the one before is acknowledged; one that is not is published again with its id."""
        number, connection = 1, await self._connect()
        while not self._is_over:
            try:
                headers = {"Nats-Msg-Id": f"{key}-{number}"}
                await connection.jetstream(timeout=5).publish(f"out.{key}", b"%d" % number, headers=headers)
            except (nats.errors.Error, OSError, TimeoutError):
                with suppress(Exception):
                    await connection.close()
                connection = await self._connect()
                continue
            self.outcome.acknowledged["out"][key] = number
            number += 1
        await connection.close()

    async def _write(self, key: str) -> None:
        """The same into the topic."""
        number = 1
        while not self._is_over:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._broker.server(), enable_idempotence=True, request_timeout_ms=60_000
            )
            with suppress(KafkaError, OSError, TimeoutError):
                await producer.start()
                while not self._is_over:
                    await producer.send_and_wait(f"{self._topic}-in", b"%d" % number, key.encode())
                    self.outcome.acknowledged["in"][key] = number
                    number += 1
            with suppress(Exception):
                await asyncio.wait_for(producer.stop(), 5)
            await asyncio.sleep(0.05)

    async def _harm(self, seconds: float, kills: int) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end or self.outcome.kills < kills:
            await asyncio.sleep(self._random.uniform(*LIFE_SECONDS))
            if self.outcome.kills % len(self._harms) == 0:
                self._random.shuffle(self._harms)
            await self._harms[self.outcome.kills % len(self._harms)]()
            self.outcome.kills += 1

    async def _kill_broker(self) -> None:
        await asyncio.to_thread(self._broker.kill)
        await asyncio.sleep(self._random.uniform(*STOPPED_SECONDS))
        await asyncio.to_thread(self._broker.peer.start)
        await asyncio.to_thread(self._broker.wait_ready)

    async def _stop_broker(self) -> None:
        """It is there, and answers nothing."""
        self._broker.peer.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self._random.uniform(*STOPPED_SECONDS))
        self._broker.peer.send_signal(signal.SIGCONT)

    async def _kill_edge(self) -> None:
        await asyncio.to_thread(self._kill_and_start)

    def _kill_and_start(self) -> None:
        edge, ports = self._edge, self._edge.directory / "ports.json"
        edge.kill()
        ports.unlink()
        edge.start()
        wait_until(lambda: bool(read_whole(ports)), "the gateway is there again", DRAIN_SECONDS)
        edge.ports = read_whole(ports)

    async def _drain(self) -> None:
        """Wait until all that was acknowledged is on the other side, then compare."""
        wanted = {way: sum(keys.values()) for way, keys in self.outcome.acknowledged.items()}
        give_up = time.monotonic() + DRAIN_SECONDS
        came: list[tuple[str, int]] = []
        while time.monotonic() < give_up:
            came = await self._stored()
            if len(set(came)) >= wanted["in"]:
                break
            await asyncio.sleep(0.2)
        self.outcome.compare("in", came)
        went: list[tuple[str, int]] = []
        while time.monotonic() < give_up:
            records = await asyncio.to_thread(self._broker.read, f"{self._topic}-out", 0)
            went = [(record.key.decode().removeprefix("out."), int(record.value)) for record in records]
            if len(set(went)) >= wanted["out"]:
                break
            await asyncio.sleep(0.2)
        self.outcome.compare("out", went)

    async def _stored(self) -> list[tuple[str, int]]:
        """What came in, in the order of the stream."""
        connection = await self._connect()
        try:
            js = connection.jetstream(timeout=30)
            last = (await js.stream_info("IN")).state.messages
            found: list[tuple[str, int]] = []
            if not last:
                return found
            subscription = await js.subscribe("in.*", ordered_consumer=True)
            while len(found) < last:
                message = await subscription.next_msg(30)
                found.append((message.subject.removeprefix("in."), int(message.data)))
            return found
        finally:
            await connection.close()


async def ignore(error: Exception) -> None:
    """Connections are broken on purpose."""


async def nothing() -> None:
    """A connection that is closed is made anew."""


def read_whole(path: Path) -> dict[str, int]:
    try:
        return read_ports_file(path) or {}
    except json.JSONDecodeError:
        return {}


def torture(
    broker: Kafka, directory: Path, seconds: float, kills: int, seed: int, kills_broker: bool = True
) -> Outcome:
    """One round, with topics and a gateway of its own."""
    topic = f"torture-{seed}"
    broker.create(f"{topic}-out", f"{topic}-in")
    config = CONFIG.format(server=broker.server(), topic=topic)
    with gateway(directory, config=config, monitoring=True, data_directory=directory / "data") as edge:
        return asyncio.run(KafkaTorture(broker, edge, topic, seed, kills_broker).run(seconds, kills))


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a broker and a gateway while messages pass.")
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)g")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the first round; default: any")
    asked = parser.parse_args()
    end = time.monotonic() + asked.minutes * 60
    with tempfile.TemporaryDirectory(prefix="leafgate-kafka-") as directory, kafka(Path(directory) / "kafka") as broker:
        for seed in itertools.count(asked.seed):
            left = end - time.monotonic()
            if left <= 0:
                return 0
            outcome = torture(broker, Path(directory) / str(seed), min(ROUND_SECONDS, left), 1, seed)
            print(f"seed {seed}: {outcome.summary()}", flush=True)
            if outcome.complaints:
                print(*outcome.complaints, sep="\n", flush=True)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
