"""The short form of `make reloads`."""

from pathlib import Path

from tests.torture.reloads import reload_often

RELOADS = 100
LEAST = 100


def test_clients_that_no_change_concerns_lose_nothing(tmp_path: Path) -> None:
    outcome = reload_often(tmp_path, RELOADS, seed=1, least=LEAST)
    assert outcome.complaints == []
    assert (outcome.reloads, outcome.refused) == (RELOADS, RELOADS // 5)
    assert min(outcome.messages.values()) >= LEAST
