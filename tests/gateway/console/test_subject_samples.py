"""Samples of subjects: what is kept of what passes, for whom, and how much at most."""

import pytest

from gateway.accounts.permissions import EVERYTHING, Permissions
from gateway.console import subject_samples
from gateway.console.subject_samples import SubjectSamples, as_text
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.subject_tree import SubjectTree
from gateway.settings.security import PermissionRules, SubjectRule
from protocols.message import Burst, make_message

SOMEBODY = Port(None)


def hear(samples: SubjectSamples, subject: bytes, payload: bytes, header: bytes = b"") -> None:
    assert samples.deliver(make_message(subject, payload, header=header), SOMEBODY) is False


def lines(samples: SubjectSamples, pattern: bytes = b">") -> list[dict[str, object]]:
    return [one.shown() for one in samples.matching(pattern) if one is not None]


def test_last_value_and_count_of_each_subject():
    samples = SubjectSamples(EVERYTHING)
    for value in (b"1", b"2"):
        hear(samples, b"a.b", value, b"NATS/1.0\r\nx: y\r\n\r\n")
    hear(samples, b"a.c", b"\xff\x00")
    assert lines(samples) == [
        {"subject": "a.b", "n": 2, "size": 1, "value": "2"},
        {"subject": "a.c", "n": 1, "size": 2, "hex": "ff00"},
    ]


def test_burst_is_counted_and_its_last_message_is_shown():
    samples = SubjectSamples(EVERYTHING)
    samples.deliver_burst(Burst(b"a", 0, 1, [b"1", b"2", b"3"], 3, None), SOMEBODY)
    assert lines(samples) == [{"subject": "a", "n": 3, "size": 1, "value": "3"}]


def test_of_a_long_message_the_beginning_is_kept_and_the_newest_one_once_it_was_shown():
    samples = SubjectSamples(EVERYTHING)
    size = subject_samples.SMALL + 1
    for letter in (b"x", b"y"):
        hear(samples, b"a", letter * size)
    (line,) = lines(samples)
    assert (line["size"], line["value"]) == (size, "x" * subject_samples.SHOWN)
    hear(samples, b"a", b"z" * size)
    assert lines(samples)[0]["value"] == "z" * subject_samples.SHOWN


def test_subjects_form_a_tree():
    samples = SubjectSamples(EVERYTHING)
    for subject in (b"b", b"a.y", b"a.x.1", b"a.x"):
        hear(samples, subject, b"")
    assert below(samples, "") == (2, [("a", 3), ("b", 0)])
    assert below(samples, "a") == (2, [("x", 1), ("y", 0)])
    assert below(samples, "a", 1) == (2, [("x", 1)])
    assert below(samples, "a.none") == (0, [])


def below(samples: SubjectSamples, prefix: str, most: int = 9) -> tuple[int, list[tuple[str, int]]]:
    count, found = samples.children(prefix, most)
    return count, [(token, node.below) for token, node in found]


def test_filters_match_as_subscriptions_do():
    samples = SubjectSamples(EVERYTHING)
    for subject in (b"a", b"a.b", b"a.b.c", b"d.b"):
        hear(samples, subject, b"")
    found = {pattern: [line["subject"] for line in lines(samples, pattern)] for pattern in (b"a.>", b"*.b", b"a", b"*")}
    assert found == {b"a.>": ["a.b", "a.b.c"], b"*.b": ["a.b", "d.b"], b"a": ["a"], b"*": ["a"]}


def test_nobody_sees_what_he_may_not_hear_nor_what_passes_once():
    rules = PermissionRules(subscribe=SubjectRule(allow=("a.>",)))
    samples = SubjectSamples(Permissions(rules))
    for subject in (b"a.b", b"secret.x", b"_INBOX.q.1", b"$LEAFGATE.console.now"):
        hear(samples, subject, b"x")
    assert [line["subject"] for line in lines(samples)] == ["a.b"]
    assert below(samples, "secret") == (0, [])


def test_table_is_bounded_and_says_what_it_left_out(monkeypatch):
    monkeypatch.setattr(subject_samples, "MOST_SUBJECTS", 2)
    samples = SubjectSamples(EVERYTHING)
    for subject in (b"a", b"b", b"c", b"c", b"a"):
        hear(samples, subject, b"x")
    assert len(samples) == 2
    assert samples.left_out == 2
    hear(samples, b"x" * (subject_samples.LONGEST_SUBJECT + 1), b"x")
    assert samples.left_out == 3


def test_text_that_was_cut_within_a_character_is_text():
    assert as_text("grün".encode()[:3], cut=True) == "gr"
    assert as_text("grün".encode()[:3], cut=False) is None
    assert as_text(b"a\tb\r\n", cut=False) == "a\tb\r\n"
    assert as_text(b"a\x00", cut=False) is None


@pytest.mark.parametrize("by_hub", [False, True])
def test_links_are_told_of_others_who_hear_everything_and_not_of_this(by_hub: bool):
    tree, samples, client = SubjectTree(), SubjectSamples(EVERYTHING), Receiver(Port(None), b">", b"")
    interest = tree.insert(samples)
    assert interest.told_count(b"", by_hub) == 0
    tree.insert(client)
    assert interest.told_count(b"", by_hub) == 1
    tree.remove(samples)
    assert interest.told_count(b"", by_hub) == 1
    tree.remove(client)
    assert interest.told_count(b"", by_hub) == 0
