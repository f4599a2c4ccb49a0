"""SubjectStates: how many messages a stream has of each subject, and where the first and the last of them are (hot)."""

from collections.abc import Iterator


class SubjectState:
    """`messages` counts. The first message is at or behind `first`, the last at or in front of `last`: where one of
    those was deleted, the place of the next is not looked for before somebody asks.

    Where the stream has a limit for each subject this `is_exact`: the `places` of all are known. `first_size` is the
    size of the first message then, and else 0. Most streams with such a limit keep one message of each subject, so
    nothing but numbers is held of that one: there may be a million.
    """

    __slots__ = ("first", "first_size", "last", "messages", "newer")

    def __init__(self, sequence: int, size: int) -> None:
        self.first = sequence
        self.first_size = size
        self.last = sequence
        self.messages = 1
        # Sequence and size of each behind the first; None where there was never one.
        self.newer: list[tuple[int, int]] | None = None

    @property
    def is_exact(self) -> bool:
        return self.first_size > 0

    @property
    def places(self) -> list[tuple[int, int]]:
        """Sequence and size of every message, in order; only where it `is_exact`."""
        return [(self.first, self.first_size), *(self.newer or ())]


class SubjectStates:
    """`exact`: so are those of the subjects, and all numbers are right once `prune` was called. Else messages in front
    of the stream's first one are counted until the chunk that holds them is dropped.
    """

    def __init__(self, exact: bool) -> None:
        self.exact = exact
        self._states: dict[bytes, SubjectState] = {}

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[bytes]:
        """The subjects; nothing may be added or removed meanwhile."""
        return iter(self._states)

    def __contains__(self, subject: object) -> bool:
        return subject in self._states

    def get(self, subject: bytes) -> SubjectState | None:
        return self._states.get(subject)

    def add(self, subject: bytes, sequence: int, size: int) -> None:
        """A further message, behind all others."""
        state = self._states.get(subject)
        if state is None:
            self._states[subject] = SubjectState(sequence, size if self.exact else 0)
            return
        if self.exact:
            if not state.messages:
                state.first = sequence
                state.first_size = size
            elif state.newer is None:
                state.newer = [(sequence, size)]
            else:
                state.newer.append((sequence, size))
        state.last = sequence
        state.messages += 1

    def merge(self, subject: bytes, first: int, last: int, messages: int) -> None:
        """So many further messages from one sequence to another, behind all others; where none has a place."""
        state = self._states.get(subject)
        if state is None:
            state = self._states[subject] = SubjectState(first, 0)
            state.messages = 0
        state.last = last
        state.messages += messages

    def remove(self, subject: bytes, sequence: int) -> None:
        """A message was deleted."""
        state = self._states.get(subject)
        if state is None:
            return
        if self.exact:
            self._settle(subject, state, [place for place in state.places if place[0] != sequence])
            return
        state.messages -= 1
        if state.messages <= 0:
            del self._states[subject]
        elif sequence == state.last:
            state.last -= 1
        elif sequence == state.first:
            state.first += 1

    def forget_oldest(self, state: SubjectState) -> None:
        """The first message of a subject was deleted, where each has a place. A state of which nothing is left is for
        the message that is added next.
        """
        state.messages -= 1
        if state.newer:
            state.first, state.first_size = state.newer.pop(0)

    def forget(self, subject: bytes, messages: int, first: int) -> None:
        """So many messages went with what was in front of the stream's `first`."""
        state = self._states.get(subject)
        if state is None:
            return
        if self.exact:
            self.prune(subject, first)
            return
        state.messages -= messages
        state.first = max(state.first, first)
        if state.messages <= 0 or state.last < first:
            del self._states[subject]

    def prune(self, subject: bytes, first: int) -> SubjectState | None:
        """Forget the places in front of a sequence, the stream's `first` or a later one; returns what is left."""
        state = self._states.get(subject)
        if state is not None and self.exact and state.first < first:
            self._settle(subject, state, [place for place in state.places if place[0] >= first])
            return self._states.get(subject)
        return state

    def clear(self) -> None:
        self._states.clear()

    def _settle(self, subject: bytes, state: SubjectState, places: list[tuple[int, int]]) -> None:
        """What is left of an exact state are these."""
        if not places:
            del self._states[subject]
            return
        state.messages = len(places)
        state.first, state.first_size = places[0]
        state.last = places[-1][0]
        state.newer = places[1:] or None
