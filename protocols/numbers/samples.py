"""Samples: those of one request, by their series, each in the order of their times (hot)."""

from collections.abc import Callable

from protocols.numbers.readings import Reading

# Series that are remembered by subject and field, and the times of their last samples.
MOST_SERIES = 100_000
# Of a longer name the series is asked for each time; of longer labels it is the server that says whether a sample is
# too old: whoever publishes would fill the memory with names that are long and never the same.
LONGEST_NAME, LONGEST_LABELS = 256, 1024
OLD = "it is older than the last sample of its series: the server would not take it (out-of-order)"
SAME = "its series has a later one for the same millisecond"

Batch = dict[bytes, dict[int, float]]


class Samples:
    """`name` says what the series of a subject and a field is called, `refuse` hears why a sample of a subject is not
    taken. `is_ordered`: of a series what is older than its last sample is not.

    `batch` are the samples that were taken since `begin`, by their series, and by their time in milliseconds.
    """

    __slots__ = ("_is_ordered", "_last", "_name", "_named", "_newest", "_refuse", "_series", "batch")

    def __init__(
        self, name: Callable[[bytes, str], bytes], refuse: Callable[[str, bytes], None], is_ordered: bool
    ) -> None:
        self._name = name
        self._refuse = refuse
        self._is_ordered = is_ordered
        # By field and subject, and how many.
        self._series: dict[str, dict[bytes, bytes]] = {}
        self._named = 0
        # When the last sample of a series was that the server has, and what the batch makes of that.
        self._last: dict[bytes, int] = {}
        self._newest: dict[bytes, int] = {}
        self.batch: Batch = {}

    def begin(self) -> None:
        self.batch = {}
        self._newest = {}

    def add(self, subject: bytes, readings: list[Reading], time_ms: int) -> None:
        for field, number in readings:
            series = self._series_of(subject, field)
            samples = self.batch.get(series)
            newest = -1
            if self._is_ordered:
                newest = self._newest.get(series, -1) if samples is not None else self._last.get(series, -1)
            if samples is not None and time_ms in samples:
                samples[time_ms] = number
                self._refuse(SAME, subject)
            elif time_ms <= newest:
                self._refuse(OLD, subject)
            else:
                if samples is None:
                    samples = self.batch[series] = {}
                samples[time_ms] = number
                if self._is_ordered:
                    self._newest[series] = time_ms

    def done(self) -> None:
        """The server has the batch, or does not want it."""
        if len(self._last) + len(self.batch) > MOST_SERIES:
            self._last.clear()
        self._last.update((one, time_ms) for one, time_ms in self._newest.items() if len(one) <= LONGEST_LABELS)

    def subject_of(self, series: bytes) -> bytes:
        """One that a series comes from."""
        for named in self._series.values():
            for subject, one in named.items():
                if one == series:
                    return subject
        return b""

    def _series_of(self, subject: bytes, field: str) -> bytes:
        named = self._series.get(field)
        series = named.get(subject) if named is not None else None
        if series is None:
            series = self._name(subject, field)
            if len(subject) + len(field) > LONGEST_NAME:
                return series
            if self._named >= MOST_SERIES:
                self._series.clear()
                self._named = 0
            self._series.setdefault(field, {})[subject] = series
            self._named += 1
        return series
