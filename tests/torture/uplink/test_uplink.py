"""Short forms of the torture of an uplink, and of what it must catch."""

from pathlib import Path

import pytest

from tests.integration.peers import NATS_SERVER, require_peer
from tests.torture.uplink.campaign import torture
from tests.torture.uplink.faults import POWER_CUT

# So long, or on a busy machine until there were so many faults.
SECONDS, FAULTS = 8.0, 4
LAUNCHER = (str(Path(__file__).parents[1] / "without_sync.py"),)


@pytest.fixture(autouse=True)
def hub() -> None:
    require_peer(NATS_SERVER)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_is_in_the_hub_once_and_in_order(tmp_path: Path, seed: int) -> None:
    outcome = torture(tmp_path, SECONDS, seed, least=FAULTS)
    assert outcome.complaints == []
    assert outcome.acknowledged > 0
    assert outcome.faults.total() > 0


def test_a_missing_sync_is_caught(tmp_path: Path) -> None:
    # The first cuts of this seed are of what waits in an outage, and each loses what was not synced.
    outcome = torture(tmp_path, SECONDS, 10, POWER_CUT, LAUNCHER, least=FAULTS)
    if not outcome.faults["power cut"]:
        pytest.skip("there is no gcc to make a library that records the disk")
    # By QoS 1: no id that is remembered wrongly can cost such a message.
    assert any(name == "once" for name, _ in outcome.findings.lost)
