"""What a verdict costs: mixed traffic of a user with rights beside the same of somebody without rules."""

import statistics
from dataclasses import dataclass, replace

from measures import Effort, Outcome, Site
from mixed_measures import Mixed

_USER = "machine"
# Each pair of runs the other way round than the one before: what drifts falls on both alike.
_TURNS = 6


@dataclass(frozen=True)
class Rights:
    """Deliveries per second of mixed messages from and to a user with rights, and by how many per cent each of them
    takes more of the server's processor than for somebody without: both in turn, at one server.
    """

    protocol: str

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        each = replace(effort, seconds=effort.seconds / 2)
        names = (f"{self.protocol}:{_USER}", self.protocol)
        outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
        for turn in range(_TURNS):
            for name in names if turn % 2 else reversed(names):
                outcomes[name].append(Mixed(publish=name, receive=name)(site, each))
        judged, free = ([one.values["cpu"] for one in outcomes[name]] for name in names)
        cost = statistics.median(mine / others for mine, others in zip(judged, free, strict=True)) - 1
        rates = [one.values["rate"] for one in outcomes[names[0]]]
        busy = statistics.median(one.busy or 0.0 for one in outcomes[names[0]])
        return Outcome({"rate": statistics.median(rates), "cost": cost * 100}, busy)
