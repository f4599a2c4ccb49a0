"""Runtime: what every connection, session and service may have: time, tasks, the switch, the settings, and no more."""

from collections.abc import Awaitable, Callable

import trio

from gateway.dataplane.outbox import Switch
from gateway.runtime.deadlines import Deadlines
from gateway.runtime.identity import Names
from gateway.runtime.logs import Repeats
from gateway.settings.live import Settings


class Runtime:
    """`stopping` is set when nothing new shall begin any more. `nursery` holds the tasks that live as long as the
    connections do; it is set while the daemon runs. `repeats` writes what peers can make the log say without end.
    """

    __slots__ = ("deadlines", "names", "nursery", "repeats", "settings", "stopping", "switch")

    def __init__(self, settings: Settings, names: Names) -> None:
        self.settings = settings
        self.names = names
        self.switch = Switch()
        self.deadlines = Deadlines()
        self.repeats = Repeats(self.deadlines)
        self.stopping = trio.Event()
        self.nursery: trio.Nursery | None = None

    def spawn(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run a task that lives as long as the connections do."""
        if self.nursery is None:
            raise RuntimeError("the gateway does not run")
        self.nursery.start_soon(task)
