"""NumberWriter: what all sinks for numbers do: batches of messages become a body, and the answer to it decides."""

import math
from collections.abc import Sequence
from typing import TypeVar

import trio

from gateway.accounts.account import Account
from gateway.integrations.http_client import Answer, HttpClient
from gateway.integrations.integration import Integration
from gateway.integrations.outlet import Batch
from gateway.integrations.site import IntegrationError, Site
from gateway.runtime.drops import example_of
from gateway.runtime.turns import OwnTurn
from gateway.settings.numbers import NumberSink
from protocols.numbers.readings import Reading, Readings

# Bodies are not made of more than about so many bytes of messages.
BATCH_BYTES = 4 << 20
# A body as long as this is compressed in a thread.
LONG_BODY = 1 << 16
# Of a batch of which the server takes nothing, in so many requests it is looked for what it is that it does not take.
MOST_HALVES = 64
# What is said that nothing heals but another configuration, and what a batch is to blame for itself.
WRONG = (401, 403, 404, 405, 407, 411, 415)
REFUSED = (400, 409, 413, 422)
LONGEST_WAIT = 300.0
NO_NUMBER = "there is no number in it"
REFUSED_WORDS = "the server does not take it: {}"
HINTS = {
    401: "user, password or token are wrong",
    403: "user, password or token are wrong, or may not write there",
    404: "the path of the URL is wrong, or what it names is not there",
    405: "the path of the URL is wrong",
    415: "the path of the URL is wrong, or it takes another form",
}
Item = TypeVar("Item")


class NumberWriter(Integration):
    """`config` says which numbers. A subclass makes items of them, and bodies of items."""

    config: NumberSink

    def __init__(self, site: Site, config: NumberSink) -> None:
        super().__init__(site, config)
        self._readings = Readings(config.fields, config.time_field)
        self._client = self.make_client()
        self._not_before = -math.inf

    # What a subclass decides.

    def make_client(self) -> HttpClient:
        raise NotImplementedError

    def begin_batch(self) -> None:
        """What follows is one batch."""

    def add(self, subject: bytes, readings: list[Reading], time_ns: int) -> None:
        """Numbers of a message, at least one."""
        raise NotImplementedError

    async def send_batch(self, turn: OwnTurn) -> None:
        """Have the server take what was added; or drop what it does not take. Raises IntegrationError."""
        raise NotImplementedError

    def encode_nothing(self) -> bytes:
        """A body by which the server shows that it is there and lets us in."""
        raise NotImplementedError

    # What is done then.

    def begin(self, account: Account) -> None:
        self.make_outlet(account)

    async def finish(self) -> None:
        await self._client.close()

    async def serve(self) -> None:
        outlet, config = self.outlet, self.config
        assert outlet is not None
        await trio.sleep_until(max(self._not_before, trio.current_time()))
        try:
            await self._greet()
            while True:
                batch = await outlet.next_batch(config.batch_max_messages, BATCH_BYTES, config.batch_max_seconds)
                await self._deliver(batch)
                batch.done()
        finally:
            await self._client.close()

    async def _greet(self) -> None:
        answer = await self._client.post(self.encode_nothing())
        if answer.status not in REFUSED:  # Nothing is not always taken.
            self.judge(answer)
        self.goes()

    async def _deliver(self, batch: Batch) -> None:
        turn = OwnTurn(self.site.runtime.turns)
        self.begin_batch()
        read, add = self._readings.read, self.add
        for _, stored_ns, subject, _, payload in batch.messages:
            readings, time_ns = read(payload)
            if readings:
                add(subject, readings, stored_ns if time_ns is None else time_ns)
            else:
                self.drops.count(NO_NUMBER, 1, example_of(subject))
            if turn.is_over():
                await turn.next()
        await self.send_batch(turn)

    def judge(self, answer: Answer) -> bool:
        """Whether the server has taken it, or is not to be asked again. Raises IntegrationError where it is to be."""
        status = answer.status
        if 200 <= status < 300:
            return True
        if status in REFUSED:
            return False
        words = f": {answer.words}" if answer.words else ""
        hint = f" ({HINTS[status]})" if status in HINTS else ""
        if status == 429 or status >= 500:
            if answer.retry_after is not None:
                self._not_before = trio.current_time() + min(answer.retry_after, LONGEST_WAIT)
            raise IntegrationError(f"{self.config.url} cannot take more now, {status}{words}")
        if 300 <= status < 400:
            hint = " (redirections are not followed: set the URL that is meant)"
        raise IntegrationError(
            f"{self.config.url} answers {status}{hint}{words}", lasting=status in WRONG or status < 400
        )

    async def send(self, body: bytes) -> Answer:
        return await self._client.post(body)

    def refuse(self, count: int, answer: Answer, example: str) -> None:
        """Count what the server does not take."""
        words = answer.words or f"it answers {answer.status}"
        self.drops.count(REFUSED_WORDS.format(f"{answer.status}"), count, f"{example}: {words}")


def halves(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    middle = len(items) // 2
    return items[:middle], items[middle:]
