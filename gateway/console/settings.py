"""Settings: what of the configuration in force is not as it is by default, and what a reload would change. No secrets:
both are told as differences are (gateway.settings.difference).
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import trio

from gateway.monitoring.report import Fields
from gateway.settings.schema import Config

if TYPE_CHECKING:
    from gateway.reloading.reloader import Outcome
    from gateway.settings.difference import Change

MOST_SHOWN = 500

# What a reload would change; None while the gateway starts.
Foretell = Callable[[], "Awaitable[Outcome | None]"]


async def nothing_foretold() -> None:
    """There is nobody who reloads."""


async def settings(config: Config, foretell: Foretell) -> Fields:
    """`set` and `pending` are lists of `{key, sign, text}`, at most MOST_SHOWN each; `total` says how many are set.
    `refused` says why a reload would not be taken.
    """
    changes = await trio.to_thread.run_sync(unlike_defaults, config)
    told: Fields = {"set": shown(changes), "total": len(changes), "pending": [], "refused": ""}
    outcome = await foretell()
    if outcome is not None:
        told |= {"pending": shown(outcome.changes), "refused": outcome.reason}
    return told


def unlike_defaults(config: Config) -> "list[Change]":
    from gateway.settings.difference import difference  # Few ask for it.

    # What stands in a list by default and not in this one is not in force.
    return [change for change in difference(Config(), config) if change.sign != "-"]


def shown(changes: "Iterable[Change]") -> list[Fields]:
    found: list[Fields] = [{"key": one.key, "sign": one.sign, "text": one.text} for one in changes]
    return found[:MOST_SHOWN]
