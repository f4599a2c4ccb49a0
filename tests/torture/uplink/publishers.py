"""Publishers of numbered messages by MQTT and NATS, which note what was acknowledged.

Who sends a message again after its connection was lost may do so only where that is no second message: by QoS 2, and by
NATS with an id. A message by QoS 1 without its PUBACK is left alone: nobody knows whether it was taken.
"""

import asyncio
import json
import random
import threading
from typing import Any

import nats
import trio
from nats.errors import Error as NatsError

from protocols.mqtt import encoder
from protocols.mqtt.packets import Disconnect, Puback, Pubcomp, Pubrec
from protocols.mqtt.reason_codes import ReasonCode
from tests.torture.persistent_client import PersistentClient
from tests.torture.uplink.ledger import UplinkLedger, payload_of

SUBJECT = "torture"
WINDOW = 30
BREATH_SECONDS = 0.03
LARGEST_PADDING = 300
RETRY_SECONDS = 0.05
ANSWER_SECONDS = 10.0
# A gateway whose disk takes nothing refuses sessions that are to last; their owners come again.
TRY_AGAIN = frozenset((ReasonCode.QUOTA_EXCEEDED, ReasonCode.SERVER_UNAVAILABLE, ReasonCode.SERVER_BUSY))


class MqttPublisher(PersistentClient):
    """MQTT 5 with a persistent session. `settled`: it has stopped, and everything is answered."""

    ledger: UplinkLedger

    def __init__(self, address: tuple[str, int], name: str, qos: int, ledger: UplinkLedger, seed: int) -> None:
        super().__init__(address, name.encode(), 5, ledger, seed)  # type: ignore[arg-type]
        self.name = name
        self.stopping = False
        self._qos = qos
        self._number = 0
        # By packet id, in the order of sending: its number, and whether its PUBREC has come.
        self._outgoing: dict[int, tuple[int, bool]] = {}
        self._ready = False
        self._next_id = 0

    @property
    def settled(self) -> bool:
        return self.stopping and not self._outgoing

    async def produce(self) -> None:
        while not self.stopping:
            for _ in range(self.random.randint(1, 8)):
                if self._ready and not self.stopping and len(self._outgoing) < min(WINDOW, self.receive_maximum):
                    await self._publish()
            await trio.sleep(self.random.random() * BREATH_SECONDS)

    async def between_connections(self) -> None:
        self._ready = False
        await super().between_connections()

    async def connected(self, session_present: bool) -> None:
        if self._qos == 1 or not session_present:
            self._outgoing.clear()
        for packet_id, (number, released) in list(self._outgoing.items()):
            await self.send(self._encode(packet_id, number, released, dup=True))
        self._ready = True

    async def handle(self, packet: object) -> None:
        match packet:
            case Puback() | Pubrec() | Pubcomp() if packet.packet_id not in self._outgoing:
                if self._qos == 2:
                    self.fault(f"{packet!r} for nothing")
            case Puback() | Pubrec() if packet.reason_code >= ReasonCode.UNSPECIFIED_ERROR:
                self.ledger.refuse((self.name, self._outgoing.pop(packet.packet_id)[0]))
            case Puback() | Pubrec():
                self.promised = True
                number = self._outgoing[packet.packet_id][0]
                self.ledger.acknowledge((self.name, number))
                if isinstance(packet, Puback):
                    del self._outgoing[packet.packet_id]
                else:
                    self._outgoing[packet.packet_id] = (number, True)
                    await self.send(encoder.encode_pubrel(self.version, packet.packet_id))
            case Pubcomp():
                del self._outgoing[packet.packet_id]
            case Disconnect():
                pass  # Of a disk that takes nothing; the connection ends with it.
            case _:
                self.fault(f"unexpected {packet!r}")

    def is_tolerable(self, reason_code: int) -> bool:
        return reason_code in TRY_AGAIN

    async def _publish(self) -> None:
        number, self._number = self._number, self._number + 1
        self.ledger.send((self.name, number))
        packet_id = self._take_id()
        self._outgoing[packet_id] = (number, False)
        await self.send(self._encode(packet_id, number, False, dup=False))

    def _encode(self, packet_id: int, number: int, released: bool, dup: bool) -> bytes:
        if released:
            return encoder.encode_pubrel(self.version, packet_id)
        topic = f"{SUBJECT}/{self.name}".encode()
        # The same each time that it is sent.
        payload = payload_of((self.name, number), number * 7 % LARGEST_PADDING)
        return encoder.encode_publish(self.version, topic, payload, self._qos, packet_id, False, dup)

    def _take_id(self) -> int:
        while True:
            self._next_id = self._next_id % 0xFFFF + 1
            if self._next_id not in self._outgoing:
                return self._next_id


class NatsPublisher:
    """nats-py in a thread of its own: requests to `$LEAFGATE.publish.>` with ids, many under way, until `stop`."""

    def __init__(self, url: str, name: str, ledger: UplinkLedger, seed: int) -> None:
        self.name = name
        self._url = url
        self._ledger = ledger
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._ending = threading.Event()
        self._number = 0
        # Numbers that are not answered, in order.
        self._outstanding: list[int] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    @property
    def settled(self) -> bool:
        return not self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Publish nothing new, and end once everything is answered."""
        self._stopping.set()

    def close(self) -> None:
        """End whatever is not answered."""
        self._ending.set()
        self._thread.join(2 * ANSWER_SECONDS)

    async def _run(self) -> None:
        while not self._ending.is_set() and (self._outstanding or not self._stopping.is_set()):
            connection = None
            try:
                connection = await nats.connect(
                    self._url, allow_reconnect=False, error_cb=ignore_error, connect_timeout=ANSWER_SECONDS
                )
                while not self._ending.is_set() and (self._outstanding or not self._stopping.is_set()):
                    await self._publish(connection)
            except (OSError, NatsError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                if connection is not None:
                    try:
                        await connection.close()
                    except (OSError, NatsError):
                        pass

    async def _publish(self, connection: Any) -> None:
        """A window of messages, those first that were not answered. Raises what the connection raises."""
        if not self._stopping.is_set():
            for _ in range(self._random.randint(1, WINDOW)):
                self._ledger.send((self.name, self._number))
                self._outstanding.append(self._number)
                self._number += 1
        await asyncio.gather(*(self._ask(connection, number) for number in list(self._outstanding)))
        await asyncio.sleep(self._random.random() * BREATH_SECONDS)

    async def _ask(self, connection: Any, number: int) -> None:
        key = self.name, number
        answer = await connection.request(
            f"$LEAFGATE.publish.{SUBJECT}.{self.name}",
            payload_of(key, number * 7 % LARGEST_PADDING),
            ANSWER_SECONDS,
            headers={"Nats-Msg-Id": f"{self.name}-{number}"},
        )
        if "seq" in json.loads(answer.data):
            self._ledger.acknowledge(key)
        else:
            self._ledger.refuse(key)
        self._outstanding.remove(number)


class Stranger:
    """Somebody else who feeds the hub's stream, on a subject of his own, from a thread: until `close`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(2 * ANSWER_SECONDS)

    async def _run(self) -> None:
        while not self._ending.is_set():
            try:
                connection = await nats.connect(self._url, allow_reconnect=False, error_cb=ignore_error)
                while not (self._ending.is_set() or connection.is_closed):
                    await connection.publish(f"{SUBJECT}.stranger", b"- 0")
                    await asyncio.sleep(BREATH_SECONDS)
                await connection.close()
            except (OSError, NatsError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)


async def ignore_error(error: Exception) -> None:
    """nats-py would print a traceback for each connection that is broken on purpose."""
