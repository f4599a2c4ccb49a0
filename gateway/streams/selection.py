"""Selection: which messages of a stream a consumer wants, and how many of those are still to come (hot)."""

from bisect import bisect_left
from collections.abc import Callable

from gateway.runtime.turns import OwnTurn, Turns, in_order
from gateway.storage.streams.stream import Stream
from protocols.subjects import is_literal, is_subset, matches

MESSAGES_AT_ONCE = 4096
BYTES_AT_ONCE = 1 << 20
# Of so many subjects each is looked at without leaving the loop.
FEW_SUBJECTS = 4096
# Of so many subjects, none of them longer, it is remembered whether they are wanted.
REMEMBERED = 1024
LONGEST_REMEMBERED = 256


class Selection:
    """By subject; `wanted` is None where everything is. `subjects` are filters for what the stream has, none where that
    may be anything.
    """

    __slots__ = ("_known", "filters", "literals", "patterns", "wanted")

    def __init__(self, filters: list[bytes], subjects: list[bytes]) -> None:
        everything = bool(subjects) and all(any(is_subset(subject, one) for one in filters) for subject in subjects)
        self.filters = [] if everything else filters
        self.literals = frozenset(one for one in self.filters if is_literal(one))
        self.patterns = [one for one in self.filters if one not in self.literals]
        self.wanted: Callable[[bytes], bool] | None = self.wants if self.filters else None
        self._known: dict[bytes, bool] = {}

    def wants(self, subject: bytes) -> bool:
        if not self.filters or subject in self.literals:
            return True
        if not self.patterns:
            return False
        known = self._known.get(subject)
        if known is not None:
            return known
        wanted = False
        for pattern in self.patterns:
            if matches(pattern, subject):
                wanted = True
                break
        if len(subject) <= LONGEST_REMEMBERED:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[subject] = wanted
        return wanted

    def subjects(self, stream: Stream) -> list[bytes]:
        """Those that the stream has."""
        states = stream.subjects
        if states is None:
            return []
        if self.filters and not self.patterns:
            return [subject for subject in self.literals if subject in states]
        return [subject for subject in states if self.wants(subject)]

    async def subjects_in_turns(self, stream: Stream, turn: OwnTurn) -> list[bytes]:
        """The same of streams that may have very many."""
        if stream.subjects is None or not self.patterns:
            return self.subjects(stream)
        found: list[bytes] = []
        for subject in [*stream.subjects]:
            if self.wants(subject):
                found.append(subject)
            if turn.is_over():
                await turn.next()
        return found

    def count_by_subject(self, stream: Stream, first: int) -> int | None:
        """How many wanted messages there are from a sequence on; None where the places of some are not known."""
        count = 0
        for subject in self.subjects(stream):
            state = stream.subject(subject)
            if state is None or state.last < first:
                continue
            if state.first >= first:
                count += state.messages
            elif state.is_exact:
                count += len(state.places) - bisect_left(state.places, (first, 0))
            else:
                return None
        return count

    async def count(self, stream: Stream, first: int) -> int:
        """How many wanted messages there are from a sequence on."""
        if self.wanted is None:
            return stream.count_from(first)
        known = self.count_by_subject(stream, first)
        if known is not None:
            return known
        count = 0
        while first <= stream.committed:
            found, first = await stream.read(first, MESSAGES_AT_ONCE, BYTES_AT_ONCE, self.wanted)
            count += len(found)
        return count

    async def last_of_each(self, stream: Stream, turns: Turns) -> list[int]:
        """The sequences of the last message of each wanted subject."""
        found = []
        turn = OwnTurn(turns)
        for subject in await self.subjects_in_turns(stream, turn):
            state = stream.subject(subject)
            if turn.is_over():
                await turn.next()
            if state is None:
                continue
            if state.is_exact or stream.contents.gapless:
                found.append(state.last)
            else:  # Where the last one was deleted, another is, and it is not known which.
                last = await stream.last_of(subject)
                if last is not None:
                    found.append(last.sequence)
        return await in_order(found, turns)
