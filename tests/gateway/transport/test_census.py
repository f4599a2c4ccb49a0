"""The census: sums over connections that come and go while they are counted."""

import trio
import trio.testing

from gateway.runtime.turns import Turns
from gateway.transport.census import Census, Traffic
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason


class Counted:
    """As much of a connection as a census looks at: it stands for its session, port and outbox, too."""

    def __init__(self, cid: int, account: str, in_messages: int, kind: str = "nats") -> None:
        self.cid = cid
        self.kind = kind
        self.account = account
        self.in_messages, self.in_bytes = in_messages, 10 * in_messages
        self.out_messages, self.out_bytes = 1, 2
        self.session = self.outbox = self
        self.close_reason: CloseReason | None = None

    def port(self) -> "Counted":
        return self

    def describe(self) -> PeerSnapshot:
        return PeerSnapshot(type="nats", account=self.account)


def place() -> tuple[Census, dict[int, Counted], Turns]:
    turns = Turns()
    there: dict[int, Counted] = {}
    return Census(there, turns), there, turns  # type: ignore[arg-type]


async def test_open_and_closed_connections_are_counted_by_account_and_protocol():
    census, there, _ = place()
    for one in (Counted(1, "a", 3), Counted(2, "b", 4), Counted(3, "a", 5, "leafnode"), Counted(4, "a", 6)):
        there[one.cid] = one
    gone = there.pop(4)
    gone.close_reason = CloseReason.SLOW_CONSUMER_WRITE_DEADLINE
    census.left(gone, gone.session.describe())  # type: ignore[arg-type]
    totals = await census.take()
    assert totals.by_key == {
        ("a", "nats"): Traffic(1, 9, 2, 90, 4, 1),
        ("b", "nats"): Traffic(1, 4, 1, 40, 2),
        ("a", "leafnode"): Traffic(1, 5, 1, 50, 2),
    }
    assert totals.all() == Traffic(3, 18, 4, 180, 8, 1)
    assert totals.clients.in_msgs == 13
    assert totals.links == totals.of_account("a")[1] == Traffic(1, 5, 1, 50, 2)
    assert totals.of_account("c") == (Traffic(), Traffic())


async def test_who_leaves_while_it_is_counted_is_counted_once():
    census, there, turns = place()
    for cid in range(100):
        there[cid] = Counted(cid, "a", 1)
    times = iter(range(1000))
    turns.clock = lambda: float(next(times))  # Every look at the clock is the end of a turn.
    found = []

    async def take() -> None:
        found.append(await census.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
        left = 0
        while not found:
            await trio.testing.wait_all_tasks_blocked()
            for one in (there[left], there[99 - left]):
                del there[one.cid]
                one.close_reason = CloseReason.CLIENT_CLOSED
                census.left(one, one.session.describe())  # type: ignore[arg-type]
            left += 1
            turns.take()
            await trio.testing.wait_all_tasks_blocked()
    assert left > 2
    first, second = found
    assert first is second
    assert first.all() == Traffic(100 - 2 * left, 100, 100, 1000, 200)


async def test_accounts_without_end_are_counted_together(monkeypatch):
    monkeypatch.setattr("gateway.transport.census.MOST_KEPT", 2)
    census, _, _ = place()
    for number in range(5):
        one = Counted(number, f"a{number}", 1)
        census.left(one, one.session.describe())  # type: ignore[arg-type]
    totals = await census.take()
    assert set(totals.by_key) == {("a0", "nats"), ("a1", "nats"), ("", "nats")}
    assert totals.all().in_msgs == 5


async def test_sums_over_very_many_accounts_are_made_in_turns():
    census, there, turns = place()
    for cid in range(400):
        there[cid] = Counted(cid, f"account-{cid}", 1)
    times = iter(range(10_000))
    turns.clock = lambda: float(next(times))  # Every look at the clock is the end of a turn.
    found = []

    async def take() -> None:
        found.append(await census.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        taken = 0
        while not found:
            await trio.testing.wait_all_tasks_blocked()
            taken += 1
            turns.take()
            await trio.testing.wait_all_tasks_blocked()
            if there and taken > 400 // 16 + 2:  # Who leaves behind that was counted.
                one = there.popitem()[1]
                census.left(one, one.session.describe())  # type: ignore[arg-type]
    assert taken >= 2 * 400 // 16
    (totals,) = found
    assert totals.all().in_msgs == 400
    assert totals.active_accounts == 400
