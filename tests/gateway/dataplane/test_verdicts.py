"""Verdicts on subjects, held against the grammar of subjects."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.verdicts import MOST_REMEMBERED, MOST_REPLIES, MOST_REPLY_BYTES, FilterSet, ReplyRights, Verdicts
from protocols.subjects import is_subset, is_valid_filter, matches

token = st.sampled_from([b"a", b"b", b"*", b">", b"a*", b""])
subjects = st.lists(token, min_size=1, max_size=5).map(b".".join)
filters = subjects.filter(is_valid_filter)


@given(st.lists(filters, max_size=6), subjects)
def test_filters_match_what_one_of_them_matches(patterns: list[bytes], subject: bytes):
    assert FilterSet(patterns).matches(subject) == any(matches(one, subject) for one in patterns)


@given(st.lists(filters, max_size=6), filters)
def test_filters_cover_what_one_of_them_covers(patterns: list[bytes], subject: bytes):
    assert FilterSet(patterns).covers(subject) == any(is_subset(subject, one) for one in patterns)


def test_many_filters_that_all_begin_alike_are_walked_once():
    """With `*` and a literal in every place there are 2**64 ways through one level after the other."""
    patterns = FilterSet([b".".join([b"*"] * place + [b"a"] * (64 - place)) for place in range(64)])
    assert patterns.matches(b".".join([b"a"] * 64))
    assert not patterns.matches(b".".join([b"a"] * 63 + [b"b"]))


def test_a_subject_is_judged_twice_at_most():
    asked: list[bytes] = []

    def judge(subject: bytes) -> bool:
        asked.append(subject)
        return subject == b"a"

    verdicts = Verdicts(judge)
    for _ in range(1000):
        assert verdicts.allow(b"a")
        assert not verdicts.allow(b"b")
    assert asked == [b"a", b"b"] * 2


def test_as_many_subjects_are_remembered_as_come_again():
    asked: list[bytes] = []
    verdicts = Verdicts(lambda subject: not asked.append(subject))
    subjects = [b"a.%d" % number for number in range(MOST_REMEMBERED // 2)]
    for _ in range(20):
        for subject in subjects:
            assert verdicts.allow(subject)
    # Each twice, and once more whenever the cache has grown.
    assert len(asked) < 5 * len(subjects)


def test_a_long_subject_is_not_remembered():
    asked: list[bytes] = []
    verdicts = Verdicts(lambda subject: not asked.append(subject))
    for _ in range(5):
        assert verdicts.allow(b"a" * 10_000)
    assert len(asked) == 5


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def rights(most: int = 1, seconds: float = 10.0) -> tuple[ReplyRights, Clock]:
    clock = Clock()
    return ReplyRights(Verdicts(lambda subject: subject.startswith(b"own")), most, seconds, clock), clock


def test_an_answer_is_allowed_as_often_as_the_right_says():
    replies, _ = rights(2)
    replies.note(b"in.1")
    assert [replies.use(b"in.1") for _ in range(4)] == [True, True, False, False]
    assert not replies.use(b"in.2")


def test_the_right_to_answer_ends_in_time():
    replies, clock = rights()
    replies.note(b"in.1")
    clock.now = 9.9
    replies.note(b"in.2")
    clock.now = 10.0
    assert not replies.use(b"in.1")
    assert replies.use(b"in.2")


def test_a_request_that_comes_again_may_be_answered_again():
    replies, _ = rights()
    for _ in range(3):
        replies.note(b"in.1")
        assert replies.use(b"in.1")


def test_what_may_be_published_anyway_is_not_noted():
    replies, _ = rights()
    replies.note(b"own.1")
    assert len(replies) == 0


def test_requests_that_are_never_answered_are_forgotten():
    replies, clock = rights()
    for number in range(2 * MOST_REPLIES):
        replies.note(b"in.%d" % number)
    assert len(replies) == MOST_REPLIES
    assert not replies.use(b"in.0")
    assert replies.use(b"in.%d" % (2 * MOST_REPLIES - 1))
    clock.now = 11.0
    replies.note(b"in.last")
    assert len(replies) == 1


def test_long_reply_subjects_are_bounded_in_bytes():
    replies, _ = rights()
    for number in range(100):
        replies.note(b"%d." % number + b"a" * (MOST_REPLY_BYTES // 10))
    assert len(replies) < 10
