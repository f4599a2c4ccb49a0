"""The torture's ledger finds what it is there to find."""

import pytest

from tests.torture.ledger import Inbox, Ledger, Sent


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.inboxes.append(Inbox("all", 2))
    for number in (1, 2, 3):
        ledger.send((0, number), Sent(b"t", 2, retain=True))
        ledger.complete((0, number))
    return ledger


def take(ledger: Ledger, *numbers: int, qos: int = 2, topic: bytes = b"t") -> list[str]:
    for number in numbers:
        ledger.inboxes[0].take((0, number), topic, qos)
    return ledger.complaints()


def test_all_once_and_in_order_is_right(ledger: Ledger) -> None:
    assert take(ledger, 1, 2, 3) == []


def test_acknowledged_message_that_did_not_arrive_is_lost(ledger: Ledger) -> None:
    assert len(take(ledger, 1, 3)) == 1


def test_unacknowledged_message_may_arrive_or_not(ledger: Ledger) -> None:
    ledger.send((0, 4), Sent(b"t", 2, retain=False))
    assert take(ledger, 1, 2, 3) == []
    assert take(ledger, 4) == []


def test_quality_of_service_2_may_not_come_twice(ledger: Ledger) -> None:
    assert len(take(ledger, 1, 2, 3, 2)) == 1


def test_quality_of_service_1_may(ledger: Ledger) -> None:
    ledger.inboxes[0].granted_qos = 1
    assert take(ledger, 1, 2, 1, 2, 3, qos=1) == []
    assert ledger.inboxes[0].duplicates == 2


@pytest.mark.parametrize(("qos", "topic"), [(1, b"t"), (2, b"other")])
def test_message_must_come_as_it_was_sent(ledger: Ledger, qos: int, topic: bytes) -> None:
    take(ledger, 1, 2)
    assert len(take(ledger, 3, qos=qos, topic=topic)) == 1


def test_first_arrivals_must_be_in_order(ledger: Ledger) -> None:
    assert len(take(ledger, 2, 1, 3)) == 1


def test_retained_value_may_be_newer_but_not_older(ledger: Ledger) -> None:
    kept_before = dict(ledger.last_kept)
    ledger.send((0, 4), Sent(b"t", 2, retain=True))
    for value in (3, 4):
        ledger.complain_of_retained({b"t": value}, kept_before)
    assert ledger.faults == []
    for values in ({b"t": 2}, {b"t": 5}, {}):
        ledger.complain_of_retained(values, kept_before)
    assert len(ledger.faults) == 3
