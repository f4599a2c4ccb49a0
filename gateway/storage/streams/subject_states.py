"""SubjectStates: how many messages a stream has of each subject, and where the first and the last of them are (hot)."""

from collections.abc import Iterator


class SubjectState:
    """`messages` counts. The first message is at or behind `first`, the last at or in front of `last`: where one of
    those was deleted, the place of the next is not looked for before somebody asks.

    `places` are sequence and size of every message, in order, where the stream has a limit for each subject.
    """

    __slots__ = ("first", "last", "messages", "places")

    def __init__(self, sequence: int, places: list[tuple[int, int]] | None) -> None:
        self.first = sequence
        self.last = sequence
        self.messages = 1
        self.places = places


class SubjectStates:
    """`exact`: there are `places`, and all numbers are exact once `prune` was called. Else messages in front of the
    stream's first one are counted until the chunk that holds them is dropped.
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
            self._states[subject] = SubjectState(sequence, [(sequence, size)] if self.exact else None)
            return
        state.last = sequence
        state.messages += 1
        if state.places is not None:
            state.places.append((sequence, size))

    def merge(self, subject: bytes, first: int, last: int, messages: int) -> None:
        """So many further messages from one sequence to another, behind all others; where none has a place."""
        state = self._states.get(subject)
        if state is None:
            state = self._states[subject] = SubjectState(first, None)
            state.messages = 0
        state.last = last
        state.messages += messages

    def remove(self, subject: bytes, sequence: int) -> None:
        """A message was deleted."""
        state = self._states.get(subject)
        if state is None:
            return
        if state.places is not None:
            state.places = [place for place in state.places if place[0] != sequence]
            self._settle(subject, state)
            return
        state.messages -= 1
        if state.messages <= 0:
            del self._states[subject]
        elif sequence == state.last:
            state.last -= 1
        elif sequence == state.first:
            state.first += 1

    def forget_oldest(self, subject: bytes) -> SubjectState | None:
        """The first message of a subject was deleted, where each has a place; returns what is left."""
        state = self._states.get(subject)
        if state is None or state.places is None:
            return state
        del state.places[0]
        self._settle(subject, state)
        return state if state.places else None

    def forget(self, subject: bytes, messages: int, first: int) -> None:
        """So many messages went with what was in front of the stream's `first`."""
        state = self._states.get(subject)
        if state is None:
            return
        if state.places is not None:
            self.prune(subject, first)
            return
        state.messages -= messages
        state.first = max(state.first, first)
        if state.messages <= 0 or state.last < first:
            del self._states[subject]

    def prune(self, subject: bytes, first: int) -> SubjectState | None:
        """Forget the places in front of a sequence, the stream's `first` or a later one; returns what is left."""
        state = self._states.get(subject)
        if state is not None and state.places is not None and state.places[0][0] < first:
            state.places = [place for place in state.places if place[0] >= first]
            self._settle(subject, state)
        return self._states.get(subject)

    def clear(self) -> None:
        self._states.clear()

    def _settle(self, subject: bytes, state: SubjectState) -> None:
        if not state.places:
            del self._states[subject]
            return
        state.messages = len(state.places)
        state.first = state.places[0][0]
        state.last = state.places[-1][0]
