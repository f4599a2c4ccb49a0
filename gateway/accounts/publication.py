"""Publication: one message of the gateway's own, or of somebody's who is not there to go on with it, on its way."""

from collections.abc import Callable

from gateway.dataplane.port import Port
from gateway.dataplane.router import Router
from protocols.message import Message

# Hears of the message that went out, which knows how many took it, or that it is `refused`.
Done = Callable[[Message], None]


def nobody_asks(message: Message) -> None:
    """What has become of it is of no matter."""


class Publication:
    """Where its publisher is told, `whole`, nobody gets the message when it is refused. It is routed by another
    `subject` than its own where one is given. Where it does not `retain`, it was published before. `is_over`: everybody
    has it.
    """

    __slots__ = ("_done", "_events", "_message", "_retains", "_router", "_source", "_subject", "_whole", "is_over")

    def __init__(
        self,
        router: Router,
        message: Message,
        source: Port,
        whole: bool,
        done: Done,
        subject: bytes = b"",
        retains: bool = True,
    ) -> None:
        self._router = router
        self._message = message
        self._source = source
        self._whole = whole
        self._done = done
        self._subject = subject
        self._retains = retains
        self.is_over = False
        # What stands in its place once it has begun.
        self._events: list[object] = []

    def go_on(self) -> bool:
        """Hand it to a share of its receivers; whether there are more (gateway.runtime.turns.Step)."""
        message, events = self._message, self._events
        if not events:
            left = self._router.begin(message, self._source, self._subject, self._whole, self._retains)
            if left is not None:
                events.append(left)
                return True
        else:
            ended = self._router.forward(events, 0, self._source, self._whole, True)
            routed = events[0]  # It may stand on another subject now.
            if not isinstance(routed, Message) or not (ended or routed.refused):
                return True
            message.delivered = routed.delivered
            message.refused = routed.refused
        self.is_over = True
        self._done(message)
        return False
