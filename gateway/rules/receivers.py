"""Receivers of rules: each takes messages on its filter, and publishes what its rule makes of them (hot).

What rules publish no rule takes, nor what comes from another account: there is no way round.
"""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import Router
from gateway.dataplane.stream_imports import SharingPort
from gateway.rules.rule import Rule
from protocols.message import RETAIN_HEADER, Message, make_message, readdressed

# What a message costs that goes through a rule, in deliveries: it is made by the interpreter.
RULE = 8
# Subjects of servers, and of answers.
DOLLAR, UNDERSCORE = 0x24, 0x5F


def is_private(source: bytes, subject: bytes) -> bool:
    """Whether a filter takes a subject only because it takes all: that of a server, or of answers."""
    return source.startswith((b"*", b">")) and (subject[0] == DOLLAR or subject[0] == UNDERSCORE)


class RulePort(Port):
    """Where the messages of one rule come from. `behind` counts those that take turns to reach everybody."""

    __slots__ = ("behind",)

    def __init__(self) -> None:
        super().__init__(None)
        self.behind = 0


class RuleReceiver(Receiver):
    """`clock` gives seconds; `due` is told when a window of the rule ends first; `in_order` takes what needs turns
    (gateway.runtime.ordered_work).
    """

    __slots__ = ("_clock", "_due", "_in_order", "_named", "_passes", "_port", "_router", "_rule")

    def __init__(
        self,
        rule: Rule,
        router: Router,
        clock: Callable[[], float],
        due: Callable[[float], None],
        in_order: Callable[[Hashable, int, Callable[[], bool]], None],
    ) -> None:
        port = RulePort()
        super().__init__(port, rule.config.source.encode(), b"")
        self.dear = RULE
        self._port = port
        self._rule = rule
        self._router = router
        self._clock = clock
        self._due = due
        self._in_order = in_order
        # Whether the filter may match what is private.
        self._named = not self.subject.startswith((b"*", b">"))
        config = rule.config
        self._passes = config.retain is None and not (config.payload or config.fields or config.window_seconds)

    def deliver(self, message: Message, source: Port) -> bool:
        subject = message.subject
        if isinstance(source, (RulePort, SharingPort)):
            return False
        if not self._named and (subject[0] == DOLLAR or subject[0] == UNDERSCORE):
            return False
        rule = self._rule
        place = rule.place_of(subject)
        payload = message.payload()
        if not payload and message.header_size and message.is_retained():
            # What takes a retained message back takes back what was made of it.
            if place.subject and rule.config.retain is not False:
                self._send(make_message(place.subject, b"", b"", RETAIN_HEADER), message)
            return not message.reply
        now = self._clock() if rule.is_timed else 0.0
        made = rule.take(place, payload, now)
        if made is not None:
            if self._passes and not message.reply:
                copy = readdressed(message, place.subject)
                copy.queues = None
            else:
                copy = make_message(place.subject, made, b"", self._header(message))
                copy.qos = message.qos
            self._send(copy, message)
        if rule.is_timed:
            due = rule.next_due
            if due is not None:
                self._due(due)
        # A rule answers nobody: who asks a question is to hear that there is nobody.
        return not message.reply

    def send(self, subject: bytes, payload: bytes) -> None:
        """Publish what a window came to."""
        self._route(make_message(subject, payload, b"", RETAIN_HEADER if self._rule.config.retain else b""))

    def _header(self, message: Message) -> bytes:
        if self._passes:
            return message.header()
        retain = self._rule.config.retain
        if retain is None:
            retain = message.header_size > 0 and message.is_retained()
        return RETAIN_HEADER if retain else b""

    def _send(self, copy: Message, message: Message) -> None:
        self._route(copy)
        # Its publisher is told that what must be kept is not.
        message.refused = message.refused or copy.refused

    def _route(self, message: Message) -> None:
        port = self._port
        left: Any = message
        if not port.behind:
            left = self._router.begin(message, port)
            if left is None:
                return
        port.behind += 1
        self._in_order(port, message.size, partial(self._go_on, [left]))

    def _go_on(self, events: list[Any]) -> bool:
        """Hand what takes long to a share of its receivers; whether there are more."""
        if self._router.forward(events, 0, self._port, False, True) == 0:
            return True
        self._port.behind -= 1
        return False
