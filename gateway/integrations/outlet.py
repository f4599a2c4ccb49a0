"""Outlet: what every sink takes its messages from, be they published just now or kept in a stream.

A batch comes again until it is done, and batches come in order: what was handed out is done with only once the other
side has acknowledged it.
"""

from collections import deque

import trio

from gateway.runtime.drops import Drops
from gateway.storage.streams.stored_message import StoredMessage, total_size


class Batch:
    """Messages in the order in which they came, `size` bytes with their subjects and headers. `last` is the sequence up
    to which it covers what there was: in a stream others may follow its last message that are not wanted.
    """

    __slots__ = ("_outlet", "is_done", "last", "messages", "size")

    def __init__(self, outlet: "Outlet", messages: list[StoredMessage], size: int, last: int) -> None:
        self.messages = messages
        self.size = size
        self.last = last
        self.is_done = False
        self._outlet: Outlet | None = outlet

    def __len__(self) -> int:
        return len(self.messages)

    def done(self) -> None:
        """The other side has all of them. Where there are some in front that are not done, the place moves behind it
        once they are. Of no effect behind `Outlet.rewind`.
        """
        if self._outlet is not None and not self.is_done:
            self.is_done = True
            self._outlet.settle()

    def forget(self) -> None:
        """It is handed out anew."""
        self._outlet = None


class Outlet:
    """One task reads it. `drops` counts what is lost, `done_messages` what was acknowledged, both since the start;
    `fault` says why nothing comes, in a line, or is "".
    """

    def __init__(self, drops: Drops) -> None:
        self.drops = drops
        self.done_messages = 0
        self.fault = ""
        # Handed out, and not done, or behind one that is not.
        self.out: deque[Batch] = deque()
        # What is to become the next batch, and its size.
        self.held: list[StoredMessage] = []
        self._held_bytes = 0
        self._news = trio.Event()

    # What a source decides.

    async def take(self, max_messages: int, max_bytes: int) -> tuple[list[StoredMessage], int]:
        """The next messages, at least one where there is one, and the sequence up to which that is all; none at once
        where there is none.
        """
        raise NotImplementedError

    def move(self, batch: Batch) -> None:
        """A batch is done, and all in front of it."""
        raise NotImplementedError

    def take_back(self, batches: list[Batch], held: list[StoredMessage]) -> None:
        """Have what was taken come again, the oldest first, but for batches that are done."""
        raise NotImplementedError

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages are not done, and about how many bytes they have."""
        raise NotImplementedError

    def close(self) -> None:
        """Take nothing any more, and count what is lost by that."""
        raise NotImplementedError

    # What a sink calls.

    async def next_batch(self, max_messages: int, max_bytes: int, linger_seconds: float = 0.0) -> Batch:
        """Wait for messages: at most so many, and so many bytes (but for the last of them). Further batches may be
        asked for while others are not done. From the first message on it is waited so long for more, until it is full.
        """
        held = self.held
        last, deadline = 0, float("inf")
        while True:
            while len(held) < max_messages and self._held_bytes < max_bytes:
                found, last = await self.take(max_messages - len(held), max_bytes - self._held_bytes)
                if not found:
                    break
                held += found
                self._held_bytes += total_size(found)
            if held:
                is_full = len(held) >= max_messages or self._held_bytes >= max_bytes
                now = trio.current_time()
                deadline = min(deadline, now + linger_seconds)
                if is_full or now >= deadline:
                    await trio.lowlevel.checkpoint()
                    return self._hand_out(last)
            with trio.move_on_at(deadline):
                await self._news.wait()
            self._news = trio.Event()

    def _hand_out(self, last: int) -> Batch:
        batch = Batch(self, self.held[:], self._held_bytes, last)
        self.held.clear()
        self._held_bytes = 0
        self.out.append(batch)
        return batch

    def rewind(self) -> None:
        """What is not done comes again, from the first on; also what a reader held that was cancelled."""
        batches, held = [*self.out], self.held[:]
        self.start_anew()
        self.take_back(batches, held)
        self._news.set()

    def start_anew(self) -> None:
        """What was taken belongs to something that is not there any more."""
        for batch in self.out:
            batch.forget()
        self.out.clear()
        self.held.clear()
        self._held_bytes = 0

    def wake(self) -> None:
        """There may be more."""
        self._news.set()

    def settle(self) -> None:
        """Move on behind all that are done."""
        out = self.out
        while out and out[0].is_done:
            batch = out.popleft()
            self.done_messages += len(batch)
            self.move(batch)
