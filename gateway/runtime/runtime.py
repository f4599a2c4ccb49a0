"""Runtime: what every connection, session and service may have: time, turns, tasks, the switch, the settings."""

from collections.abc import Awaitable, Callable

import trio

from gateway.dataplane.outbox import Switch
from gateway.runtime.budget import Budget, default_limit
from gateway.runtime.deadlines import Deadlines
from gateway.runtime.identity import Names
from gateway.runtime.lane import Lane
from gateway.runtime.logs import Repeats
from gateway.runtime.neighbour import Neighbour
from gateway.runtime.ordered_work import OrderedWork
from gateway.runtime.turns import Turns
from gateway.settings.live import Settings


class Runtime:
    """`stopping` is set when nothing new shall begin any more. `nursery` holds the tasks that live as long as the
    connections do; it is set while the daemon runs. `handshakes` are those of TLS that wait for their turn, `in_order`
    messages on their way to very many. `repeats` writes what peers can make the log say without end. `domain` is that
    of the streams, empty where there are none; `neighbour` the other gateway of a pair, None where there is no pair.
    """

    __slots__ = (
        "budget",
        "deadlines",
        "domain",
        "handshakes",
        "in_order",
        "names",
        "neighbour",
        "nursery",
        "repeats",
        "settings",
        "stopping",
        "switch",
        "turns",
    )

    def __init__(self, settings: Settings, names: Names) -> None:
        self.settings = settings
        self.names = names
        self.domain = ""
        self.neighbour: Neighbour | None = None
        self.budget = Budget(memory_limit(settings))
        self.switch = Switch(self.budget)
        self.budget.elsewhere["outboxes"] = lambda: self.switch.pending
        settings.subscribe("limits", self._limits_changed)
        self.deadlines = Deadlines()
        self.repeats = Repeats(self.deadlines)
        self.turns = Turns()
        self.handshakes = Lane(self.turns)
        self.in_order = OrderedWork(self.turns, self.switch)
        self.stopping = trio.Event()
        self.nursery: trio.Nursery | None = None

    def _limits_changed(self) -> None:
        self.budget.limit = memory_limit(self.settings)

    def spawn(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run a task that lives as long as the connections do; behind their end there is nobody whom it would serve."""
        if self.nursery is None:
            raise RuntimeError("the gateway does not run")
        try:
            self.nursery.start_soon(task)
        except RuntimeError:  # The nursery takes no more.
            if not self.stopping.is_set():
                raise


def memory_limit(settings: Settings) -> int:
    return settings.limits.max_memory_bytes or default_limit()
