"""A short run of what `make torture` does for long: kills at random instants lose and repeat nothing."""

from pathlib import Path

from tests.integration.mqtt_servers import REFERENCE
from tests.torture.campaign import FINAL_KILLS, SUBSCRIBERS, torture

SEED = 20
SECONDS = 6.0
KILLS = 5
LEAST = 1000


def test_acknowledged_messages_outlive_kills(tmp_path: Path) -> None:
    outcome = torture(tmp_path, SECONDS, KILLS, SEED, LEAST)
    assert outcome.complaints == [], outcome.report()
    assert outcome.kills >= (0 if REFERENCE else KILLS + FINAL_KILLS)
    acknowledged = outcome.ledger.acknowledged()
    assert acknowledged >= LEAST
    assert all(len(inbox.arrivals) >= acknowledged for inbox in outcome.ledger.inboxes)
    assert len(outcome.ledger.inboxes) == len(SUBSCRIBERS)
