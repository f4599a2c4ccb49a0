"""Sums over all accounts, taken in turns: there may be very many of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.accounts.account import Account
from gateway.runtime.turns import OwnTurn, Turns


@dataclass(slots=True)
class AccountSums:
    """What all accounts have together; `system_account` is the name of the one that is, "" where there is none."""

    subscriptions: int = 0
    retained: int = 0
    retained_bytes: int = 0
    retained_refused: int = 0
    system_account: str = ""


async def sum_up(accounts: Mapping[str, Account], turns: Turns) -> AccountSums:
    sums = AccountSums()
    turn = OwnTurn(turns)
    for account in [*accounts.values()]:
        retained = account.retained
        sums.subscriptions += account.router.tree.count
        sums.retained += len(retained)
        sums.retained_bytes += retained.bytes
        sums.retained_refused += retained.refused
        if account.is_system:
            sums.system_account = account.name
        if turn.is_over():
            await turn.next()
    return sums
