"""Samples of a request: beside a plain list of all that came, and what is remembered of long names."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.numbers.samples import LONGEST_LABELS, LONGEST_NAME, OLD, SAME, Samples

COMING = st.tuples(st.sampled_from([b"a", b"b"]), st.sampled_from(["", "x"]), st.integers(0, 5), st.integers(0, 9))


def samples(refused: list[tuple[str, bytes]], *, is_ordered: bool) -> Samples:
    return Samples(
        lambda subject, field: subject + field.encode(),
        lambda reason, subject: refused.append((reason, subject)),
        is_ordered,
    )


@given(st.lists(st.tuples(st.lists(COMING, max_size=8), st.booleans()), max_size=4), st.booleans())
def test_samples_of_a_series_are_in_order_and_one_a_time(
    batches: list[tuple[list[tuple[bytes, str, int, int]], bool]], is_ordered: bool
) -> None:
    refused: list[tuple[str, bytes]] = []
    wanted_refused: list[tuple[str, bytes]] = []
    one = samples(refused, is_ordered=is_ordered)
    last: dict[bytes, int] = {}
    for coming, is_taken in batches:
        one.begin()
        wanted: dict[bytes, dict[int, float]] = {}
        for subject, field, time_ms, number in coming:
            one.add(subject, [(field, float(number))], time_ms)
            series = subject + field.encode()
            there = wanted.get(series, {})
            newest = max(there, default=last.get(series, -1)) if is_ordered else -1
            if time_ms in there:
                wanted_refused.append((SAME, subject))
            elif time_ms <= newest:
                wanted_refused.append((OLD, subject))
                continue
            wanted.setdefault(series, {})[time_ms] = number
        assert [(series, list(found.items())) for series, found in one.batch.items()] == [
            (series, list(found.items())) for series, found in wanted.items()
        ]
        if is_taken:
            one.done()
            last |= {series: max(found) for series, found in wanted.items()}
    assert refused == wanted_refused


def test_long_names_are_not_remembered() -> None:
    asked: list[bytes] = []

    def name(subject: bytes, field: str) -> bytes:
        asked.append(subject)
        return subject

    one = Samples(name, lambda reason, subject: None, True)
    short, long, longest = b"s", b"l" * (LONGEST_NAME + 1), b"l" * (LONGEST_LABELS + 1)
    for time_ms in (5, 4):
        one.begin()
        for subject in (short, long, longest):
            one.add(subject, [("", 1.0)], time_ms)
        one.done()
    assert asked == [short, long, longest, long, longest]
    assert [*one.batch] == [longest]
    assert (one.subject_of(short), one.subject_of(long)) == (short, b"")
