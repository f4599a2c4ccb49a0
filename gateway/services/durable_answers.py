"""DurableAnswers: answers to requests that leave once everything noted so far is on the disk, in their order."""

from functools import partial

from gateway.accounts.account import Account
from gateway.dataplane.answers import Answers
from gateway.dataplane.port import Port


class DurableAnswers:
    """Those that wait for one commit wait together. `port` is where they come from; `waiting` counts them. What can
    never be stored is answered by `refusal`.
    """

    def __init__(self, account: Account, port: Port, refusal: bytes) -> None:
        self.waiting = 0
        self._account = account
        self._port = port
        self._refusal = refusal
        # What stands for the commit that the last ones wait for, and those by who asked.
        self._awaited: object | None = None
        self._together: dict[Port, Answers] = {}

    def give(self, reply: bytes, asker: Port, body: bytes) -> None:
        durability = self._account.durability
        awaited = durability.awaited()
        together = self._together
        is_first = awaited is None or awaited is not self._awaited
        if is_first:
            together = self._together = {}
            self._awaited = awaited
        answers = together.get(asker)
        if answers is None:
            answers = together[asker] = self._account.begin_answers(asker, self._port)
        answers.add(reply, body)
        self.waiting += 1
        if is_first:
            durability.when_durable(partial(self._send, together, False), partial(self._send, together, True))

    def _send(self, together: dict[Port, Answers], is_refused: bool) -> None:
        if together is self._together:
            self._awaited = None
        for asker, answers in together.items():
            self.waiting -= len(answers)
            if is_refused:
                answers.replace(self._refusal)
            self._account.give(answers, asker)
