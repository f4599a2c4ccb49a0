"""When an answer leaves: at once where nothing changed, else with the commit that holds the change, in order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.mqtt.answers import EVER, Answers
from gateway.storage.durability import Durability
from gateway.storage.journal import Journal
from gateway.storage.storage import Storage
from tests.gateway.storage.running_journal import durable, running


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    storage = Storage(tmp_path, 100, 10_000)
    yield storage.journal
    storage.close()


def change(journal: Journal, subject: bytes = b"a") -> None:
    journal.batch.retained.put(("$G", subject), ("$G", subject, b"", 0, b"x", 0, 0.0))
    journal.note()


def test_in_memory_nothing_waits():
    sent: list[bytes] = []
    answers = Answers(Durability(), sent.append)
    answers.look()
    answers.give(b"1", answers.mark(), True)
    assert (sent, answers.owed, answers.held, answers.fault) == ([b"1"], 0, 0, None)


async def test_answer_to_a_change_waits_for_its_commit_and_others_wait_behind_it(journal: Journal):
    sent: list[bytes] = []
    answers = Answers(journal, sent.append)
    answers.give(b"0", answers.mark())
    mark = answers.mark()
    change(journal)
    answers.give(b"1", mark, True)
    answers.give(b"2", answers.mark(), True)
    assert (sent, answers.owed, answers.held) == ([b"0"], 2, 2)
    async with running(journal):
        await durable(journal)
    assert (sent, answers.owed, answers.held) == ([b"0", b"12"], 0, 0)


async def test_answer_does_not_leave_with_a_commit_before_its_own(journal: Journal):
    sent: list[bytes] = []
    answers = Answers(journal, sent.append)
    change(journal, b"a")
    journal.when_durable(lambda: change_and_answer(journal, answers))
    async with running(journal):
        await durable(journal)
        # The second batch is being written or waits now; what was changed for this answer has been taken back.
        mark = answers.mark()
        journal.note()
        answers.give(b"1", mark)
        mark = answers.mark()
        change(journal, b"c")
        answers.give(b"2", mark)
        done = journal.commits
        await durable(journal)
    assert b"".join(sent) == b"012"
    assert journal.commits > done


def change_and_answer(journal: Journal, answers: Answers) -> None:
    mark = answers.mark()
    change(journal, b"b")
    answers.give(b"0", mark)


async def test_answer_to_something_repeated_waits_for_all_that_is_on_its_way(journal: Journal):
    sent: list[bytes] = []
    answers = Answers(journal, sent.append)
    change(journal)
    answers.give(b"1", EVER)
    assert sent == []
    async with running(journal):
        await durable(journal)
    assert sent == [b"1"]
    answers.give(b"2", EVER)
    assert sent == [b"1", b"2"]


async def test_nothing_is_sent_to_a_client_that_has_gone(journal: Journal):
    sent: list[bytes] = []
    answers = Answers(journal, sent.append)
    mark = answers.mark()
    change(journal)
    answers.give(b"1", mark)
    answers.close()
    async with running(journal):
        await durable(journal)
    assert sent == []


def test_disk_that_has_no_room_is_a_fault_once_looked_at(journal: Journal):
    answers = Answers(journal, lambda packet: None)
    journal.max_pending_bytes = 1
    change(journal)
    assert answers.fault is None
    answers.look()
    assert answers.fault == "the disk is too slow"
    journal.fault = "the disk is full"
    assert answers.fault == "the disk is full"
