"""A persistent subscriber that is offline at times, and a passing one that reads all retained messages."""

import trio

from protocols.mqtt import encoder
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.packets import Connect, Disconnect, Pubrel, Suback, Subscription
from protocols.mqtt.publish import Publish
from tests.torture.ledger import Inbox, Key, Ledger
from tests.torture.persistent_client import MAX_PACKET, PATIENCE_SECONDS, READ, PersistentClient

FILTER = b"torture/#"
VERSION_OF_READER = 4


def key_of(payload: bytes) -> Key:
    publisher, number, _ = payload.split(b" ")
    return int(publisher), int(number)


class Subscriber(PersistentClient):
    """`restless` is how long it stays on or off the line at most, in seconds; 0: always on."""

    def __init__(
        self, address: tuple[str, int], name: str, version: int, qos: int, restless: float, ledger: Ledger, seed: int
    ) -> None:
        super().__init__(address, name.encode(), version, ledger, seed)
        self.inbox = Inbox(name, qos)
        self.subscribed = trio.Event()
        self._restless = restless
        # Packet ids of QoS 2 that were taken and wait for their PUBREL [MQTT-4.3.3-10].
        self._received: set[int] = set()
        ledger.inboxes.append(self.inbox)

    def settle(self) -> None:
        """From now on it stays on the line."""
        self._restless = 0.0

    async def wander(self) -> None:
        """Hang up at random instants, with a DISCONNECT or without."""
        await self.subscribed.wait()
        while self._restless:
            await trio.sleep(self.random.random() * self._restless)
            await self.hang_up(politely=self.random.random() < 0.5)

    async def between_connections(self) -> None:
        await super().between_connections()
        await trio.sleep(self.random.random() * self._restless)

    async def connected(self, session_present: bool) -> None:
        if not session_present:
            self._received.clear()
        if not self.subscribed.is_set():
            await self.send(encoder.encode_subscribe(self.version, 1, [Subscription(FILTER, self.inbox.granted_qos)]))

    async def handle(self, packet: object) -> None:
        match packet:
            case Suback():
                if packet.reason_codes != (self.inbox.granted_qos,):
                    self.fault(f"was granted {packet.reason_codes}")
                self.promised = True
                self.subscribed.set()
            case Publish(qos=1):
                self.inbox.take(key_of(packet.payload), packet.topic, 1)
                await self.send(encoder.encode_puback(self.version, packet.packet_id))
            case Publish(qos=2):
                if packet.packet_id not in self._received:
                    self._received.add(packet.packet_id)
                    self.inbox.take(key_of(packet.payload), packet.topic, 2)
                await self.send(encoder.encode_pubrec(self.version, packet.packet_id))
            case Pubrel():
                self._received.discard(packet.packet_id)
                await self.send(encoder.encode_pubcomp(self.version, packet.packet_id))
            case Disconnect():
                self.fault(f"the server said goodbye: {packet.reason_code!r}")
            case _:
                self.fault(f"unexpected {packet!r}")


async def read_retained(address: tuple[str, int], wanted: set[bytes]) -> dict[bytes, int]:
    """The numbers of the retained messages, by topic; returns early once all wanted ones are there."""
    values: dict[bytes, int] = {}
    decoder = ClientDecoder(MAX_PACKET, VERSION_OF_READER)
    with trio.move_on_after(PATIENCE_SECONDS):
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(
                encoder.encode_connect(Connect(VERSION_OF_READER, b""))
                + encoder.encode_subscribe(VERSION_OF_READER, 1, [Subscription(FILTER, 0)])
            )
            while not wanted <= values.keys() and (data := await stream.receive_some(READ)):
                for packet in decoder.receive(data):
                    if isinstance(packet, Publish) and packet.retain:
                        values[packet.topic] = key_of(packet.payload)[1]
    return values
