"""The measure of the torture sees what it is there for."""

import pytest

from tests.torture.uplink.ledger import UplinkLedger, key_of, payload_of


@pytest.fixture
def ledger() -> UplinkLedger:
    one = UplinkLedger()
    for number in range(6):
        one.send(("a", number))
    for number in (0, 1, 2, 4):
        one.acknowledge(("a", number))
    return one


def keys(*numbers: int) -> list[tuple[str, int]]:
    return [("a", number) for number in numbers]


@pytest.mark.parametrize("stored", [(0, 1, 2, 4), (0, 1, 2, 3, 4, 5)])
def test_what_was_not_acknowledged_may_be_there_or_not(ledger: UplinkLedger, stored: tuple[int, ...]) -> None:
    found = ledger.compare(keys(*stored))
    assert found.complaints() == []
    assert ledger.count() == 4


def test_loss_double_disorder_and_strangers_are_told(ledger: UplinkLedger) -> None:
    found = ledger.compare(keys(0, 2, 1, 2, 3, 3, 7))
    assert found.lost == keys(4)
    assert found.doubled == keys(2, 3)
    assert found.disordered == [(("a", 1), 2)]
    assert found.unknown == keys(7)
    assert len(found.complaints()) == 4


def test_only_what_was_named_is_struck_off(ledger: UplinkLedger) -> None:
    ledger.excuse(keys(1, 3))
    assert ledger.compare(keys(0)).lost == keys(2, 4)


def test_payload_tells_its_key_and_others_none() -> None:
    assert key_of(payload_of(("board", 17), 5)) == ("board", 17)
    assert key_of(b"board 17 ") == ("board", 17)
    for strange in (b"", b"board", b"- 1 ", b"board x "):
        assert key_of(strange) is None
