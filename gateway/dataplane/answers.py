"""Answers: what is answered to the requests of one peer, many at once (hot)."""

from collections.abc import Callable
from typing import Any

from gateway.dataplane.deliveries import FanOut
from gateway.dataplane.port import Port
from gateway.dataplane.router import Router
from protocols.message import Message, make_plain_message

# So many leave before others have their turn.
ANSWERS_AT_ONCE = 1024


class Answers:
    """They leave in the order in which they were put here. On a reply subject on which the asker may not publish it
    alone is told, of the message that `unwrap` makes: nobody may have the gateway say what it may not say itself.
    """

    __slots__ = (
        "_asker",
        "_bodies",
        "_events",
        "_position",
        "_replies",
        "_router",
        "_source",
        "_told",
        "_unwrap",
        "size",
    )

    def __init__(self, router: Router, asker: Port, source: Port, unwrap: Callable[[Message], Message]) -> None:
        # About how many bytes are held.
        self.size = 0
        self._router = router
        self._asker = asker
        self._source = source
        self._unwrap = unwrap
        self._replies: list[bytes] = []
        self._bodies: list[bytes] = []
        self._position = 0
        # What stands for an answer that has begun and goes to very many.
        self._events: list[Any] = []
        self._told: FanOut | None = None

    def __len__(self) -> int:
        return len(self._replies)

    def add(self, reply: bytes, body: bytes) -> None:
        self._replies.append(reply)
        self._bodies.append(body)
        self.size += len(reply) + len(body)

    def replace(self, body: bytes) -> None:
        """Answer all of them with this."""
        self._bodies = [body] * len(self._bodies)

    def go_on(self) -> bool:
        """Have a share of them leave; whether there are more (gateway.runtime.turns.Step)."""
        if self._told is not None:
            if self._told.go_on(self._source):
                return True
            self._told = None
        elif self._events:
            if not self._router.forward(self._events, 0, self._source, False, True):
                return True
            self._events = []
        router, asker, source = self._router, self._asker, self._source
        count = len(self._replies)
        stop = min(self._position + ANSWERS_AT_ONCE, count)
        while self._position < stop:
            reply = self._replies[self._position]
            body = self._bodies[self._position]
            self._position += 1
            message = make_plain_message(reply, len(body), 1)
            message.content = body
            if asker.may_publish is not None and not asker.allows(reply):
                self._told = router.begin_telling(self._unwrap(message), asker)
                return True
            left = router.begin(message, source)
            if left is not None:
                self._events = [left]
                return True
        return self._position < count
