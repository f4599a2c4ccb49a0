"""Integrations: all of them, begun, changed and ended as the configuration says."""

from collections.abc import Callable, Iterable, Iterator

import trio

from gateway.integrations.integration import Integration
from gateway.integrations.site import Site
from gateway.integrations.status import IntegrationStatus
from gateway.settings.integration import Integration as IntegrationKeys


class Integrations:
    """`make` makes what a configuration says (gateway.integrations.kinds)."""

    def __init__(self, site: Site, make: Callable[[Site, IntegrationKeys], Integration]) -> None:
        self._site = site
        self._make = make
        self._there: dict[str, Integration] = {}
        site.runtime.budget.elsewhere["integrations"] = self._waiting_bytes

    def replace(self, configured: Iterable[IntegrationKeys], nursery: trio.Nursery) -> None:
        """Begin what is new and end what is not there any more. One whose keys are the same goes on; one with others
        ends, and begins behind that: out of a stream where it was.
        """
        before, self._there = self._there, {}
        for config in configured:
            there = before.pop(config.label, None)
            if there is None or there.config != config:
                if there is not None:
                    there.end()
                old, there = there, self._make(self._site, config)
                nursery.start_soon(there.run, old)
            self._there[config.label] = there
        for there in before.values():
            there.end()

    def statuses(self) -> Iterator[IntegrationStatus]:
        return (one.status() for one in self._there.values())

    def _waiting_bytes(self) -> int:
        """What is kept in memory."""
        return sum(one.waiting[1] for one in self._there.values() if not one.config.stream)
