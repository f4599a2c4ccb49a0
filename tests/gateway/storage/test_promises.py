"""Whatever changes, failures and pauses come in whatever order: each promise is kept, in order, and never early."""

import sqlite3
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from gateway.mqtt.answers import Answers
from gateway.storage.database import Database
from gateway.storage.joint_durability import Companion, JointDurability
from gateway.storage.queue_pages import PageRequest
from gateway.storage.storage import Storage
from gateway.storage.streams.changes import Changes
from gateway.storage.streams.commits import Commits
from protocols.message import Message, make_message

CLIENTS = st.integers(0, 1)
# More than any way to quiet takes.
MANY = 10_000


class SteppedWorker:
    """A Worker whose thread takes one step when it is told to, and whose jobs touch no disk."""

    def __init__(self, wake: Callable[[Callable[[], None]], None], name: str) -> None:
        self.wake = wake
        self.finished: deque[Any] = deque()
        self._orders: deque[tuple[Any, Callable[[], None]]] = deque()
        self._order: tuple[Any, Callable[[], None]] | None = None
        self._idle: Callable[[], None] | None = None
        self._was_busy = False
        self.done: Callable[[Any], None] = lambda job: None

    def do(self, job: Any, over: Callable[[], None]) -> None:
        self._orders.append((job, over))

    def pause(self, seconds: float, over: Callable[[], None]) -> None:
        self._orders.append((None, over))

    def when_idle(self, seconds: float, call: Callable[[], None]) -> None:
        self._idle = call

    def rest(self) -> None:
        """It has no lock to give away."""

    def end(self, seconds: float) -> bool:
        return True

    def step(self, fails: bool = False) -> bool:
        """Take up an order, or end one: a pause by its time, a job by doing it; behind a job that nothing follows, tell
        that it is idle. False where there is none of that.
        """
        if self._order is None and not self._orders and self._was_busy and self._idle is not None:
            self._was_busy = False
            self.wake(self._idle)
            return True
        if self._order is None or (self._order[0] is None and self._orders):
            self._order = self._orders.popleft() if self._orders else None
            return self._order is not None
        (job, over), self._order = self._order, None
        self._was_busy = job is not None
        if job is not None:
            job.error = sqlite3.OperationalError("the disk does not answer") if fails else None
            job.written = not fails
            if not fails:
                self.done(job)
            self.finished.append(job)
        self.wake(over)
        return True


class Source:
    """Numbers that a stream would write."""

    def __init__(self, written: set[int]) -> None:
        self.new: list[int] = []
        self._collected: list[int] = []
        self._written = written

    def collect(self, changes: Changes) -> None:
        self._collected, self.new = self.new, []

    def settle(self, changes: Changes) -> None:
        self._written.update(self._collected)


class StreamsBeside(Companion):
    def __init__(self, commits: Commits) -> None:
        self.mark, self.awaited, self.when_durable = commits.mark, commits.awaited, commits.when_durable  # type: ignore[method-assign]

    def refuses(self, message: Message, before: int) -> bool:
        return False


class Promises(RuleBasedStateMachine):
    """Two stores behind one durability; two clients that are answered."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name)
        self.storage = Storage(path, 100_000, 100 << 20)
        self.journal = self.storage.journal
        self.commits = Commits(Database(path / "streams"))
        self.calls: deque[Callable[[], None]] = deque()
        # Changes by their numbers, and those that the disk has or need never be there.
        self.noted = self.answered = 0
        self.written: set[int] = set()
        self.source = Source(self.written)
        self.queued: dict[int, Message] = {}
        with (
            patch("gateway.storage.journal.Worker", SteppedWorker),
            patch("gateway.storage.streams.commits.Worker", SteppedWorker),
        ):
            self.journal.start(self.calls.append, self.flush)
            self.commits.start(self.calls.append, self.flush)
        self.workers: list[Any] = [self.journal._thread, self.commits._thread]
        self.workers[0].done = self.committed
        self.durability = JointDurability(self.journal)
        self.durability.companion = StreamsBeside(self.commits)
        self.answers = [Answers(self.durability, lambda data, to=to: self.sent(to, data)) for to in range(2)]  # type: ignore[misc]
        # To each client: the answer, and up to which number the changes are that it promises.
        self.owed: list[list[tuple[bytes, int]]] = [[], []]
        self.broken: list[bytes] = []
        self.pages = self.attempts = 0

    def flush(self) -> None:
        pass

    def committed(self, attempt: Any) -> None:
        batch = attempt.batch
        self.written.update(int(key[1]) for key in batch.retained.added)
        self.written.update(sequence for _, sequence in batch.queue.added)
        attempt.pages = [[] for _ in attempt.requests]

    def sent(self, to: int, data: bytes) -> None:
        while data:
            packet, noted = self.owed[to].pop(0)
            # The stores go on behind what a call raises.
            if not data.startswith(packet) or not self.written.issuperset(range(1, noted + 1)):
                self.broken.append(packet)
            data = data[len(packet) :]

    @rule(client=CLIENTS, kinds=st.lists(st.sampled_from(("retained", "queued", "stream", "nothing")), max_size=3))
    def publish(self, client: int, kinds: list[str]) -> None:
        mark = self.durability.mark()
        for kind in kinds:
            if kind == "nothing":
                continue
            self.noted += 1
            if kind == "retained":
                assert self.storage.global_account.retained.keep(make_message(b"%d" % self.noted, b"x"))
            elif kind == "queued":
                self.queued[self.noted] = make_message(b"q", b"x")
                assert self.storage.global_account.mqtt_sessions.enqueue(1, self.noted, self.queued[self.noted], 1)
            else:
                self.source.new.append(self.noted)
                self.commits.note(self.source, self.noted % 2 == 0)
        noted = self.noted if self.durability.mark() != mark else 0
        self.answered += 1
        packet = b"<%d>" % self.answered
        self.owed[client].append((packet, noted))
        self.answers[client].give(packet, mark)

    @rule(again=st.booleans())
    def acknowledge(self, again: bool) -> None:
        """A client has what was queued for it."""
        while self.queued:
            sequence, message = self.queued.popitem()
            self.storage.global_account.mqtt_sessions.dequeue(1, sequence, message)
            self.written.add(sequence)
            if not again:
                return

    @rule()
    def read(self) -> None:
        def read(page: object) -> None:
            self.pages -= 1

        self.pages += 1
        self.journal.ask(PageRequest(1, 0, 10, 1000, read))

    @rule()
    def attempt(self) -> None:
        def attempted() -> None:
            self.attempts -= 1

        self.attempts += 2
        self.journal.when_attempted(attempted)
        self.commits.when_attempted(attempted)

    @rule(worker=st.integers(0, 1), steps=st.integers(1, 4), fails=st.sampled_from((False, False, False, True)))
    def thread(self, worker: int, steps: int, fails: bool) -> None:
        for _ in range(steps):
            self.workers[worker].step(fails)

    @rule(calls=st.integers(1, 3))
    def loop(self, calls: int) -> None:
        for _ in range(min(calls, len(self.calls))):
            self.calls.popleft()()
        assert self.broken == []

    def teardown(self) -> None:
        for _ in range(MANY):
            if self.calls:
                self.calls.popleft()()
            elif not any(worker.step() for worker in self.workers):
                break
        assert self.broken == []
        assert self.owed == [[], []]
        assert (self.pages, self.attempts) == (0, 0)
        self.storage.close()
        self.commits.stop()
        self.commits.database.close()
        self.directory.cleanup()


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
