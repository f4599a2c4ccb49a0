"""Mappings of an account: what the subjects become that its clients publish on."""

import random
from collections.abc import Iterator, Mapping

from gateway.settings.security import Destination
from protocols.cache import GenerationCache
from protocols.subject_transform import SubjectTransform, numbered
from protocols.subjects import is_literal, matches

REMEMBERED_SUBJECTS = 4096
LONGEST_REMEMBERED_SUBJECT = 256
EVERYTHING = 100

Rules = Mapping[str, str | tuple[Destination, ...]]
Share = tuple[int, SubjectTransform]


class SubjectMapping:
    """Where one source leads. Of a hundred messages as many go to a transform as its share is above the one before."""

    __slots__ = ("_shares", "draws", "is_literal", "source")

    def __init__(self, source: bytes, destinations: tuple[Destination, ...]) -> None:
        """Raises ValueError."""
        self.source = source
        self.is_literal = is_literal(source)
        parts = list(weighted(source, destinations))
        parts.sort(key=lambda part: part[0])
        self._shares: list[Share] = []
        total = 0
        for weight, transform in parts:
            total += weight
            self._shares.append((total, transform))
        # Whether a message may go another way than the one before it.
        self.draws = self._shares[0][0] < EVERYTHING or not self._shares[0][1].steady

    def apply(self, subject: bytes) -> bytes | None:
        shares = self._shares
        if shares[0][0] == EVERYTHING:
            return shares[0][1].apply(subject)
        lot = random.randrange(EVERYTHING)
        for share, transform in shares:
            if lot < share:
                return transform.apply(subject)
        return None


def weighted(source: bytes, destinations: tuple[Destination, ...]) -> Iterator[Share]:
    """The weight of each transform. What is left of a hundred stays where it is; unless the source is a destination
    itself: then so many messages are to be lost.
    """
    named: set[str] = set()
    left = EVERYTHING
    for one in destinations:
        if one.to in named:
            raise ValueError(f"{one.to!r} is there twice")
        named.add(one.to)
        left -= one.weight
        if left < 0:
            raise ValueError("the weights are more than 100 in all")
        yield one.weight, SubjectTransform(source, one.to.encode(), draw=random.randrange)
    if left and source.decode() not in named:
        yield left, SubjectTransform(source, numbered(source))


class Mappings:
    """All mappings of an account (gateway.dataplane.router.Mapper): a literal source comes first, then their order
    counts. Raises ValueError, which begins with the source.
    """

    def __init__(self, rules: Rules) -> None:
        self._literals: dict[bytes, SubjectMapping] = {}
        self._others: list[SubjectMapping] = []
        # Subject to what it becomes, or to the mapping that draws lots.
        self._cache = GenerationCache(REMEMBERED_SUBJECTS, weigh=size_of)
        for source, wanted in rules.items():
            destinations = (Destination(to=wanted),) if isinstance(wanted, str) else wanted
            try:
                if not destinations:
                    raise ValueError("a destination is needed")
                mapping = SubjectMapping(source.encode(), destinations)
            except ValueError as error:
                raise ValueError(f"{source!r}: {error}") from None
            if mapping.is_literal:
                self._literals[mapping.source] = mapping
            else:
                self._others.append(mapping)

    def draws(self, subject: bytes) -> bool:
        return isinstance(self._result(subject), SubjectMapping)

    def destination(self, subject: bytes) -> bytes | None:
        result = self._result(subject)
        return result.apply(subject) if isinstance(result, SubjectMapping) else result

    def _result(self, subject: bytes) -> bytes | SubjectMapping:
        result: bytes | SubjectMapping | None = self._cache.young.get(subject)
        if result is None:
            result = self._cache.recall(subject)
        if result is None:
            result = self._find(subject)
            if len(subject) <= LONGEST_REMEMBERED_SUBJECT and self._cache.is_familiar(subject):
                self._cache.remember(subject, result)
        return result

    def _find(self, subject: bytes) -> bytes | SubjectMapping:
        mapping = self._literals.get(subject)
        if mapping is None:
            mapping = next((one for one in self._others if matches(one.source, subject)), None)
        if mapping is None:
            return subject
        return mapping if mapping.draws else mapping.apply(subject) or subject


def size_of(result: bytes | SubjectMapping) -> int:
    return len(result) if isinstance(result, bytes) else 0
