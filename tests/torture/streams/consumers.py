"""Clients of pull and push consumers, which note what came, and what of it they acknowledged for good."""

import asyncio
import json

from tests.torture.streams.connection import Answer, Connection, LostError
from tests.torture.streams.ledger import StreamLedger
from tests.torture.streams.visitors import Visitor
from tests.torture.uplink.ledger import key_of

ACK, NAK = b"+ACK", b"-NAK"
BATCH = 40
EXPIRES_SECONDS = 0.5
# How long a connection may be silent before it is taken for lost; heartbeats are more frequent.
SILENCE_SECONDS = 5.0
END_OF_FETCH = (404, 408, 409, 503)


def sequence_in(reply: str) -> int:
    """The stream sequence in `$JS.ACK.stream.consumer.count.sequence.…`."""
    return int(reply.split(".")[5])


class PullWorker(Visitor):
    """Fetches, and does with each message one of these by chance: acknowledge and wait for the answer, acknowledge
    without one, refuse, forget. `settled`: the last fetch found nothing.
    """

    def __init__(self, name: str, consumer: str, ledger: StreamLedger, seed: int) -> None:
        super().__init__(name, seed)
        self._consumer = consumer
        self._ledger = ledger
        self._idle = False

    @property
    def settled(self) -> bool:
        return self._idle

    async def visit(self, connection: Connection) -> None:
        asked_at = self._ledger.tick()
        inbox = f"torture.{self.name}.{asked_at}"
        sid, queue = connection.subscribe(inbox)
        try:
            expires = int(EXPIRES_SECONDS * 1e9)
            asked = {"batch": self.random.randint(1, BATCH), "expires": expires}
            connection.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._ledger.name}.{self._consumer}", json_of(asked), inbox)
            count = 0
            while (answer := await connection.next(queue)).status not in END_OF_FETCH:
                self._idle = False
                await self._treat(connection, answer, asked_at)
                count += 1
                if count == asked["batch"]:
                    break
        finally:
            connection.forget(sid)
        self._idle = not count
        if answer.status == 503:
            await asyncio.sleep(EXPIRES_SECONDS)  # The stream is not there yet.

    async def _treat(self, connection: Connection, message: Answer, asked_at: int) -> None:
        sequence = sequence_in(message.reply)
        self._ledger.receive(self._consumer, sequence, asked_at, key_of(message.payload))
        chance = 1.0 if self.stopping else self.random.random()
        if chance < 0.02:
            return
        if chance < 0.04:
            connection.publish(message.reply, NAK)
        elif chance < 0.4:
            connection.publish(message.reply, ACK)
        else:
            answer = await connection.request(message.reply, ACK)
            if answer.status:
                raise LostError  # Nobody has heard it.
            self._ledger.confirm(self._consumer, sequence)


class PushReader(Visitor):
    """Is pushed to on a subject of its own, and acknowledges without waiting for an answer. `settled`: all that was
    promised has come.
    """

    def __init__(self, name: str, consumer: str, deliver: str, ledger: StreamLedger, seed: int) -> None:
        super().__init__(name, seed)
        self._consumer = consumer
        self._deliver = deliver
        self._ledger = ledger

    @property
    def settled(self) -> bool:
        return not self._ledger.not_received(self._consumer)

    async def visit(self, connection: Connection) -> None:
        _, queue = connection.subscribe(self._deliver)
        while True:
            message = await connection.next(queue, SILENCE_SECONDS)
            if not message.status:
                key = key_of(message.payload)
                self._ledger.receive(self._consumer, sequence_in(message.reply), self._ledger.tick(), key)
            if message.reply:
                connection.publish(message.reply, b"" if message.status else ACK)


def json_of(fields: dict[str, int]) -> bytes:
    return json.dumps(fields).encode()
