"""Publishers of numbered messages with ids, which send again whatever was not answered."""

import asyncio
import json

from tests.torture.streams.connection import Answer, Connection
from tests.torture.streams.ledger import StreamLedger
from tests.torture.streams.visitors import Visitor
from tests.torture.uplink.ledger import payload_of

WINDOW = 24
BREATH_SECONDS = 0.1
LARGEST_PADDING = 400


class Publisher(Visitor):
    def __init__(self, name: str, subject: str, ledger: StreamLedger, seed: int) -> None:
        super().__init__(name, seed)
        self._subject = subject
        self._ledger = ledger
        self._number = 0
        # Numbers that are not answered.
        self._outstanding: list[int] = []

    @property
    def settled(self) -> bool:
        return self.stopping and not self._outstanding

    async def visit(self, connection: Connection) -> None:
        if not self.stopping:
            count = self.random.randint(1, WINDOW)
            self._outstanding += range(self._number, self._number + count)
            self._number += count
        # All of them end before it goes on: none is to be answered twice.
        asked = (self._publish(connection, number) for number in [*self._outstanding])
        for problem in await asyncio.gather(*asked, return_exceptions=True):
            if problem is not None:
                raise problem
        await asyncio.sleep(self.random.random() * BREATH_SECONDS)

    async def _publish(self, connection: Connection, number: int) -> None:
        key = self.name, number
        padding = number * 7 % LARGEST_PADDING
        answer = await connection.request(
            f"{self._subject}.{self.name}", payload_of(key, padding), Nats_Msg_Id=f"{self.name}-{number}"
        )
        told = told_by(answer)
        if told is None:
            return  # Nobody is there for the stream yet: it is sent again.
        if "seq" in told and "error" not in told:
            self._ledger.acknowledge(key, told["seq"])
        else:
            self._ledger.refused += 1
        self._outstanding.remove(number)


def told_by(answer: Answer) -> dict[str, int] | None:
    """What a stream says to a message; None where there is no stream."""
    if answer.status:
        return None
    found: dict[str, int] = json.loads(answer.payload)
    return found
