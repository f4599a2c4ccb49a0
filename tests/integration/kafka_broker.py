"""A real Apache Kafka (KRaft, one node), started and killed as often as wanted, and aiokafka as its other client.

Its jars are what Maven has put beside tests/integration/kafka/pom.xml; it needs Java 17.
"""

import asyncio
import logging
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.integration.certificates import Site
from tests.integration.peers import Peer, find_program, free_port, missing_peer, running, wait_until
from tests.patience import LONG_SECONDS, PATIENCE_SECONDS

T = TypeVar("T")

# What goes wrong while a broker starts, or is killed, is of no interest.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

JARS = Path(__file__).with_name("kafka") / "jars"
# Soon up rather than fast in the long run.
JAVA = ("-Xms128m", "-Xmx320m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
CLUSTER = "4L6g3nShT-eMCtK--X86sw"
USER, PASSWORD = "alice", "sesame"
# Listeners: the name, and how it is spoken to.
LISTENERS = {
    "plain": "PLAINTEXT",
    "sasl": "SASL_PLAINTEXT",
    "tls": "SSL",
    "secure": "SASL_SSL",
    "controller": "PLAINTEXT",
}
PLAIN_LOGIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
START_SECONDS, ASK_SECONDS = LONG_SECONDS, PATIENCE_SECONDS
SMALLEST_SEGMENT = 14


def require_kafka() -> str:
    """The path of java; skips the test without it, or without Kafka's jars."""
    java = find_program("java")
    if java is None:
        missing_peer("java is not installed (Debian: openjdk-17-jre-headless)")
    assert java is not None
    if not list(JARS.glob("kafka_*.jar")):
        missing_peer(f"Kafka is not there (mvn -f {JARS.parent}/pom.xml dependency:copy-dependencies)")
    return java


class Kafka:
    """`start` and `kill` as often as wanted; what it has stays. Its user is alice."""

    def __init__(self, directory: Path) -> None:
        self._java = [require_kafka(), *JAVA, "-cp", f"{JARS}/*"]
        directory.mkdir(parents=True, exist_ok=True)
        self.site = Site(directory)
        ports = {name: free_port() for name in LISTENERS}
        file = directory / "server.properties"
        file.write_text(self._properties(directory, ports))
        self._format(file)
        command = [*self._java, "-Dlog4j2.level=OFF", "kafka.Kafka", str(file)]
        self.peer = Peer("kafka", directory, command, ports)

    def server(self, listener: str = "plain") -> str:
        return f"127.0.0.1:{self.peer.ports[listener]}"

    def start(self) -> None:
        self.peer.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        wait_until(self._accepts, "a broker that takes connections", START_SECONDS)
        self.ask(self._is_there)

    def kill(self) -> None:
        self.peer.kill()

    def _properties(self, directory: Path, ports: dict[str, int]) -> str:
        addresses = {name: f"{name.upper()}://127.0.0.1:{port}" for name, port in ports.items()}
        protocols = ",".join(f"{name.upper()}:{protocol}" for name, protocol in LISTENERS.items())
        keys = directory / "broker-keys.pem"
        keys.write_text(Path(self.site.path("server.key")).read_text() + Path(self.site.path("server.pem")).read_text())
        found = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{ports['controller']}",
            "listeners": ",".join(addresses.values()),
            "advertised.listeners": ",".join(text for name, text in addresses.items() if name != "controller"),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "listener.security.protocol.map": protocols,
            "log.dirs": str(directory / "data"),
            "num.partitions": "4",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            # Who was killed is soon no member any more.
            "group.min.session.timeout.ms": "1000",
            "log.cleaner.dedupe.buffer.size": str(SMALLEST_SEGMENT << 20),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keys),
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        }
        for listener in ("sasl", "secure"):
            for mechanism in MECHANISMS:
                login = PLAIN_LOGIN if mechanism == "PLAIN" else SCRAM_LOGIN
                found[f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"] = login
        return "".join(f"{key}={value}\n" for key, value in found.items())

    def _format(self, file: Path) -> None:
        scram = [
            argument
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for argument in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
        ]
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(file), "--standalone"]
        done = subprocess.run([*command, *scram], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    # What aiokafka sees.

    def ask(self, question: Callable[[], Awaitable[T]], seconds: float = ASK_SECONDS) -> T:
        async def asked() -> T:
            async with asyncio.timeout(seconds):
                return await question()

        return asyncio.run(asked())

    def _accepts(self) -> bool:
        assert not self.peer.is_dead(), self.peer.log()
        with socket.socket() as probe:
            return probe.connect_ex(self.peer.address("plain")) == 0

    async def _is_there(self) -> None:
        while True:
            assert not self.peer.is_dead(), self.peer.log()
            try:
                admin = AIOKafkaAdminClient(bootstrap_servers=self.server())
                await admin.start()
                await admin.close()
                return
            except Exception:  # noqa: BLE001 -- whatever it says: it is not there yet
                await asyncio.sleep(0.1)

    def create(self, *names: str, partitions: int = 4, **settings: str) -> None:
        async def create() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.server())
            await admin.start()
            try:
                topics = [NewTopic(name, partitions, 1, topic_configs=settings) for name in names]
                await admin.create_topics(topics)
            finally:
                await admin.close()

        self.ask(create)

    def write(self, topic: str, *records: tuple[bytes | None, bytes, list[tuple[str, bytes]]]) -> None:
        """Records: key, value and headers."""

        async def write() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.server(), acks="all")
            await producer.start()
            try:
                sent = [await producer.send(topic, value, key, headers=headers) for key, value, headers in records]
                await asyncio.gather(*sent)
            finally:
                await producer.stop()

        self.ask(write)

    def read(
        self, topic: str, count: int, partitions: int = 4, enough: Callable[[list[Any]], bool] = bool
    ) -> list[Any]:
        """All records that a topic has, once those are so many at least, and `enough`; in order of each partition."""

        async def read() -> list[Any]:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.server(), auto_offset_reset="earliest")
            await consumer.start()
            try:
                places = [TopicPartition(topic, number) for number in range(partitions)]
                consumer.assign(places)
                found: list[Any] = []
                while True:
                    ends = await consumer.end_offsets(places)
                    at = [await consumer.position(place) for place in places]
                    is_enough = len(found) >= count and (not count or enough(found))
                    if is_enough and at == [ends[place] for place in places]:
                        return found
                    batches = await consumer.getmany(*places, timeout_ms=200)
                    found += [record for records in batches.values() for record in records]
            finally:
                await consumer.stop()

        return self.ask(read)

    def committed(self, group: str, topic: str, partitions: int = 4) -> int:
        """The sum of the offsets that a group has committed."""

        async def committed() -> int:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.server())
            await admin.start()
            try:
                found = await admin.list_consumer_group_offsets(group)
                return sum(place.offset for where, place in found.items() if where.topic == topic and place.offset > 0)
            finally:
                await admin.close()

        return self.ask(committed)


@contextmanager
def kafka(directory: Path) -> Iterator[Kafka]:
    one = Kafka(directory)
    with running(one.peer):
        one.start()
        yield one
        one.kill()
