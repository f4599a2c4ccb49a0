"""Link line: for who sends to one hub alone, as a store that forwards: whether the link is up, and the way over it.

Such messages reached everybody here when they came; over the link they go once more, and to nobody else.
"""

from collections.abc import Callable
from typing import Protocol

from gateway.dataplane.nats_receivers import LeafRoute
from gateway.dataplane.port import Port
from gateway.nats.leafnode_spoke import SpokeSession
from gateway.runtime.runtime import Runtime
from protocols.message import Message


class LineUser(Protocol):
    """Both are called within the gateway's turn, and return at once."""

    def line_up(self) -> None:
        """Messages can be sent from now on; what the hub is interested in comes to be known in the moments after."""

    def line_down(self) -> None:
        """The link is gone; what was sent may or may not have arrived."""


class LinkLine:
    """The way over one uplink. Answers come like any others: subscribe to the reply subject in the account before, and
    the hub is told of it before the message. `session` is None while it is down.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.session: SpokeSession | None = None
        self._users: list[LineUser] = []
        self._covered: Callable[[bytes], bool] = nothing
        # Nobody's own: a gateway's messages come from the gateway.
        self._source = Port(None)

    @property
    def is_up(self) -> bool:
        return self.session is not None

    def join(self, user: LineUser) -> None:
        """Tell a user of changes from now on, and at once of a link that is up."""
        self._users.append(user)
        if self.session is not None:
            user.line_up()

    def leave(self, user: LineUser) -> None:
        if user in self._users:
            self._users.remove(user)

    def cover(self, covered: Callable[[bytes], bool] | None) -> None:
        """From now on messages on the subjects of which this is true go over the link by its users alone."""
        self._covered = covered or nothing
        if self.session is not None:
            self.session.forget_routes()

    def covers(self, subject: bytes) -> bool:
        return self._covered(subject)

    def is_wanted(self, subject: bytes) -> bool:
        """Whether somebody behind the link is interested in a literal subject, and the hub permits it."""
        route = self.way(subject)
        return route is not None and route.permitted

    def way(self, subject: bytes, told: bool = True) -> LeafRoute | None:
        """How messages on a literal subject go over the link; None where it is down, or nobody there has told (or need
        not have `told`) that he wants them. It holds until interest or the link changes.
        """
        return self.session.route_for(subject, told) if self.session is not None else None

    def send(self, message: Message, way: LeafRoute | None = None) -> bool:
        """Send a message over the link; False where it is down, or the hub would not take it or wants no such subject.

        It leaves with `flush`, or with whatever else the gateway sends in this turn.
        """
        way = way or self.way(message.subject)
        return way is not None and way.deliver(message, self._source)

    def brings(self, source: Port) -> bool:
        """Whether a message comes over this link."""
        return source is self.session

    def flush(self) -> None:
        self._runtime.switch.flush()

    def waiting_bytes(self) -> int:
        """What was sent and the operating system has not taken yet."""
        return self.session.connection.outbox.pending() if self.session is not None else 0

    async def relieved(self) -> None:
        """Return once the hub takes what was sent, or the link is gone."""
        if self.session is not None:
            await self.session.connection.relieved()

    def ask(self) -> None:
        """Have the hub asked for a sign of life now, because an answer that was expected has not come."""
        if self.session is not None:
            self.session.ask_for_life()

    # What the uplink tells.

    def up(self, session: SpokeSession) -> None:
        self.session = session
        for user in list(self._users):
            user.line_up()

    def down(self) -> None:
        self.session = None
        for user in list(self._users):
            user.line_down()


def nothing(subject: bytes) -> bool:
    """No subject."""
    return False
