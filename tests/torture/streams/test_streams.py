"""Short forms of the torture of streams, and of what it must catch."""

from pathlib import Path

import pytest

from tests.torture.streams.campaign import torture
from tests.torture.streams.faults import FAULTS, POWER_CUT, ROW_FAULTS

SECONDS = 1.0
LAUNCHER = (str(Path(__file__).parents[1] / "without_sync.py"),)


@pytest.mark.parametrize(("seed", "kinds", "least"), [(1, FAULTS, 4), (2, FAULTS | ROW_FAULTS, 2)])
def test_what_was_promised_holds(tmp_path: Path, seed: int, kinds: dict[str, int], least: int) -> None:
    outcome = torture(tmp_path, SECONDS, seed, kinds, least=least)
    assert outcome.complaints == []
    assert outcome.acknowledged
    assert outcome.confirmed
    assert outcome.written


def test_a_missing_sync_is_caught(tmp_path: Path) -> None:
    outcome = torture(tmp_path, SECONDS, 3, POWER_CUT, LAUNCHER, least=2, patience=1.0)
    if not outcome.faults["power cut"]:
        pytest.skip("there is no gcc to make a library that records the disk")
    assert outcome.findings.lost
