"""A publisher of numbered messages that keeps what is not acknowledged and sends it again, in order, with DUP."""

from dataclasses import dataclass

import trio

from protocols.mqtt import encoder
from protocols.mqtt.packets import Disconnect, Puback, Pubcomp, Pubrec
from protocols.mqtt.reason_codes import ReasonCode
from tests.torture.ledger import Ledger, Sent
from tests.torture.persistent_client import PersistentClient

WINDOW = 20
# The QoS that a publisher uses for each of its topics. Order holds only within one QoS, so which retained message is
# the last one is certain only where there is one.
TOPICS = ((1,), (2,), (1, 2), (1, 2))
RETAINED_TOPICS = 2
BREATH_SECONDS = 0.02
HANG_UP_CHANCE = 0.01


@dataclass(slots=True)
class Outgoing:
    """Not acknowledged in full. `released`: its PUBREC has come, what goes out again is the PUBREL."""

    number: int
    sent: Sent
    payload: bytes
    released: bool = False


class Publisher(PersistentClient):
    """Sends from `produce` on until `stopping` is set; `settled` tells that all of it was acknowledged."""

    def __init__(self, address: tuple[str, int], index: int, version: int, ledger: Ledger, seed: int) -> None:
        super().__init__(address, b"publisher %d" % index, version, ledger, seed)
        self.index = index
        self.number = 0
        self.stopping = False
        # By packet id, in the order of sending: a dict keeps it.
        self.outgoing: dict[int, Outgoing] = {}
        self._ready = trio.Event()
        self._next_id = 0

    @property
    def settled(self) -> bool:
        return self.stopping and not self.outgoing

    async def produce(self) -> None:
        """A few messages at a time, now and then a lost connection."""
        while not self.stopping:
            for _ in range(self.random.randint(1, 8)):
                if self._ready.is_set() and len(self.outgoing) < min(WINDOW, self.receive_maximum):
                    place = self.random.randrange(len(TOPICS))
                    await self._publish(place, self.random.choice(TOPICS[place]))
            if self._ready.is_set() and self.random.random() < HANG_UP_CHANCE:
                await self.hang_up(politely=self.random.random() < 0.5)
            await trio.sleep(self.random.random() * BREATH_SECONDS)

    async def say_last(self) -> None:
        """One message more for each topic and QoS: once they have arrived, nothing is on its way before them."""
        await self._ready.wait()
        for place, qualities in enumerate(TOPICS):
            for qos in qualities:
                await self._publish(place, qos)

    async def between_connections(self) -> None:
        self._ready = trio.Event()
        await super().between_connections()

    async def connected(self, session_present: bool) -> None:
        """[MQTT-4.4.0-1]: PUBLISH with DUP and PUBREL, in their order."""
        if not session_present:
            self.outgoing.clear()
        for packet_id, outgoing in list(self.outgoing.items()):
            await self.send(self._encode(packet_id, outgoing, dup=True))
        self._ready.set()

    async def handle(self, packet: object) -> None:
        match packet:
            case Puback() | Pubrec() | Pubcomp() if packet.packet_id not in self.outgoing:
                self.fault(f"{packet!r} for nothing")
            case Puback() | Pubrec() if packet.reason_code >= ReasonCode.UNSPECIFIED_ERROR:
                self.ledger.refuse()
                del self.outgoing[packet.packet_id]
            case Pubrec():
                await self._release(packet.packet_id)
            case Puback() | Pubcomp():
                self._finish(packet.packet_id)
            case Disconnect():
                self.fault(f"the server said goodbye: {packet.reason_code!r}")
            case _:
                self.fault(f"unexpected {packet!r}")

    async def _publish(self, place: int, qos: int) -> None:
        self.number += 1
        sent = Sent(b"torture/%d/%d" % (self.index, place), qos, retain=place < RETAINED_TOPICS)
        payload = b"%d %d %b" % (self.index, self.number, b"." * self.random.randrange(200))
        self.ledger.send((self.index, self.number), sent)
        packet_id = self._take_id()
        self.outgoing[packet_id] = Outgoing(self.number, sent, payload)
        await self.send(self._encode(packet_id, self.outgoing[packet_id], dup=False))

    def _encode(self, packet_id: int, outgoing: Outgoing, dup: bool) -> bytes:
        if outgoing.released:
            return encoder.encode_pubrel(self.version, packet_id)
        sent = outgoing.sent
        return encoder.encode_publish(self.version, sent.topic, outgoing.payload, sent.qos, packet_id, sent.retain, dup)

    def _take_id(self) -> int:
        while True:
            self._next_id = self._next_id % 0xFFFF + 1
            if self._next_id not in self.outgoing:
                return self._next_id

    def _key(self, packet_id: int) -> tuple[int, int]:
        return self.index, self.outgoing[packet_id].number

    async def _release(self, packet_id: int) -> None:
        self.promised = True
        self.outgoing[packet_id].released = True
        self.ledger.acknowledge(self._key(packet_id))
        await self.send(encoder.encode_pubrel(self.version, packet_id))

    def _finish(self, packet_id: int) -> None:
        self.promised = True
        self.ledger.complete(self._key(packet_id))
        del self.outgoing[packet_id]
