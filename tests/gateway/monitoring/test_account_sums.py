"""Sums over accounts are taken in turns, however many accounts there are."""

import trio
import trio.testing

from gateway.assembly import Gateway
from gateway.monitoring.account_sums import AccountSums, sum_up
from gateway.runtime.turns import STEPS_IN_A_ROW, Turns
from gateway.settings.schema import Config

MANY = 20 * STEPS_IN_A_ROW


async def test_very_many_accounts_are_summed_up_in_turns() -> None:
    account = Gateway(Config()).account
    turns = Turns()
    times = iter(range(10_000))
    turns.clock = lambda: float(next(times))  # Every look at the clock is the end of a turn.
    found: list[AccountSums] = []

    async def take() -> None:
        found.append(await sum_up({f"account-{number}": account for number in range(MANY)}, turns))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        taken = 0
        while not found:
            await trio.testing.wait_all_tasks_blocked()
            taken += 1
            turns.take()
            await trio.testing.wait_all_tasks_blocked()
    assert taken >= MANY // STEPS_IN_A_ROW
    assert found[0].subscriptions == MANY * account.router.tree.count
