"""Promises: answers to publishers that leave once what they promise is on the disk, all of a commit at once (hot)."""

from collections.abc import Callable
from functools import partial

from gateway.accounts.account import Account
from gateway.dataplane.answers import Answers
from gateway.dataplane.port import Port
from gateway.storage.streams.commits import Commits

# Answers that may wait for the disk at the same time, of one account.
MOST_WAITING = 262_144


class Promises:
    """Those of one account for one database. `port` is where the answers come from."""

    __slots__ = ("_account", "_answers", "_asker", "_backlog", "_batch", "_commits", "_port", "_turn", "_waiting")

    def __init__(self, account: Account, port: Port, commits: Commits) -> None:
        self._account = account
        self._port = port
        self._commits = commits
        self._backlog = commits.backlog
        # What waits for the commit of a turn (Backlog), by who asked; and who asked last.
        self._turn = -1
        self._batch: dict[Port, Answers] = {}
        self._asker: Port | None = None
        self._answers: Answers | None = None
        self._waiting = 0

    def has_room(self) -> bool:
        return self._waiting < MOST_WAITING

    def promise(self, reply: bytes, asker: Port, payload: bytes) -> None:
        """Answer with a payload once everything that was stored so far is on the disk."""
        if self._turn != self._backlog.turn or not self._batch:
            self._begin()
        answers = self._answers
        if answers is None or asker is not self._asker:
            answers = self._batch.get(asker)
            if answers is None:
                answers = self._batch[asker] = self._account.begin_answers(asker, self._port)
            self._asker = asker
            self._answers = answers
        answers.add(reply, payload)
        self._waiting += 1
        if self._turn < 0:
            self._keep(self._batch)

    def when_durable(self, action: Callable[[], None]) -> None:
        self._commits.when_durable(action)

    def _begin(self) -> None:
        """What is promised from now on waits for another commit than before, or for none."""
        self._batch = {}
        self._asker = self._answers = None
        if self._commits.awaited() is None:
            self._turn = -1
            return
        self._turn = self._backlog.turn
        self._commits.when_durable(partial(self._keep, self._batch))

    def _keep(self, batch: dict[Port, Answers]) -> None:
        if batch is self._batch:
            self._batch = {}
            self._asker = self._answers = None
        for asker, answers in batch.items():
            self._waiting -= len(answers)
            self._account.give(answers, asker)
