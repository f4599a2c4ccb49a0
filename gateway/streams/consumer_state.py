"""ConsumerState: how far a consumer has come: what was delivered, what is acknowledged, what is on its way (hot)."""

from bisect import bisect_left

import msgspec

FOREVER = float("inf")


class Pending:
    """A message that was delivered and is not acknowledged. `number` is that of its first delivery; `deadline` when it
    is to be delivered again, in trio's clock. `size` is 0 where subject and size are not known any more.
    """

    __slots__ = ("deadline", "number", "size", "subject")

    def __init__(self, number: int, deadline: float, subject: bytes, size: int) -> None:
        self.number = number
        self.deadline = deadline
        self.subject = subject
        self.size = size


class StoredState(msgspec.Struct, array_like=True):
    """As the disk has it: consumer and stream sequence of what was delivered last and of the floor, where to go on,
    pending messages (stream sequence, number) and how often those that came more than once were delivered.

    It is written with every commit, so very many of those that follow one another are one of the `runs` (first stream
    sequence, its number, how many) or of the `repeats` (first stream sequence, how often, how many).
    """

    delivered: tuple[int, int] = (0, 0)
    floor: tuple[int, int] = (0, 0)
    next: int = 1
    pending: list[tuple[int, int]] = msgspec.field(default_factory=list)
    deliveries: dict[int, int] = msgspec.field(default_factory=dict)
    only: list[int] = msgspec.field(default_factory=list)
    only_until: int = 0
    runs: list[tuple[int, int, int]] = msgspec.field(default_factory=list)
    repeats: list[tuple[int, int, int]] = msgspec.field(default_factory=list)


class ConsumerState:
    """`next` is where to look for new messages; `number` and `last` are those of the last delivery: the consumer's and
    the highest in the stream. `pending` is in the order of first deliveries, by stream sequence; `again` are those to
    be delivered once more, in order. With last_per_subject only the messages in `only` come up to `only_until`;
    `only_in_order` are the same.
    """

    __slots__ = (
        "_floor_is_old",
        "_floor_last",
        "_floor_number",
        "acknowledged_ns",
        "again",
        "delivered_ns",
        "deliveries",
        "last",
        "next",
        "number",
        "only",
        "only_in_order",
        "only_until",
        "pending",
    )

    def __init__(self, first: int) -> None:
        self.pending: dict[int, Pending] = {}
        # Of those that were delivered more than once.
        self.deliveries: dict[int, int] = {}
        self.again: dict[int, None] = {}
        self.choose([], 0)
        self.begin_with(first)

    def begin_with(self, first: int) -> None:
        """Nothing was delivered; a sequence is the next."""
        self.next = first
        self.number = self._floor_number = 0
        self.last = self._floor_last = first - 1
        # Something has gone from in front of what is pending, and nobody has asked since where the floor is now.
        self._floor_is_old = False
        self.delivered_ns = self.acknowledged_ns = 0
        self.pending.clear()
        self.deliveries.clear()
        self.again.clear()

    def choose(self, sequences: list[int], until: int) -> None:
        """Up to a sequence only these messages are to come, which are in order."""
        self.only, self.only_in_order, self.only_until = set(sequences), sequences, until

    def count_chosen(self) -> int:
        """How many of those are to come yet, and have not been deleted as far as is known here."""
        return len(self.only_in_order) - bisect_left(self.only_in_order, self.next)

    @property
    def delivered(self) -> tuple[int, int]:
        """Consumer and stream sequence of what was delivered last."""
        return self.number, self.last

    @property
    def floor(self) -> tuple[int, int]:
        """The same of the last delivery in front of which everything is acknowledged."""
        if self._floor_is_old:
            self._floor_is_old = False
            sequence, oldest = next(iter(self.pending.items()))
            self._floor_number = oldest.number - 1
            self._floor_last = max(sequence - 1, self._floor_last)
        return self._floor_number, self._floor_last

    def stored(self) -> StoredState:
        only = self.only_in_order[bisect_left(self.only_in_order, self.next) :]
        runs, repeats = self._pending_runs(), self._repeat_runs()
        return StoredState(self.delivered, self.floor, self.next, [], {}, only, self.only_until, runs, repeats)

    def _pending_runs(self) -> list[tuple[int, int, int]]:
        runs: list[tuple[int, int, int]] = []
        first = number = count = 0
        for sequence, pending in self.pending.items():
            if count and sequence == first + count and pending.number == number + count:
                count += 1
                continue
            if count:
                runs.append((first, number, count))
            first, number, count = sequence, pending.number, 1
        if count:
            runs.append((first, number, count))
        return runs

    def _repeat_runs(self) -> list[tuple[int, int, int]]:
        runs: list[tuple[int, int, int]] = []
        first = times = count = 0
        for sequence, delivered in self.deliveries.items():
            if count and sequence == first + count and delivered == times:
                count += 1
                continue
            if count:
                runs.append((first, times, count))
            first, times, count = sequence, delivered, 1
        if count:
            runs.append((first, times, count))
        return runs

    def load(self, stored: StoredState, deadline: float) -> None:
        """What is pending is delivered again at the deadline."""
        self.number, self.last = stored.delivered
        self._floor_number, self._floor_last = stored.floor
        self.next = stored.next
        self.pending = {sequence: Pending(number, deadline, b"", 0) for sequence, number in stored.pending}
        for first, number, count in stored.runs:
            for offset in range(count):
                self.pending[first + offset] = Pending(number + offset, deadline, b"", 0)
        self.deliveries = stored.deliveries
        for first, times, count in stored.repeats:
            self.deliveries.update((sequence, times) for sequence in range(first, first + count))
        self.choose(stored.only, stored.only_until)

    def deliver(self, sequence: int) -> None:
        """A message was delivered for the first time, and nobody acknowledges it."""
        self.number += 1
        self.last = max(self.last, sequence)
        self.next = sequence + 1
        self._floor_number, self._floor_last = self.number, self.last

    def expect(self, sequence: int, deadline: float, subject: bytes, size: int) -> None:
        """A message was delivered for the first time, and is to be acknowledged by then."""
        self.number += 1
        self.last = max(self.last, sequence)
        self.next = sequence + 1
        pending = Pending.__new__(Pending)
        pending.number = self.number
        pending.deadline = deadline
        pending.subject = subject
        pending.size = size
        self.pending[sequence] = pending

    def next_count(self, sequence: int) -> int:
        """The how many-th delivery of a message would be the next."""
        return self.deliveries.get(sequence, 1) + 1 if sequence in self.pending else 1

    def deliver_again(self, sequence: int, deadline: float, subject: bytes, size: int) -> None:
        """A pending message was delivered once more."""
        self.deliveries[sequence] = self.next_count(sequence)
        self.number += 1
        self.last = max(self.last, sequence)
        pending = self.pending[sequence]
        pending.deadline = deadline
        pending.subject = subject
        pending.size = size
        self.again.pop(sequence, None)

    def settle(self, sequence: int) -> Pending | None:
        """A message is acknowledged, or not to be delivered any more; None where it is not pending."""
        settled: Pending | None = self.pending.pop(sequence, None)
        if settled is None:
            return None
        if self.deliveries:
            self.deliveries.pop(sequence, None)
        if not self.pending:
            self._floor_is_old = False
            self._floor_number = self.number
            self._floor_last = max(self.next - 1, self._floor_last)
        elif settled.number == self._floor_number + 1:
            self._floor_is_old = True
        return settled

    def settle_through(self, sequence: int) -> list[tuple[int, Pending]]:
        """All up to a message are acknowledged; returns them."""
        settled: list[tuple[int, Pending]] = []
        for one, pending in self.pending.items():
            if one > sequence:
                break
            settled.append((one, pending))
        for one, _ in settled:
            self.settle(one)
        return settled

    def front(self, sequence: int, most: int) -> list[int]:
        """So many of the pending messages in front of a sequence."""
        found: list[int] = []
        for one in self.pending:
            if one >= sequence or len(found) >= most:
                break
            found.append(one)
        return found


class Sweep:
    """A look, some in a go, at all that was pending when it began: what is due, and when what is left will be first.
    Those that wait for another delivery already are left alone.
    """

    __slots__ = ("_now", "_position", "_sequences", "next_at")

    def __init__(self, state: ConsumerState, now: float) -> None:
        self.next_at = FOREVER
        self._now = now
        self._position = 0
        self._sequences: list[int] = list(state.pending)

    @property
    def is_over(self) -> bool:
        return self._position == len(self._sequences)

    def look(self, state: ConsumerState, most: int) -> list[int]:
        """Which of the next ones are due."""
        sequences, pending, again = self._sequences, state.pending, state.again
        found: list[int] = []
        stop = min(self._position + most, len(sequences))
        for position in range(self._position, stop):
            sequence = sequences[position]
            one: Pending | None = pending.get(sequence)
            if one is None or sequence in again:
                continue
            if one.deadline <= self._now:
                found.append(sequence)
            elif one.deadline < self.next_at:
                self.next_at = one.deadline
        self._position = stop
        return found
