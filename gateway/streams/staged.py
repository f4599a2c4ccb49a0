"""Staged: what a batch that is to be stored as one has brought so far, and what that means for its further messages."""

from gateway.streams import errors
from gateway.streams.counters import Total
from gateway.streams.errors import ApiError

# What batches that are not complete take in memory, of one account, and how many there may be.
MOST_BYTES = 32 << 20
MOST_BATCHES = 1000
# What a message takes besides its bytes.
MESSAGE_BYTES = 400


class StagedRoom:
    """What the batches of an account take."""

    def __init__(self) -> None:
        self.bytes = 0
        self.batches = 0


class Staged:
    """Messages of one batch that are checked one after the other, none of them stored yet."""

    def __init__(self) -> None:
        self.ids: set[bytes] = set()
        # How many there are of each subject, and which of those are schedules.
        self.subjects: dict[bytes, int] = {}
        self.schedules: set[bytes] = set()
        self.totals: dict[bytes, Total] = {}
        self.messages = 0
        self.bytes = 0
        self._expected: dict[bytes, int] = {}

    def check_id(self, identifier: bytes) -> None:
        """Raises ApiError."""
        if identifier in self.ids:
            raise ApiError(errors.ATOMIC_DUPLICATE)
        self.ids.add(identifier)

    def check_last(self) -> None:
        """Only the first message can say what the stream's last one is to be. Raises ApiError."""
        if self.messages:
            raise ApiError(errors.WRONG_LAST_CONSTANT)

    def check_last_of(self, subject: bytes, expected: int | None, last: int) -> None:
        """The same for the last one of a subject: none of the batch may have it. Raises ApiError."""
        if subject in self.subjects:
            raise ApiError(errors.WRONG_LAST_CONSTANT)
        known = self._expected.setdefault(subject, last)
        if known != expected:
            raise ApiError(errors.WRONG_LAST_SEQUENCE.with_text(known))

    def check_rollup(self, subject: bytes, rollup: bytes) -> None:
        """What came with the same batch cannot be rolled up. Raises ApiError."""
        if rollup == b"all" and self.messages:
            raise ApiError(errors.ROLLUP_FAILED.with_text("batch rollup all invalid"))
        if rollup == b"sub" and subject in self.subjects:
            raise ApiError(errors.ROLLUP_FAILED.with_text("batch rollup sub invalid"))

    def add(self, subject: bytes, size: int) -> None:
        self.subjects[subject] = self.subjects.get(subject, 0) + 1
        self.messages += 1
        self.bytes += size
