"""Visitors: clients of a gateway that come again whenever they lose it, all in one thread."""

import asyncio
import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from tests.torture.streams.connection import Connection, LostError

RETRY_SECONDS = 0.05
STOP_SECONDS = 30.0


class Visitor:
    """`settled`: it has stopped as it was told, and nothing of it is open."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.random = random.Random(seed)
        self.stopping = False
        self.connection: Connection | None = None

    @property
    def settled(self) -> bool:
        raise NotImplementedError

    async def visit(self, connection: Connection) -> None:
        """Do some of what it does; it is called again and again. Raises LostError."""
        raise NotImplementedError


class Crowd:
    """Runs visitors in a thread until it is closed. What goes wrong inside them is in `faults`."""

    def __init__(self, address: tuple[str, int], visitors: Sequence[Visitor]) -> None:
        self.faults: list[str] = []
        self._address = address
        self._visitors = visitors
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._thread.join(STOP_SECONDS)

    def stop(self, visitor: Visitor) -> None:
        """Have it begin nothing new."""
        visitor.stopping = True

    def cut(self, chance: random.Random) -> bool:
        """Break off a connection with whatever is under way on it; False where there is none."""
        done: Future[bool] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(self._cut(chance)))
        return done.result(STOP_SECONDS)

    def _cut(self, chance: random.Random) -> bool:
        there = [one.connection for one in self._visitors if one.connection is not None]
        if there:
            chance.choice(there).abort()
        return bool(there)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run_all())
        self._loop.close()

    async def _run_all(self) -> None:
        await asyncio.gather(*(self._keep(one) for one in self._visitors))

    async def _keep(self, visitor: Visitor) -> None:
        while not self._closing:
            try:
                connection = visitor.connection = await Connection.open(self._address)
            except LostError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                while not self._closing:
                    await visitor.visit(connection)
            except LostError:
                await asyncio.sleep(visitor.random.random() * RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 -- a fault of the harness, which is told at the end
                self.faults.append(f"{visitor.name}: {error!r}")
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                visitor.connection = None
                connection.close()
