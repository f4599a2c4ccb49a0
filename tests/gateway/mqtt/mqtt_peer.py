"""An MQTT client that speaks packets, to a gateway in memory or to one with a data directory that is held back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from gateway.assembly import Gateway
from gateway.mqtt.client import MqttClient
from gateway.mqtt.session import MqttSession
from gateway.settings.schema import Config
from gateway.storage.journal import Journal
from gateway.storage.storage import Storage
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.gateway.memory_connection import MemoryConnection, take_turns
from tests.gateway.storage.running_journal import durable, running
from tests.patience import PATIENCE_SECONDS

FIVE = 5
# Before a test that waits for messages gives up.


class Peer(MemoryConnection):
    """One connection of a client. `properties` are the CONNECT's, by name. A
    `user` has its name for a password."""

    def __init__(
        self,
        gateway: Gateway,
        client_id: bytes = b"peer",
        version: int = FIVE,
        clean_start: bool = False,
        will: packets.Will | None = None,
        user: bytes | None = None,
        **properties: object,
    ) -> None:
        super().__init__(gateway)
        self.version = version
        self.start(MqttClient(self, self.gateway.admission, self.gateway.mqtt_sessions))  # type: ignore[arg-type]
        asked = None
        if version == FIVE:
            asked = Properties(**{"session_expiry_interval": 1000, **properties})  # type: ignore[arg-type]
        connect = packets.Connect(
            version, client_id, clean_start=clean_start, will=will, properties=asked, username=user, password=user
        )
        self.receive(encoder.encode_connect(connect))
        self.greeting, *self.packets = self.hear()

    @property
    def kept(self) -> MqttSession:
        """The session at the gateway."""
        assert isinstance(self.session, MqttClient)
        assert self.session.session is not None
        return self.session.session

    def hear(self) -> list[object]:
        """The packets that have come since the last time."""
        return ClientDecoder(1 << 22, self.version).receive(self.take())

    def hear_messages(self) -> list[tuple[bytes, int, bool]]:
        """Payload, packet identifier and DUP of the PUBLISH packets, which must be all that has come."""
        heard = []
        for packet in self.hear():
            assert isinstance(packet, Publish), packet
            heard.append((packet.payload, packet.packet_id, packet.dup))
        return heard

    def subscribe(self, topic_filter: bytes, qos: int = 0, **options: object) -> list[object]:
        wanted = packets.Subscription(topic_filter, qos, **options)  # type: ignore[arg-type]
        self.receive(encoder.encode_subscribe(self.version, 9, [wanted]))
        return self.hear()

    def publish(
        self, topic: bytes, payload: bytes, qos: int = 0, packet_id: int = 1, retain: bool = False, **properties: object
    ) -> None:
        said = Properties(**properties) if properties else None  # type: ignore[arg-type]
        packet_id = packet_id if qos else 0
        packet = encoder.encode_publish(self.version, topic, payload, qos, packet_id, retain, False, said)
        self.receive(packet)

    def puback(self, packet_id: int) -> None:
        self.receive(encoder.encode_puback(self.version, packet_id))

    def pubrec(self, packet_id: int) -> None:
        self.receive(encoder.encode_pubrec(self.version, packet_id))

    def pubrel(self, packet_id: int) -> None:
        self.receive(encoder.encode_pubrel(self.version, packet_id))

    def pubcomp(self, packet_id: int) -> None:
        self.receive(encoder.encode_pubcomp(self.version, packet_id))

    def disconnect(self) -> None:
        self.receive(encoder.encode_disconnect(self.version))


@asynccontextmanager
async def stored_gateway(directory: Path, config: Config | None = None) -> AsyncIterator[Gateway]:
    """A gateway with a data directory. Nothing gets to the disk but with `commit`; leaving it is a crash."""
    config = config or Config()
    storage = Storage(directory, config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes)
    try:
        gateway = Gateway(config, storage)
        gateway.restore()
        async with trio.open_nursery() as services:
            services.start_soon(gateway.runtime.deadlines.run, gateway.runtime.switch.flush)
            services.start_soon(take_turns, gateway)
            gateway.runtime.nursery = services
            yield gateway
            services.cancel_scope.cancel()
    finally:
        storage.close()


def journal_of(gateway: Gateway) -> Journal:
    assert gateway.storage is not None
    return gateway.storage.journal


async def commit(gateway: Gateway) -> None:
    """Bring everything to the disk that has been noted."""
    journal = journal_of(gateway)
    async with running(journal):
        await durable(journal)


async def messages_of(peer: Peer, count: int) -> list[tuple[bytes, int, bool]]:
    """So many messages, with the disk running until they have come."""
    heard: list[tuple[bytes, int, bool]] = []
    async with running(journal_of(peer.gateway)):
        deadline = trio.current_time() + PATIENCE_SECONDS
        while len(heard) < count:
            assert trio.current_time() < deadline, heard
            heard += peer.hear_messages()
            await trio.sleep(0.01)
    return heard
