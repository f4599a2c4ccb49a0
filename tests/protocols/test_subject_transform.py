"""Subject transforms; the expected results are what nats-server 2.15.1 makes of the same subjects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.subject_transform import SubjectTransform, intersection, numbered
from protocols.subjects import is_subset, matches, overlaps

TOKENS = st.sampled_from([b"a", b"b", b"*", b">"])
FILTERS = st.lists(TOKENS, min_size=1, max_size=5).map(
    lambda tokens: b".".join([*(b"*" if one == b">" else one for one in tokens[:-1]), tokens[-1]])
)
SUBJECTS = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=6).map(b".".join)


@pytest.mark.parametrize(
    ("source", "destination", "subject", "result"),
    [
        ("lit.a", "o.lit", "lit.a", "o.lit"),
        ("f.*.*", "o.$2.$1", "f.a.b", "o.b.a"),
        ("w.*.*.>", "o.{{wildcard(2)}}.$1.>", "w.a.b.c.d", "o.b.a.c.d"),
        ("p.*.*", "o.{{partition(10,1,2)}}.$1.$2", "p.a.b", "o.6.a.b"),
        ("p.*.*", "o.{{partition(10,1,2)}}.$1.$2", "p.foo.bar", "o.0.foo.bar"),
        ("p.*", "o.{{partition(7)}}", "p2.x", "o.6"),
        ("p.*", "o.{{partition(7)}}", "p2.yy", "o.2"),
        ("s.*", "o.{{split(1,-)}}", "s.a-b-c", "o.a.b.c"),
        ("s.*", "o.{{split(1,-)}}", "s.-a--b-", "o.a.b"),
        ("s.*", "o.{{split(1,-)}}", "s.abc", "o.abc"),
        ("s.*", "o.{{splitfromleft(1,3)}}", "s.abcdef", "o.abc.def"),
        ("s.*", "o.{{splitfromleft(1,3)}}", "s.abc", "o.abc"),
        ("s.*", "o.{{ SplitFromRight(1, 3) }}", "s.abcdef", "o.abc.def"),
        ("s.*", "o.{{splitfromright(1,2)}}", "s.abcde", "o.abc.de"),
        ("s.*", "o.{{slicefromleft(1,2)}}", "s.abcde", "o.ab.cd.e"),
        ("s.*", "o.{{slicefromleft(1,2)}}", "s.abcd", "o.ab.cd"),
        ("s.*", "o.{{slicefromright(1,2)}}", "s.abcde", "o.a.bc.de"),
        ("s.*", "o.{{slicefromright(1,2)}}", "s.abcd", "o.ab.cd"),
        ("s.*", "o.{{left(1,2)}}", "s.abc", "o.ab"),
        ("s.*", "o.{{right(1,2)}}", "s.abc", "o.bc"),
        ("s.*", "o.{{right(1,2)}}", "s.a", "o.a"),
        ("s.*", "o.{{random(0)}}.$x", "s.a", "o.0.$x"),
    ],
)
def test_transform(source: str, destination: str, subject: str, result: str):
    assert SubjectTransform(source.encode(), destination.encode()).apply(subject.encode()) == result.encode()


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("a..b", "c"),
        ("a", "c..d"),
        ("a.*", "c.*"),
        ("a.>", "c"),
        ("a", "c.>"),
        ("a.*", "c.$2"),
        ("a", "c.$1"),
        ("a.*", "c.{{wildcard()}}"),
        ("a.*", "c.{{wildcard(1,2)}}"),
        ("a.*", "c.{{wildcard(0)}}"),
        ("a.*", "c.{{wildcard(-1)}}"),
        ("a.*", "c.{{wildcard(99999999999999999999)}}"),
        ("a.*", "c.{{partition()}}"),
        ("a.*", "c.{{partition(3,2)}}"),
        ("a.*", "c.{{split(1)}}"),
        ("a.*", "c.{{split(1, )}}"),
        ("a.*", "c.{{left(1,x)}}"),
        ("a.*", "c.{{unknown(1)}}"),
        ("a.*", "c.{{unknown(1,2)}}"),
        ("a.*", "c.{{wildcard}}"),
    ],
)
def test_what_is_no_transform(source: str, destination: str):
    with pytest.raises(ValueError, match=r".+"):
        SubjectTransform(source.encode(), destination.encode())


@pytest.mark.parametrize("destination", ["c.$1", "c.$1.{{left(2,1)}}", "c.{{partition(3,1)}}.$2.$1"])
def test_what_cannot_be_reversed(destination: str):
    with pytest.raises(ValueError, match=r".+"):
        SubjectTransform(b"a.*.*", destination.encode(), True)


@given(FILTERS, FILTERS, SUBJECTS)
def test_intersection_matches_what_both_match(one: bytes, other: bytes, subject: bytes):
    both = intersection(one, other)
    assert (both is not None) == overlaps(one, other) or both is None
    matched = both is not None and matches(both, subject)
    assert matched == (matches(one, subject) and matches(other, subject))
    if both is not None:
        assert is_subset(both, one)
        assert is_subset(both, other)


@given(FILTERS, st.randoms(use_true_random=False))
def test_reverse_leads_back(source: bytes, shuffler: object):
    wanted = numbered(source).split(b".")
    body = wanted[:-1] if wanted[-1] == b">" else wanted
    shuffler.shuffle(body)  # type: ignore[attr-defined]
    destination = b".".join([b"x", *body, *([b">"] if wanted[-1] == b">" else [])])
    transform = SubjectTransform(source, destination, True)
    subject = source.replace(b"*", b"s").replace(b">", b"t.u")
    result = transform.apply(subject)
    assert matches(transform.pattern, result)
    assert transform.reverse().apply(result) == subject
    assert transform.reverse().apply(transform.pattern) == source


def test_lots_are_drawn_by_who_is_told_to():
    transform = SubjectTransform(b"a.*", b"b.{{random(7)}}", draw=lambda count: count - 1)
    assert not transform.steady
    assert transform.apply(b"a.x") == b"b.6"
    assert SubjectTransform(b"a.*", b"b.{{partition(7,1)}}").steady
