from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.subject_tree import Interest, SubjectTree


def tokens_match(pattern: list[bytes], subject: list[bytes]) -> bool:
    """The definition, token by token."""
    if pattern == [b">"]:
        return len(subject) >= 1
    if not pattern or not subject:
        return pattern == subject
    return pattern[0] in (b"*", subject[0]) and tokens_match(pattern[1:], subject[1:])


def matches(pattern: bytes, subject: bytes) -> bool:
    return b"" not in subject.split(b".") and tokens_match(pattern.split(b"."), subject.split(b"."))


# Few tokens, so that filters overlap; a published subject may hold * and > as ordinary tokens.
token = st.sampled_from([b"a", b"b", b"*", b"x>"])
subjects = st.lists(st.sampled_from([b"a", b"b", b"*", b">", b"x>", b""]), min_size=1, max_size=5).map(b".".join)
filters = st.tuples(st.lists(token, max_size=4), st.sampled_from([[], [b">"]])).map(
    lambda parts: b".".join([*parts[0], *parts[1]])
)
filters = filters.filter(bool)
queues = st.sampled_from([b"", b"", b"q", b"r"])


class Neighbour(Port):
    """A port; leafnode links stand apart from local peers."""

    def __init__(self, leaf: bool) -> None:
        super().__init__(None)
        self.leaf = leaf


class TreeAgainstList(RuleBasedStateMachine):
    """The tree finds what a list of all receivers would, after any inserts and removals."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = SubjectTree()
        self.receivers: list[Receiver] = []
        self.ports = {leaf: Neighbour(leaf) for leaf in (False, True)}

    @rule(subject=filters, queue=queues, leaf=st.booleans())
    def insert(self, subject: bytes, queue: bytes, leaf: bool) -> None:
        receiver = Receiver(self.ports[leaf], subject, queue)
        interest = self.tree.insert(receiver)
        self.receivers.append(receiver)
        assert interest.subject == subject
        if not leaf:
            assert interest.told_count(queue) == self.told_count(subject, queue)

    @rule(place=st.integers(0, 50))
    def remove(self, place: int) -> None:
        if self.receivers:
            receiver = self.receivers.pop(place % len(self.receivers))
            interest = self.tree.remove(receiver)
            assert interest is not None
            if not receiver.port.leaf:
                assert interest.told_count(receiver.queue) == self.told_count(receiver.subject, receiver.queue)
            assert self.tree.remove(receiver) is None

    @rule(subject=subjects)
    def match(self, subject: bytes) -> None:
        # A subject with an empty token can be found only by the very same literal filter, and that is not valid.
        expected = [receiver for receiver in self.receivers if matches(receiver.subject, subject)]
        assert self.found(self.tree.match(subject)) == sorted(map(id, expected))

    @invariant()
    def everything_is_listed_once(self) -> None:
        interests = self.tree.interests()
        assert self.tree.count == len(self.receivers)
        assert sorted(interest.subject for interest in interests) == sorted({one.subject for one in self.receivers})
        assert self.found(interests) == sorted(map(id, self.receivers))
        assert not any(interest.is_empty() for interest in interests)

    def told_count(self, subject: bytes, queue: bytes) -> int:
        return sum((one.subject, one.queue, one.port.leaf) == (subject, queue, False) for one in self.receivers)

    def found(self, interests: list) -> list[int]:
        groups = [group for interest in interests for group in (interest.groups or {}).values()]
        groups += [group for interest in interests for group in (interest.beyond or {}).values()]
        groups += [interest.plain for interest in interests]
        return sorted(id(member) for group in groups for member in group)


TestTreeAgainstList = TreeAgainstList.TestCase
TestTreeAgainstList.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        (b"foo", b"foo", True),
        (b"foo", b"foo.bar", False),
        (b"foo.*", b"foo.bar", True),
        (b"foo.*", b"foo", False),
        (b"foo.*", b"foo.bar.baz", False),
        (b"foo.>", b"foo", False),
        (b"foo.>", b"foo.bar.baz", True),
        (b">", b"foo", True),
        (b"*", b"foo", True),
        (b"*.bar.>", b"foo.bar.baz", True),
        (b"foo*", b"foo*", True),
        (b"foo*", b"foobar", False),
        (b"foo.>", b"foo.>", True),
        (b"foo.*", b"foo.*", True),
        (b">", b"foo..bar", False),
        (b"foo.*", b"foo.", False),
        (b"*.foo", b".foo", False),
    ],
)
def test_filter_matches(pattern: bytes, subject: bytes, expected: bool):
    tree = SubjectTree()
    tree.insert(Receiver(Port(None), pattern, b""))
    assert bool(tree.match(subject)) is expected


@given(st.lists(filters, max_size=10))
def test_a_tree_that_was_emptied_holds_nothing(subjects_in: list[bytes]):
    tree = SubjectTree()
    receivers = [Receiver(Port(None), subject, b"") for subject in subjects_in]
    for receiver in receivers:
        tree.insert(receiver)
    for receiver in receivers:
        tree.remove(receiver)
    assert (tree.count, tree.interests()) == (0, [])


def test_receiver_that_was_never_inserted_is_not_removed():
    tree = SubjectTree()
    assert tree.remove(Receiver(Port(None), b"foo.*", b"")) is None
    assert tree.interests() == []


def test_walk_over_thousands_of_nodes_pauses_and_finds_who_was_there_all_the_time():
    tree, port = SubjectTree(), Port(None)
    filters = [b".".join(tokens) for tokens in product((b"a", b"*"), repeat=13)]
    receivers = [Receiver(port, one, b"") for one in filters]
    for receiver in receivers:
        tree.insert(receiver)
    found: list[Interest] = []
    walk = tree.find(b".".join([b"a"] * 13), found)
    pauses = 0
    while walk is not None and walk.go_on():
        leaver = receivers.pop()
        tree.remove(leaver)
        tree.insert(Receiver(port, b"*." + b"z." * pauses + b"*", b""))
        pauses += 1
    assert pauses > 1
    assert len(found) == len({id(one) for one in found})
    there = {id(one) for interest in found for one in interest.plain}
    assert {id(one) for one in receivers} <= there
