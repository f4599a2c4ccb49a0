"""The short form of `make torture-sinks`."""

from pathlib import Path

import pytest

from tests.torture.sinks import KINDS, torture


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_acknowledged_is_lost_whoever_is_harmed(tmp_path: Path, kind: str) -> None:
    outcome = torture(tmp_path, kind, 1.0, seed=1)
    assert outcome.complaints() == []
    assert len(outcome.harms) >= 5
    assert outcome.acknowledged
