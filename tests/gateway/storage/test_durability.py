"""What those who answer peers are told where nothing survives the process."""

from gateway.storage.durability import Durability
from gateway.storage.storage import Storage
from protocols.message import make_message


def test_in_memory_nothing_waits_and_nothing_fails():
    durability = Durability()
    called: list[int] = []
    durability.when_durable(lambda: called.append(1))
    assert called == [1]
    assert durability.mark() == durability.mark()
    assert durability.has_room()
    assert (durability.awaited(), durability.fault, durability.obstacle()) == (None, None, None)


def test_journal_answers_the_same_questions():
    storage = Storage(None, 10, 1000)
    durability: Durability = storage.journal
    called: list[int] = []
    before = durability.mark()
    assert durability.awaited() is None
    storage.global_account.retained.keep(make_message(b"a", b"1"))
    assert durability.mark() != before
    durability.when_durable(lambda: called.append(1))
    assert called == []
    assert durability.awaited() is not None
    storage.journal.max_pending_bytes = 1
    assert not durability.has_room()
    assert durability.obstacle() == "the disk is too slow"
    storage.journal.fault = "the disk is full"
    assert durability.obstacle() == "the disk is full"
    storage.close()
