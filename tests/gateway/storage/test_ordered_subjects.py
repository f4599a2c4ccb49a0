"""Subjects in order: what a filter finds, what it looks at, and walks among changes."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.storage import ordered_subjects
from gateway.storage.ordered_subjects import OrderedSubjects, candidate
from protocols.subjects import matches

tokens = st.sampled_from([b"a", b"b", b"a-", b"a!", b"a/", b"b-c", b"*", b">", b"$s", b"", b"\xff"])
literals = st.lists(tokens, min_size=1, max_size=4).map(b".".join)
filters = st.tuples(
    st.lists(st.sampled_from([b"a", b"b", b"a-", b"*", b"*", b"$s"]), max_size=4), st.sampled_from([[], [b">"]])
).map(lambda parts: b".".join(parts[0] + parts[1]) or b">")


def ordered(subjects: set[bytes]) -> OrderedSubjects:
    filled = OrderedSubjects()
    filled.fill(sorted(subjects))
    return filled


def found(subjects: OrderedSubjects, subject_filter: bytes) -> list[bytes]:
    return [subject for subject in subjects.matching(subject_filter) if subject is not None]


@given(st.sets(literals, max_size=40), filters)
def test_filter_finds_what_the_grammar_says_in_order(subjects: set[bytes], subject_filter: bytes):
    expected = sorted(subject for subject in subjects if matches(subject_filter, subject))
    assert found(ordered(subjects), subject_filter) == expected


@given(st.lists(literals, max_size=60), st.data())
def test_set_keeps_its_order_through_changes(subjects: list[bytes], data: st.DataObject):
    changed = OrderedSubjects()
    model: set[bytes] = set()
    for subject in subjects:
        if subject in model:
            changed.remove(subject)
            model.remove(subject)
        else:
            changed.add(subject)
            model.add(subject)
    start = data.draw(literals)
    assert changed.stride(start) == sorted(one for one in model if one >= start)


def test_set_larger_than_a_row_is_found_whole_and_taken_apart():
    subjects = [b"a.%d" % (n * 7919 % 5000) for n in range(5000)]
    changed = OrderedSubjects()
    for subject in subjects:
        changed.add(subject)
    assert found(changed, b">") == sorted(subjects)
    for subject in subjects[:4999]:
        changed.remove(subject)
    assert found(changed, b"a.*") == subjects[4999:]
    changed.remove(subjects[4999])
    assert found(changed, b">") == []
    changed.add(b"z")
    assert found(changed, b">") == [b"z"]


def test_walk_goes_on_among_changes():
    changed = ordered({b"a.%04d" % n for n in range(2000)})
    walk = filter(None, changed.matching(b"a.*"))
    walked = [next(walk) for _ in range(1000)]
    for n in range(0, 2000, 2):
        changed.remove(b"a.%04d" % n)
    walked += walk
    assert walked == sorted(set(walked))
    assert set(walked) >= {b"a.%04d" % n for n in range(1, 2000, 2)}
    assert len(walked) <= 1500 + ordered_subjects.STRIDE


def test_what_cannot_match_is_jumped_over():
    subjects = {b"site%d.room%d.%s" % (n % 10, n // 10, kind) for n in range(1000) for kind in (b"x", b"y", b"z")}
    looked_at = 0
    start: bytes | None = b""
    row = sorted(subjects)
    while start is not None:
        following = [subject for subject in row if subject >= start]
        if not following:
            break
        looked_at += 1
        start = candidate([b"site3", b"*", b"y"], False, following[0])
        if start == following[0]:
            start += b"\0"
    assert looked_at < 3 * 100 + 5


def test_walk_over_what_does_not_match_pauses():
    changed = ordered({b"a%04d.x" % n for n in range(2000)} | {b"b.y"})
    walked = list(changed.matching(b"*.y"))
    assert walked[-1] == b"b.y"
    assert len(walked) - 1 >= 2000 // ordered_subjects.PAUSE
    assert set(walked[:-1]) == {None}
