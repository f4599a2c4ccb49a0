"""Link history: whether a link to a hub is up, since when, and how often it was lost."""

from collections import deque
from collections.abc import Callable

import trio

from gateway.uplink.explanations import explain, printable

# A link that was lost so often within this time is not sound, whether or not it is up at the moment.
FLAPS = 3
FLAP_SECONDS = 600.0


class LinkHistory:
    """`since` is when the link came up or went down last (at first: the start), in trio's clock. `flaps` counts the
    times that a link was lost, `last_error` is what went wrong last, in `words` that say where to look.
    """

    def __init__(self, words: Callable[[str], str] = explain) -> None:
        self._words = words
        self.is_up = False
        self.since = trio.current_time()
        self.flaps = 0
        self.last_error = ""
        self.hub = ""
        # The link that serves the same place.
        self.standing_by_for = ""
        # Whether something was said of the current attempt.
        self._is_told = False
        self._lost: deque[float] = deque(maxlen=FLAPS)

    def up(self, hub: str) -> None:
        self.is_up = True
        self.since = trio.current_time()
        self.hub = hub
        self.standing_by_for = ""

    def stand_by(self, other: str) -> None:
        """Another link serves the same place: that is nothing wrong."""
        if other != self.standing_by_for:
            self.standing_by_for = other
            self.since = trio.current_time()
        self.is_up = False
        self._is_told = False
        self.last_error = ""

    @property
    def state(self) -> str:
        return "up" if self.is_up else "standby" if self.standing_by_for else "down"

    def down(self, reason: str) -> None:
        """The connection ended because of `reason`; what the hub or we said before that is the better reason."""
        if not self._is_told:
            self.last_error = printable(self._words(reason))
        self._is_told = False
        if not self.is_up:
            return
        self.is_up = False
        self.since = trio.current_time()
        self.flaps += 1
        self._lost.append(self.since)

    def failed(self, reason: str) -> None:
        self.last_error = printable(self._words(reason))
        self.standing_by_for = ""
        self._is_told = True

    def fault(self) -> str:
        """What is wrong with the link, in a line; "" for nothing."""
        now = trio.current_time()
        error = f": {self.last_error}" if self.last_error else ""
        if self.standing_by_for:
            return ""
        if not self.is_up:
            return f"down for {now - self.since:.0f} s{error}"
        recent = sum(now - lost < FLAP_SECONDS for lost in self._lost)
        if recent >= FLAPS:
            return f"lost {recent} times or more within {FLAP_SECONDS / 60:.0f} minutes{error}"
        return ""
