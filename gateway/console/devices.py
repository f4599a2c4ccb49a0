"""Devices: who said that it is there, or is away, and serial ports that fail."""

from itertools import chain, islice

import msgspec

from gateway.accounts.account import Account
from gateway.monitoring.report import Fields
from gateway.monitoring.sources import Sources
from gateway.runtime.turns import OwnTurn
from protocols import foreign_json

MOST_DEVICES = 500


async def devices(sources: Sources, account: Account) -> Fields:
    """Those of an account, by the subject that says so; what it says besides is the device's own."""
    turn = OwnTurn(sources.runtime.turns)
    found: list[Fields] = []
    for subject in islice(chain(list(account.presences), list(account.absent)), MOST_DEVICES):
        message = account.retained.get(subject)
        about: object = {}
        if message is not None:
            try:
                about = foreign_json.decode(message.payload())
            except msgspec.DecodeError:
                about = {}  # Somebody else's message by now.
        said = about if isinstance(about, dict) else {}
        state = "online" if subject in account.presences else "offline"
        found.append(said | {"subject": subject.decode("utf-8", "replace"), "state": state})
        if turn.is_over():
            await turn.next()
    return {
        "devices": found,
        "total": len(account.presences) + len(account.absent),
        "serial_faults": dict(sources.serial_faults),
    }
