"""Load averages: how many of something came in a minute, over the last 1, 5 and 15 of them, as mosquitto counts."""

import math

MINUTES = (1, 5, 15)


class LoadAverages:
    """Of several sums that grow, by their names. The first time that they are given, they tell since when that was."""

    __slots__ = ("_at", "_averages", "_before")

    def __init__(self, started: float) -> None:
        """`started` is when all sums were zero, in seconds of the clock that `update` is given."""
        self._at = started
        self._before: dict[str, float] = {}
        self._averages: dict[str, list[float]] = {}

    def update(self, now: float, sums: dict[str, float]) -> None:
        passed = now - self._at
        if passed <= 0:
            return
        for name, value in sums.items():
            rate = (value - self._before.get(name, 0.0)) * 60.0 / passed
            averages = self._averages.setdefault(name, [0.0, 0.0, 0.0])
            for index, minutes in enumerate(MINUTES):
                weight = math.exp(-passed / (60.0 * minutes))
                averages[index] = rate + weight * (averages[index] - rate)
        self._before = dict(sums)
        self._at = now

    def of(self, name: str) -> tuple[tuple[int, float], ...]:
        """(minutes, average) of each."""
        return tuple(zip(MINUTES, self._averages.get(name, (0.0, 0.0, 0.0)), strict=True))
