"""OrderedSubjects: a set of subjects in the order of their bytes, which answers filters without looking at each.

In that order everything below a prefix of tokens lies together, so whatever cannot match is jumped over. And a walk
needs to remember nothing but where it is: it goes on whatever has changed meanwhile.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

# Subjects lie in rows of half to twice this size: putting one in moves the rest of its row.
ROW = 512
# A walk copies so many at once. What is taken out meanwhile may still be among them.
STRIDE = 256
PAUSE = 256
# The character behind `.`: the end of everything below a prefix.
BEHIND_DOT = b"/"


class OrderedSubjects:
    """`add` wants a subject that is not there, `remove` one that is."""

    def __init__(self) -> None:
        self._rows: list[list[bytes]] = [[]]
        self._lasts: list[bytes] = [b""]  # The last of each row, that row's place in the order.

    def fill(self, subjects: list[bytes]) -> None:
        """Begin anew with subjects that are in order already."""
        self._rows = [subjects[at : at + ROW] for at in range(0, len(subjects), ROW)] or [[]]
        self._lasts = [row[-1] if row else b"" for row in self._rows]

    def add(self, subject: bytes) -> None:
        at = min(bisect_left(self._lasts, subject), len(self._rows) - 1)
        row = self._rows[at]
        insort(row, subject)
        if len(row) > 2 * ROW:
            self._rows.insert(at + 1, row[ROW:])
            self._lasts.insert(at + 1, row[-1])
            del row[ROW:]
        self._lasts[at] = row[-1]

    def remove(self, subject: bytes) -> None:
        at = bisect_left(self._lasts, subject)
        row = self._rows[at]
        del row[bisect_left(row, subject)]
        if row:
            self._lasts[at] = row[-1]
        elif len(self._rows) > 1:
            del self._rows[at], self._lasts[at]
        else:
            self._lasts[at] = b""

    def stride(self, start: bytes) -> list[bytes]:
        """The next subjects from `start` on, that one included; empty at the end."""
        at = bisect_left(self._lasts, start)
        if at == len(self._rows):
            return []
        row = self._rows[at]
        first = bisect_left(row, start)
        return row[first : first + STRIDE]

    def matching(self, subject_filter: bytes) -> Iterator[bytes | None]:
        """The subjects that a filter matches, in order. What comes or goes during the walk may be in it or not.

        None comes after each PAUSE subjects that were looked at: a walk can go over very many that do not match.
        """
        tokens = subject_filter.split(b".")
        rest = tokens[-1] == b">"
        if rest:
            tokens.pop()
        start: bytes | None = b""
        looked_at = 0
        while start is not None:
            subjects = self.stride(start)
            if not subjects:
                return
            at = 0
            while start is not None and at < len(subjects):
                subject = subjects[at]
                looked_at += 1
                if looked_at % PAUSE == 0:
                    yield None
                start = candidate(tokens, rest, subject)
                if start == subject:
                    yield subject
                    start = after(subject)
                    at += 1
                elif start is not None:
                    at = bisect_left(subjects, start, at + 1)


def candidate(tokens: list[bytes], rest: bool, subject: bytes) -> bytes | None:
    """The first in the order, from `subject` on, that may match a filter: `subject` itself exactly when it does.

    `tokens` are those of the filter without a last `>`, for which `rest` stands. None when none follows.
    """
    parts = subject.split(b".")
    for i, token in enumerate(tokens):
        if i == len(parts):
            return below(subject, tokens[i - 1])
        if token not in (parts[i], b"*"):
            wanted = b".".join((*parts[:i], token))
            if wanted < subject:
                wanted += b"."
            return wanted if wanted > subject else behind(parts[:i])
    if rest and len(parts) == len(tokens):
        return below(subject, tokens[-1])
    if not rest and len(parts) > len(tokens):
        return behind(parts[: len(tokens)])
    return after(subject) if b"" in parts else subject


def below(subject: bytes, token: bytes) -> bytes:
    """Where to go on from a subject that is too short. Where a wildcard took its last token, another one may lie before
    what is below it: `a-` stands between `a` and `a.`.
    """
    return after(subject) if token == b"*" else subject + b"."


def behind(parts: list[bytes]) -> bytes | None:
    """The end of everything below these tokens."""
    return b".".join(parts) + BEHIND_DOT if parts else None


def after(subject: bytes) -> bytes:
    """What follows a subject at once."""
    return subject + b"\0"
