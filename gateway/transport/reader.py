"""Reader: one epoll for all sockets. It reads every one that is ready in place and flushes once a round, without a task
and without a switch to one for each of them. What took too long at once goes on here, one slice a round.

Who waits for the epoll is a driver's business: a task inside trio (`run_inside_trio`), or a loop of its own whose guest
trio is (gateway.transport.host_loop).
"""

import os
import select
from typing import Protocol

import trio

from gateway.dataplane.outbox import Outbox, Switch
from gateway.runtime.turns import TURN_SECONDS, Turns
from gateway.transport.busy_poll import BusyPoll

# A full read promises more: this many are taken before other connections have their turn, if they take no longer.
READS_IN_A_ROW = 2
LARGEST_READ = 1 << 19
# What a batch of this many bytes leads to is sent at once; what smaller ones lead to, at the end of the round.
FLUSH_FROM = 1 << 12
# A round with many small batches sends now and then, so that the first ones do not wait for the last.
FLUSH_EVERY = 32
# What went to more peers than these is sent at once, so that it is known whose batch it was.
FLUSH_TOUCHED = 64
# A publisher that outruns a receiver is held back for at most this long per batch: longer, and one stuck reader
# would stop everybody.
HOLD_SECONDS = 0.010
# What those who come and those who leave get of a round, all together.
PASSING_SECONDS = TURN_SECONDS / 2
# Whose batch took so long is served behind the others, for a turn together with all like it.
HEAVY_FROM_SECONDS = TURN_SECONDS / 4

READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT
# The peer has ended the stream, or the connection is broken.
LEAVING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
# A descriptor in which there is always something to read: watched while work waits. All readers share it.
ALWAYS_READY = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


class Readable(Protocol):
    """What stands behind a descriptor. Every method returns at once and raises nothing.

    `introduced`: it has said who it is, as far as that is asked. `heavy`: what it sent last took long.
    """

    introduced: bool
    heavy: bool

    def read_ready(self) -> int:
        """Take one batch of what is there; returns how many bytes it was."""

    def batch_done(self, size: int, begun: float, now: float) -> None:
        """What a batch of `size` bytes led to is done, and sent unless it was small; it took from `begun` to `now`."""

    def write_ready(self) -> None:
        """There is room again, while that is asked for."""

    def hold(self, congested: Outbox) -> None:
        """Its batches fill this outbox faster than the peer takes the bytes."""

    def pause(self) -> None:
        """What its last batch led to takes its time: read no more until `resume` was called as often."""

    def resume(self) -> None: ...


class Reader:
    """Descriptors and what stands behind them, and the work that was left for later turns."""

    def __init__(self, switch: Switch, turns: Turns) -> None:
        self._epoll = select.epoll()
        self._switch = switch
        self._turns = turns
        turns.signal = self._watch_work
        switch.leave = self._flush_later
        self._readables: dict[int, Readable] = {}
        # What of each is watched, where that is not reading alone.
        self._masks: dict[int, int] = {}
        self._busy = BusyPoll()
        # With whom to begin of the comers and leavers, and of those who send much: where a round was not enough for
        # all of them, the next one goes on behind. Otherwise they are served in the order in which they came.
        self._first_passing = 0
        self._first_heavy = 0
        # Batches since the last flush.
        self._small = 0
        # How often there was something to do.
        self.rounds = 0

    def close(self) -> None:
        self._epoll.close()

    def add(self, fileno: int, readable: Readable) -> None:
        """Read it from now on, until `remove`."""
        self._readables[fileno] = readable
        self._epoll.register(fileno, READ)

    def remove(self, fileno: int) -> None:
        """To be called before the descriptor is closed; one that is not there is left alone."""
        if self._readables.pop(fileno, None) is not None and self._masks.pop(fileno, READ):
            self._epoll.unregister(fileno)

    def watch_room(self, fileno: int, wanted: bool) -> None:
        mask = self._masks.get(fileno, READ)
        self._watch(fileno, mask | WRITE if wanted else mask & ~WRITE)

    def pause(self, fileno: int) -> None:
        """Read it no more until `resume`."""
        self._watch(fileno, self._masks.get(fileno, READ) & ~READ)

    def resume(self, fileno: int) -> None:
        self._watch(fileno, self._masks.get(fileno, READ) | READ)

    def _watch(self, fileno: int, mask: int) -> None:
        if fileno not in self._readables:
            return
        before = self._masks.get(fileno, READ)
        if mask == before:
            return
        if not mask:
            # A descriptor that nothing is asked of still tells that its peer is gone, again and again.
            self._epoll.unregister(fileno)
        elif not before:
            self._epoll.register(fileno, mask)
        else:
            self._epoll.modify(fileno, mask)
        if mask == READ:
            self._masks.pop(fileno, None)
        else:
            self._masks[fileno] = mask

    @property
    def is_busy(self) -> bool:
        """Whether the next batch is about to come, so that waiting for it awake is cheaper than sleeping."""
        return self._busy.is_awake(trio.current_time())

    def poll(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds (-1: without end) for what is ready and serve it; False when there was none."""
        ready = self._epoll.poll(timeout)
        if not ready:
            return False
        self.rounds += 1
        readables = self._readables
        switch = self._switch
        begun = trio.current_time()
        self._small = 0
        passing: list[Readable] = []
        heavy: list[Readable] = []
        for fileno, events in ready:
            readable = readables.get(fileno)
            if readable is None:  # It ended in this round, or is the sign that work waits.
                continue
            if events & WRITE:
                readable.write_ready()
            if events & LEAVING or not readable.introduced:
                passing.append(readable)
            elif events & READ:
                if readable.heavy:
                    heavy.append(readable)
                else:
                    begun = self._serve(readable, begun)
        if heavy:
            self._serve_heavy(heavy, begun)
        if passing:
            self._serve_passing(passing)
        switch.publisher = None
        self.flush()
        if self._turns:
            self._turns.take()
            self.flush()
            switch.publisher = None
        self._busy.batch(begun)
        return True

    def _serve(self, readable: Readable, begun: float) -> float:
        """Have it take what is there, as much as others can wait for; returns what time it is then."""
        switch = self._switch
        switch.publisher = readable
        turn_begun = begun
        for _ in range(READS_IN_A_ROW):
            size = readable.read_ready()
            if not size:
                break
            if size >= FLUSH_FROM or self._small >= FLUSH_EVERY or len(switch.touched) > FLUSH_TOUCHED:
                self.flush()
                self._small = 0
            else:
                self._small += 1
            now = trio.current_time()
            readable.batch_done(size, begun, now)
            begun = now
            if size < LARGEST_READ or now - turn_begun > TURN_SECONDS:
                break
        return begun

    def _serve_heavy(self, heavy: list[Readable], begun: float) -> None:
        """Serve those whose batches take long, together for about a turn: however many they are, the others do not
        wait for them all. Who is left is ready in the next round, too.
        """
        count = len(heavy)
        first, self._first_heavy = self._first_heavy % count, 0
        clock = self._turns.clock
        until = clock() + TURN_SECONDS
        for place in range(first, first + count):
            begun = self._serve(heavy[place % count], begun)
            if clock() > until and place + 1 < first + count:
                self._first_heavy = place + 1
                break

    def _serve_passing(self, passing: list[Readable]) -> None:
        """Serve those who come and those who leave, together for a part of a turn: hundreds may do so at once, and
        the others need not wait for them. Who is left is ready in the next round, too.
        """
        count = len(passing)
        first, self._first_passing = self._first_passing % count, 0
        clock = self._turns.clock
        until = clock() + PASSING_SECONDS
        begun = trio.current_time()
        for place in range(first, first + count):
            readable = passing[place % count]
            self._switch.publisher = readable
            introduced = readable.introduced
            size = readable.read_ready()
            if size >= FLUSH_FROM:
                self.flush()
            now = trio.current_time()
            if size:
                # What an introduction takes says nothing of what comes behind it.
                readable.batch_done(size, begun if introduced else now, now)
            begun = now
            if clock() > until and place + 1 < first + count:
                self._first_passing = place + 1
                break

    def flush(self) -> None:
        """Send what was appended, and hold back who fills outboxes faster than they empty."""
        switch = self._switch
        switch.flush()
        if switch.congested:
            congested, switch.congested = switch.congested, []
            for outbox in congested:
                publisher = outbox.publisher
                if publisher is not None:
                    publisher.hold(outbox)  # type: ignore[attr-defined]

    def _flush_later(self, touched: list[Outbox], start: int) -> None:
        """Go on with a large flush in turns to come; whose batch it was waits for its end."""
        switch = self._switch
        publisher: Readable | None = switch.publisher  # type: ignore[assignment]

        def flush() -> bool:
            nonlocal start
            start = switch.flush_some(touched, start)
            if start < len(touched):
                return True
            if publisher is not None:
                publisher.resume()
            return False

        if publisher is not None:
            publisher.pause()
        self._turns.add(flush)

    def _watch_work(self, waiting: bool) -> None:
        if waiting:
            self._epoll.register(ALWAYS_READY, READ)
        else:
            self._epoll.unregister(ALWAYS_READY)

    async def run_inside_trio(self) -> None:
        """Serve until cancelled, as one task of trio's; every other task gets its turn behind each round."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            while self.poll(0.0) or self.is_busy:
                await trio.lowlevel.checkpoint()
