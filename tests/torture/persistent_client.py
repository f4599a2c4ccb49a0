"""An MQTT client with a persistent session that reconnects for ever, on our own encoder and decoder.

Its state is exact and outlives connections: publisher.py and subscriber.py add the two halves of it.
"""

import random

import trio

from protocols.errors import PeerViolation
from protocols.mqtt import encoder
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.packets import Connack, Connect
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from tests.torture.ledger import Ledger

READ = 1 << 16
MAX_PACKET = 1 << 20
RETRY_SECONDS = 0.02
SESSION_SECONDS = 86_400
# Longer than a start of the gateway takes; a client that is not heard for so long is a fault.
PATIENCE_SECONDS = 30.0


class PersistentClient:
    """`promised` is set once the server has acknowledged something: from then on it must know the session."""

    def __init__(self, address: tuple[str, int], client_id: bytes, version: int, ledger: Ledger, seed: int) -> None:
        self.client_id = client_id
        self.version = version
        self.ledger = ledger
        self.random = random.Random(seed)
        self.promised = False
        self.connections = 0
        self.receive_maximum = 0xFFFF
        self._address = address
        self._stream: trio.SocketStream | None = None
        self._sending = trio.Lock()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                with trio.move_on_after(PATIENCE_SECONDS):
                    self._stream = await trio.open_tcp_stream(*self._address)
                await self._converse(self._stream)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # The server was killed, or this client hung up.
            self._stream = None
            await self.between_connections()

    async def between_connections(self) -> None:
        await trio.sleep(RETRY_SECONDS)

    async def connected(self, session_present: bool) -> None:
        """The CONNACK has come: take the session up again, or discard what was kept for it [MQTT-3.2.2-5]."""

    async def handle(self, packet: object) -> None:
        """One packet after the CONNACK."""

    def is_tolerable(self, reason_code: int) -> bool:
        """Whether a CONNACK may refuse it so, and it comes again."""
        return False

    async def send(self, data: bytes) -> None:
        """Send when there is a connection; what is lost with it is sent again by `connected`, on the next one."""
        stream = self._stream
        async with self._sending:
            if stream is not None and stream is self._stream:
                try:
                    await stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass  # The reader sees it too, and connects again.

    async def hang_up(self, politely: bool) -> None:
        if politely:
            await self.send(encoder.encode_disconnect(self.version))
        if self._stream is not None:
            await self._stream.aclose()

    def fault(self, sentence: str) -> None:
        self.ledger.faults.append(f"{self.client_id.decode()}: {sentence}")

    async def _converse(self, stream: trio.SocketStream | None) -> None:
        if stream is None:
            self.fault("could not connect")
            return
        async with stream:
            decoder = ClientDecoder(MAX_PACKET, self.version)
            properties = Properties(session_expiry_interval=SESSION_SECONDS) if self.version == MQTT_5_0 else None
            connect = Connect(self.version, self.client_id, clean_start=False, properties=properties)
            async with self._sending:
                await stream.send_all(encoder.encode_connect(connect))
            while data := await stream.receive_some(READ):
                for packet in decoder.receive(data):
                    if isinstance(packet, PeerViolation):
                        self.fault(f"the server broke a rule: {packet.detail}")
                        return
                    if isinstance(packet, Connack):
                        await self._greeted(packet)
                    else:
                        await self.handle(packet)

    async def _greeted(self, connack: Connack) -> None:
        if connack.reason_code:
            if not self.is_tolerable(connack.reason_code):
                self.fault(f"was refused: {connack.reason_code!r}")
            return
        self.connections += 1
        if connack.properties is not None:
            self.receive_maximum = connack.properties.receive_maximum or 0xFFFF
        if self.promised and not connack.session_present:
            self.fault("its session is gone")
        await self.connected(connack.session_present)
