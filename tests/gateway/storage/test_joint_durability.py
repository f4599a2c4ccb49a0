"""What waits for two stores: order, refusals, and nothing to pay where there is but one."""

from collections.abc import Callable

import pytest

from gateway.storage.durability import Durability
from gateway.storage.joint_durability import Companion, JointDurability
from protocols.message import Message, make_message

Waiting = tuple[Callable[[], None], Callable[[], None] | None]


class Store(Companion):
    """A store whose commits the test makes."""

    def __init__(self) -> None:
        self.changes = 0
        self.batch: list[Waiting] | None = None
        self.is_full = False

    def note(self) -> None:
        self.changes += 1
        self.batch = self.batch or []

    def commit(self, is_written: bool = True) -> None:
        batch, self.batch = self.batch or [], None
        for action, refused in batch:
            (refused or action)() if not is_written else action()

    def mark(self) -> int:
        return self.changes

    def awaited(self) -> object | None:
        return self.batch

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        if self.batch is None:
            action()
        else:
            self.batch.append((action, refused))

    def refuses(self, message: Message, before: int) -> bool:
        return self.is_full


@pytest.fixture
def first() -> Store:
    return Store()


@pytest.fixture
def second() -> Store:
    return Store()


@pytest.fixture
def both(first: Store, second: Store) -> JointDurability:
    both = JointDurability(first)
    both.companion = second
    return both


def test_one_store_alone_is_as_it_is(first: Store):
    alone = JointDurability(first)
    first.note()
    assert (alone.mark(), alone.awaited()) == (first.mark(), first.awaited())
    done: list[str] = []
    alone.when_durable(lambda: done.append("durable"))
    first.commit()
    assert done == ["durable"]


def test_memory_waits_for_nothing():
    done: list[str] = []
    JointDurability(Durability()).when_durable(lambda: done.append("durable"))
    assert done == ["durable"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_both_have_to_have_it(both: JointDurability, first: Store, second: Store, order: tuple[int, int]):
    stores = (first, second)
    before = both.mark()
    for store in stores:
        store.note()
        assert both.mark() != before
        before = both.mark()
    done: list[str] = []
    both.when_durable(lambda: done.append("durable"))
    stores[order[0]].commit()
    assert done == []
    stores[order[1]].commit()
    assert done == ["durable"]


def test_who_waits_longer_waits_behind(both: JointDurability, first: Store, second: Store):
    done: list[int] = []
    first.note()
    both.when_durable(lambda: done.append(1))
    second.note()
    both.when_durable(lambda: done.append(2))
    second.commit()
    assert done == []
    first.commit()
    assert done == [1, 2]


def test_two_commits_stand_for_the_same_as_long_as_they_are_the_same(
    both: JointDurability, first: Store, second: Store
):
    assert both.awaited() is None
    second.note()
    assert both.awaited() is second.batch
    first.note()
    together = both.awaited()
    assert together is both.awaited()
    second.commit()
    second.note()
    assert both.awaited() is not together


def test_what_one_can_never_write_is_refused_once(both: JointDurability, first: Store, second: Store):
    first.note()
    second.note()
    done: list[str] = []
    both.when_durable(lambda: done.append("durable"), lambda: done.append("refused"))
    first.commit(is_written=False)
    second.commit()
    assert done == ["refused"]


def test_companion_refuses_what_it_is_to_have(both: JointDurability, second: Store):
    message = make_message(b"a", b"1")
    assert both.reserve(message, 1, False)
    second.is_full = True
    assert both.reserve(message, 0, True)  # Nobody stores it but to retain it.
    assert not both.reserve(message, 1, False)
    assert message.refused
