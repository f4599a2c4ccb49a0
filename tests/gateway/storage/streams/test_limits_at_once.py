"""A limit that becomes much smaller: where what may stay begins is looked up, and not found message by message."""

from typing import Any

from gateway.storage.streams.limits import Limits
from gateway.storage.streams.stream import FEW_MESSAGES
from tests.gateway.storage.streams.running_store import durable, opened, read_all

MANY = 100 * FEW_MESSAGES


async def test_a_stream_that_may_have_much_less_lets_it_go_at_once(monkeypatch: Any) -> None:
    async with opened(None) as store:
        stream = store.create("account", "s", Limits(), "")
        for number in range(MANY):
            stream.append(b"s", b"", b"%d" % number)
        await durable(store)
        for number in range(5):
            stream.append(b"s", b"", b"late %d" % number)
        moves = 0
        move_first = type(stream).move_first

        def count(self: Any, first: int) -> int:
            nonlocal moves
            moves += 1
            return int(move_first(self, first))

        monkeypatch.setattr(type(stream), "move_first", count)
        stream.set_limits(Limits(max_messages=10))
        assert stream.messages == 10
        assert moves <= 3
        stream.set_limits(Limits(max_messages=3))
        assert stream.messages == 3
        await durable(store)
        assert [message.payload for message in await read_all(stream)] == [b"late 2", b"late 3", b"late 4"]
