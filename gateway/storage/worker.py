"""Worker: a thread that does jobs, one at a time, and has the loop told of each that is over."""

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeAlias, TypeVar

# While a job is done, how long the loop may keep the interpreter's lock to itself, and then leaves it free.
HOLD_SECONDS = 0.001
GIVE_WAY_SECONDS = 0.0001

Wake: TypeAlias = Callable[[Callable[[], None]], None]


class Job(Protocol):
    """`run` runs in the thread and never raises."""

    def run(self) -> None: ...


JobKind = TypeVar("JobKind", bound=Job)
# What the thread is told: a job to do or how long to pause, and the call to make then. None ends it.
Order: TypeAlias = tuple[JobKind | None, float, Callable[[], None]] | None


class Worker(Generic[JobKind]):
    """Jobs that are over are in `finished` when their call is made, in the order in which they were given.

    `wake` has a call made in the loop's thread soon and may be called by any thread.
    """

    def __init__(self, wake: Wake, name: str) -> None:
        self.wake = wake
        self.finished: deque[JobKind] = deque()
        self._orders: SimpleQueue[Order[JobKind]] = SimpleQueue()
        # Until when a busy loop keeps the interpreter's lock; 0.0 while nothing is done.
        self._held_until = 0.0
        # What to call where nothing is ordered for so many seconds behind a job.
        self._idle: tuple[float, Callable[[], None]] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, job: JobKind, over: Callable[[], None]) -> None:
        """Do a job, and have `over` called in the loop's thread."""
        self._held_until = time.monotonic() + HOLD_SECONDS
        self._orders.put((job, 0.0, over))

    def pause(self, seconds: float, over: Callable[[], None]) -> None:
        """Have `over` called in the loop's thread after so many seconds, unless something else is ordered before."""
        self._orders.put((None, seconds, over))

    def when_idle(self, seconds: float, call: Callable[[], None]) -> None:
        """Have a call made in the loop's thread once behind each job where nothing is ordered for so many seconds then:
        it takes no order, for which the thread would be woken each time.
        """
        self._idle = (seconds, call)

    def give_way(self) -> None:
        """Let the thread have the interpreter's lock at short intervals; to be called in each round of a loop.

        A busy loop lets go of the lock at every system call, but only for microseconds, and each time the waiting
        thread begins its wait anew: it was seen to wait for seconds.
        """
        if self._held_until and time.monotonic() > self._held_until:
            time.sleep(GIVE_WAY_SECONDS)
            self._held_until = time.monotonic() + HOLD_SECONDS

    def rest(self) -> None:
        """Nothing is to be done for now, and nothing to give way to."""
        self._held_until = 0.0

    def end(self, seconds: float) -> bool:
        """End the thread, behind what it does now; False when that takes longer."""
        self._orders.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        order = self._orders.get()
        while order is not None:
            job, seconds, over = order
            if job is not None:
                job.run()
                self.finished.append(job)
            else:
                try:
                    order = self._orders.get(timeout=seconds)
                except Empty:
                    pass
                else:
                    continue  # What is ordered during a pause takes its place.
            try:
                self.wake(over)
                order = self._next(job is not None)
            except RuntimeError:
                return  # The loop has ended without a word.

    def _next(self, behind_job: bool) -> Order[JobKind]:
        """The next order. Raises RuntimeError where the loop has ended."""
        if behind_job and self._idle is not None:
            seconds, call = self._idle
            try:
                return self._orders.get(timeout=seconds)
            except Empty:
                self.wake(call)
        return self._orders.get()
