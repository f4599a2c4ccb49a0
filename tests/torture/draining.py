"""The end of a torture of MQTT: nobody harms any more, and what is on its way gets its time to arrive."""

from collections.abc import Sequence

import trio

from tests.patience import LONG_SECONDS
from tests.torture.ledger import Ledger
from tests.torture.publisher import Publisher

DRAIN_SECONDS = LONG_SECONDS
POLL_SECONDS = 0.02


async def drain(publishers: Sequence[Publisher], ledger: Ledger) -> None:
    """Return once nothing is on its way any more, or after a while: the ledger tells what did not arrive."""
    with trio.move_on_after(DRAIN_SECONDS):
        for publisher in publishers:
            await publisher.say_last()
    for _ in range(int(DRAIN_SECONDS / POLL_SECONDS)):
        if all(publisher.settled for publisher in publishers) and not any(map(ledger.missing, ledger.inboxes)):
            return
        await trio.sleep(POLL_SECONDS)
    ledger.faults.append(f"not everything was settled within {DRAIN_SECONDS:g} s")
