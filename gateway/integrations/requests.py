"""Requests: what clients ask to be done elsewhere. A bounded number waits; each is answered, where it says where."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.integrations.integration import Integration
from gateway.runtime.drops import example_of
from protocols.message import Message, make_message

MOST_WAITING = 64
# What is wrong, with the numbers that HTTP has for it.
INVALID, MISSING, REFUSED, BUSY, AWAY = 400, 404, 422, 429, 503
DONE = b'{"ok":true}'
TOO_MANY = "too many requests wait"
What = TypeVar("What")


class Request(Generic[What]):
    """`what` is asked on a subject, by `asker`, who hears of it on `reply`, or b""."""

    __slots__ = ("asker", "reply", "subject", "what")

    def __init__(self, message: Message, asker: Port, what: What) -> None:
        self.subject = message.subject
        self.reply = message.reply
        self.asker = asker
        self.what = what


class RequestReceiver(Receiver):
    """Hands on what is published on one filter."""

    __slots__ = ("_take",)

    def __init__(self, port: Port, subject: str, take: Callable[[Message, Port], None]) -> None:
        super().__init__(port, subject.encode(), b"")
        self.dear = SERVICE
        self._take = take

    def deliver(self, message: Message, source: Port) -> bool:
        self._take(message, source)
        return True


class Requests(Generic[What]):
    """Those to one integration. `undone` says in the counts what did not happen, `away` why nothing can where the other
    side is not there.
    """

    def __init__(self, integration: Integration, account: Account, undone: str, away: str) -> None:
        self._integration = integration
        self._account = account
        self._undone = undone
        self._away = away
        self._port = Port(None)
        self._receivers: list[RequestReceiver] = []
        self._waiting: deque[Request[What]] = deque()
        self._news = trio.Event()
        # What was handed out last, until it is answered.
        self._begun: Request[What] | None = None

    def listen(self, subject: str, take: Callable[[Message, Port], None]) -> None:
        """Hand on what is published on a filter from now on, with who asks; `add` what is to be done, or `answer`."""
        receiver = RequestReceiver(self._port, subject, take)
        self._receivers.append(receiver)
        self._account.router.subscribe(receiver)

    def close(self) -> None:
        for receiver in self._receivers:
            self._account.router.unsubscribe(receiver)
        self._receivers.clear()
        self.turn_away()

    def add(self, request: Request[What]) -> None:
        """Have it wait for `next`, where the other side is there and not too many wait."""
        history = self._integration.history
        if not history.is_up:
            self.answer(request, AWAY, f"{self._away}: {history.last_error}")
        elif len(self._waiting) >= MOST_WAITING:
            self.answer(request, BUSY, TOO_MANY)
        else:
            self._waiting.append(request)
            self._news.set()

    async def wait(self) -> None:
        """Return once one waits."""
        while not self._waiting:
            await self._news.wait()
            self._news = trio.Event()

    def next(self) -> Request[What] | None:
        """The one that has waited longest, to be done and answered."""
        self._begun = self._waiting.popleft() if self._waiting else None
        return self._begun

    def answer(self, request: Request[What], code: int = 0, description: str = "") -> None:
        """It is done; or, with a code, it is not, and counted."""
        if request is self._begun:
            self._begun = None
        if code:
            self._integration.drops.count(self._undone, example=f"{example_of(request.subject)}: {description}")
        if request.reply:
            told = {"error": {"code": code, "description": description}}
            message = make_message(request.reply, msgspec.json.encode(told) if code else DONE)
            self._account.answer(message, request.asker, self._port)
            self._integration.site.runtime.switch.flush()

    def turn_away(self) -> None:
        """The other side has gone: nothing that waits is done, and what was begun may be done or not."""
        if self._begun is not None:
            self.answer(self._begun, AWAY, self._away)
        while self._waiting:
            self.answer(self._waiting.popleft(), AWAY, self._away)
