"""Passing on: what comes on one subject goes on under another one, here or in another account, in turns where very many
wait for it there.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from gateway.dataplane.deliveries import BorderRoute, Carrying, FanOut
from gateway.dataplane.port import Port
from gateway.dataplane.router import Router
from gateway.dataplane.routes import NOWHERE
from protocols.message import Burst, Message

T = TypeVar("T")


class Passage:
    """One message as it goes on, by `router`."""

    __slots__ = ("message", "router")

    def __init__(self, router: Router, message: Message) -> None:
        self.router = router
        self.message = message

    def begin(self, source: Port) -> object:
        """As Router.begin."""
        return self.router.begin_call(self.message, source)

    def deliver(self, source: Port) -> int:
        """Hand it on at once; returns how many took it."""
        return self.router.call(self.message, source)

    def inside(self, deliver: Callable[[], T]) -> T:
        """Deliver: some of it, or all."""
        return deliver()

    def over(self, taken: int) -> None:
        """It has been handed on, and so many took it."""


class PassingRoute(BorderRoute):
    """Leads on to receivers elsewhere; those of one port that match a subject are one already."""

    __slots__ = ()

    def passage(self, message: Message, source: Port) -> Passage | None:
        """What a message becomes; None where it does not go on."""
        raise NotImplementedError

    def alone(self) -> "PassingRoute":
        return self

    def deliver(self, message: Message, source: Port) -> bool:
        passage = self.passage(message, source)
        if passage is None:
            return False
        taken = passage.inside(partial(passage.deliver, source))
        message.refused = message.refused or passage.message.refused
        passage.over(taken)
        return taken > 0

    def begin(self, event: Message | Burst, source: Port) -> Carrying | None:
        return PassingOn(self, event, source)


class PassingOn(Carrying):
    """A message, or several in a row, to more receivers than make a share."""

    def __init__(self, route: PassingRoute, event: Message | Burst, source: Port) -> None:
        super().__init__(FanOut(event, NOWHERE), source)
        self._route = route
        self._left = deque(event.messages() if isinstance(event, Burst) else [event])
        self._passage: Passage | None = None
        # What stands in the place of the message that is being handed on.
        self._events: list[object] = []
        self._taken = self._refused = False

    def go_on(self) -> bool:
        passage, events = self._passage, self._events
        if passage is None:
            if not self._left:
                return False
            passage = self._route.passage(self._left.popleft(), self.source)
            if passage is None:
                return bool(self._left)
            left = passage.inside(partial(passage.begin, self.source))
            if left is not None:
                self._passage = passage
                events.append(left)
                return True
            message = passage.message
        else:
            ended = passage.inside(partial(passage.router.forward, events, 0, self.source, False, True))
            if not ended:
                return True
            self._passage = None
            routed = events.pop()
            assert isinstance(routed, Message)
            message = routed
        self._taken = self._taken or message.delivered > 0
        self._refused = self._refused or message.refused
        passage.over(message.delivered)
        return bool(self._left)

    def taken(self) -> bool:
        return self._taken

    def refused(self) -> bool:
        return self._refused
