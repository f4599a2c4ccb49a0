"""What is remembered of names: those that come again, and never more than there is room for."""

from gateway.integrations.kafka.records import Router
from gateway.integrations.remembered import LONGEST_NAME, Remembered
from gateway.integrations.sparkplug.mapping import Mapping
from gateway.settings.kafka import Out
from gateway.settings.sparkplug import NodeMetric
from gateway.storage.streams.stored_message import stored_message


def test_values_are_remembered_up_to_a_number_and_then_anew() -> None:
    known: Remembered[bytes, int] = Remembered(3)
    assert [known.keep(b"%d" % number, 1, number) for number in range(5)] == [0, 1, 2, 3, 4]
    assert known == {b"3": 3, b"4": 4}


def test_what_long_names_make_is_not_remembered() -> None:
    known: Remembered[bytes, int] = Remembered(3)
    assert known.keep(b"x", LONGEST_NAME, 1) == 1
    assert known.keep(b"y", LONGEST_NAME + 1, 2) == 2
    assert known == {b"x": 1}


def test_subjects_that_are_long_fill_no_memory() -> None:
    router, mapping = Router([Out(subject=">", topic="t")]), Mapping((NodeMetric(subject=">"),))
    for number in range(100):
        subject = b"a." + b"%d" % number * 20_000
        assert router.route(stored_message(1, 0, subject, b"", b"")).topic == "t"
        mapping.route(subject)
        mapping.route(b"a.%d" % number)
    assert len(router.known) == 0
    assert len(mapping._known) == 100
