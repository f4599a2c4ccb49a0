"""Link choice: several links that lead to one place, as one line: over whichever of them is up."""

from collections.abc import Sequence

from gateway.runtime.runtime import Runtime
from gateway.uplink.link_line import LinkLine


class LinkChoice(LinkLine):
    """Who is up stays the line until it is lost; then the next one that is up takes its place. What a line covers is
    said to each of the `lines` itself. `close` once nobody uses it any more.
    """

    def __init__(self, runtime: Runtime, lines: Sequence[LinkLine]) -> None:
        super().__init__(runtime)
        self._choices = [Choice(self, line) for line in lines]
        for choice in self._choices:
            choice.line.join(choice)

    def close(self) -> None:
        for choice in self._choices:
            choice.line.leave(choice)

    def changed(self) -> None:
        """One of the links came up or went down."""
        sessions = [one.line.session for one in self._choices if one.line.session is not None]
        if self.session is not None and self.session not in sessions:
            self.down()
        if self.session is None and sessions:
            self.up(sessions[0])


class Choice:
    """What tells of one of the links."""

    def __init__(self, owner: LinkChoice, line: LinkLine) -> None:
        self.line = line
        self._owner = owner

    def line_up(self) -> None:
        self._owner.changed()

    def line_down(self) -> None:
        self._owner.changed()
