"""Verdicts: which subjects somebody may publish on, or is given messages on, each judged and then remembered (hot)."""

from collections.abc import Callable, Iterable
from typing import Any

from protocols.cache import GenerationCache

# Per object and generation, at first and at most: every user may have rules of its own, and few subjects. Of a longer
# subject the verdict is found each time.
FEWEST_REMEMBERED = 128
MOST_REMEMBERED = 4096
GROWTH = 8
LONGEST_REMEMBERED_SUBJECT = 256
# Reply subjects that one client may be about to answer, and their bytes.
MOST_REPLIES = 4096
MOST_REPLY_BYTES = 1 << 20

ONE = b"*"
REST = b">"
# Where a filter ends; no token is empty.
END = b""


class FilterSet:
    """Filters with wildcards, asked together: at most as many places are looked at in each level as there are filters.

    `filters` must be valid (`protocols.subjects.is_valid_filter`).
    """

    __slots__ = ("_literals", "_root")

    def __init__(self, filters: Iterable[bytes]) -> None:
        self._literals: set[bytes] = set()
        # What follows each token; a tree of dicts.
        self._root: dict[bytes, Any] = {}
        for one in filters:
            tokens = one.split(b".")
            if ONE not in tokens and tokens[-1] != REST:
                self._literals.add(one)
                continue
            node = self._root
            for token in tokens:
                node = node.setdefault(token, {})
            node[END] = True

    def __bool__(self) -> bool:
        return bool(self._literals or self._root)

    def matches(self, subject: bytes) -> bool:
        """Whether one of the filters matches a subject, whose tokens all stand for themselves. None matches one with an
        empty token.
        """
        return subject in self._literals or self._finds(subject, False)

    def covers(self, subject_filter: bytes) -> bool:
        """Whether one of the filters matches all that a valid filter matches."""
        return subject_filter in self._literals or self._finds(subject_filter, True)

    def _finds(self, subject: bytes, whole: bool) -> bool:
        """`whole`: a `>` in the subject stands for all that it can match."""
        nodes = [self._root]
        if not self._root:
            return False
        tokens = subject.split(b".")
        if END in tokens:
            return False
        for token in tokens:
            following: list[dict[bytes, Any]] = []
            for node in nodes:
                if REST in node:
                    return True
                if not (whole and token == REST):
                    child = node.get(token)
                    if child is not None:
                        following.append(child)
                    child = node.get(ONE)
                    if child is not None and token != ONE:
                        following.append(child)
            if not following:
                return False
            nodes = following
        for node in nodes:  # noqa: SIM110 - compiled, a generator would cost more than the rest
            if END in node:
                return True
        return False


class Verdicts:
    """Remembers what `judge` says of a subject: whether it is allowed."""

    __slots__ = ("_cache", "_judge", "_young")

    def __init__(self, judge: Callable[[bytes], bool]) -> None:
        self._judge = judge
        # Of somebody who never comes nothing needs to be remembered.
        self._cache: GenerationCache | None = None
        self._young: dict[bytes, bool] = {}

    def allow(self, subject: bytes) -> bool:
        known = self._young.get(subject)
        return self._find(subject) if known is None else known

    def _find(self, subject: bytes) -> bool:
        cache = self._cache
        if cache is None:
            cache = self._cache = GenerationCache(FEWEST_REMEMBERED)
            self._young = cache.young
        known: bool | None = cache.recall(subject)
        if known is not None:
            return known
        verdict = bool(self._judge(subject))
        if len(subject) <= LONGEST_REMEMBERED_SUBJECT and cache.is_familiar(subject):
            if len(self._young) + 1 >= cache.limit < MOST_REMEMBERED:
                cache = self._grow(cache)
            cache.remember(subject, verdict)
        return verdict

    def _grow(self, before: GenerationCache) -> GenerationCache:
        """More subjects come again than the cache holds: a larger one, with the same content."""
        cache = self._cache = GenerationCache(min(before.limit * GROWTH, MOST_REMEMBERED))
        for subject, verdict in before.young.items():
            cache.remember(subject, verdict)
        self._young = cache.young
        return cache


class Denied:
    """A message or burst whose publisher may not publish on its subject; it stands in its place among the events."""

    __slots__ = ("event",)

    def __init__(self, event: object) -> None:
        self.event = event


class ReplyRights:
    """What one client may publish beside its rules: answers to what it was sent, `most` (0: any number) to each reply
    subject, within `seconds` (0: for ever) after it was sent last. Of too many subjects the oldest are forgotten.
    """

    __slots__ = ("_bytes", "_clock", "_given", "_most", "_rules", "_seconds")

    def __init__(self, rules: Verdicts | None, most: int, seconds: float, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._most = most
        self._seconds = seconds
        self._clock = clock
        # How many answers there were, and until when there may be more; those that were sent last are the last.
        self._given: dict[bytes, tuple[int, float]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._given)

    def note(self, reply: bytes) -> None:
        """A message with this reply subject was sent to the client."""
        if self._rules is None or self._rules.allow(reply):
            return
        self._forget(reply)
        now = self._clock()
        self._given[reply] = (0, now + self._seconds if self._seconds else float("inf"))
        self._bytes += len(reply)
        while self._given:
            oldest = next(iter(self._given))
            full = len(self._given) > MOST_REPLIES or self._bytes > MOST_REPLY_BYTES
            if not full and self._given[oldest][1] > now:
                break
            self._forget(oldest)

    def use(self, subject: bytes) -> bool:
        """Whether the client may publish on a subject that its rules do not allow; that is one answer."""
        given = self._given.get(subject)
        if given is None:
            return False
        count, until = given
        if (self._most and count >= self._most) or self._clock() >= until:
            self._forget(subject)
            return False
        self._given[subject] = (count + 1, until)
        return True

    def _forget(self, reply: bytes) -> None:
        if self._given.pop(reply, None) is not None:
            self._bytes -= len(reply)
