"""What is answered at once is answered as anything else is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import Router
from gateway.dataplane.verdicts import FilterSet, Verdicts
from gateway.storage.streams.limits import Limits
from gateway.storage.streams.reads import KeysRead
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stored_message import StoredMessage
from gateway.storage.streams.stream import Stream
from gateway.streams.direct_get import facts
from gateway.streams.message_headers import with_fields
from gateway.streams.prompt_gets import MOST_AWAITED, Gettable, PromptGets
from protocols.message import Message, make_message
from tests.gateway.storage.streams.running_store import durable, opened

INBOX = b"_INBOX.1"
EXACT = Limits(max_per_subject=1)
WITH_HEADER = b"NATS/1.0\r\nKind: x\r\n\r\n"


class Asker(Receiver):
    """Who asks, and what was answered."""

    def __init__(self) -> None:
        super().__init__(Port(None), INBOX, b"")
        self.answers: list[Message] = []

    def deliver(self, message: Message, source: Port) -> bool:
        self.answers.append(message)
        return True


class Place:
    """A stream, and somebody who asks for its messages."""

    def __init__(self, store: StreamStore, limits: Limits | None = None) -> None:
        self.stream: Stream = store.create("$G", "s", limits)
        self.asker = Asker()
        self.waiting: dict[Port, Any] = {}
        router = Router()
        router.subscribe(self.asker)
        gettable = Gettable("s", self.stream.look_up, self.stream.fetch_chunk)
        served = SimpleNamespace(name="s", gettable=gettable)
        self.served: dict[str, Any] = {"s": served, "shut": SimpleNamespace(gettable=None)}
        # What was waited for in vain.
        self.left: list[bytes] = []
        self.gets = PromptGets(router, Port(None), self.served, self.waiting, None, self.leave)

    def ask(self, asked: bytes, payload: bytes = b"", reply: bytes = INBOX) -> bool:
        return self.gets.answer(asked, make_message(b"$JS.API.DIRECT.GET." + asked, payload, reply), self.asker.port)

    def leave(self, asked: bytes, message: Message, source: Port) -> None:
        assert source is self.asker.port
        self.left.append(asked)

    async def read(self) -> None:
        """Wait until everything was read that was asked for; there is no chunk with this key."""
        done = trio.Event()
        self.stream.fetch_chunk(0, done.set)
        await done.wait()

    def check(self, message: StoredMessage | None) -> None:
        """The last answer has what is told of a message otherwise."""
        assert message is not None
        answer = self.asker.answers[-1]
        told: list[tuple[bytes, bytes]] = facts(self.served["s"], message)
        assert answer.header() == with_fields(message.header, *told)
        assert answer.payload() == message.payload
        assert answer.subject == INBOX


@pytest.mark.parametrize("limits", [None, EXACT])
async def test_the_last_message_of_a_subject_is_answered(limits: Limits | None) -> None:
    async with opened(None) as store:
        place = Place(store, limits)
        for number in range(300):
            place.stream.append(b"k.%d" % (number % 7), WITH_HEADER if number % 2 else b"", b"%d" % number)
            if number % 50 == 0:
                await durable(store)
        await durable(store)
        for key in (b"k.0", b"k.3", b"k.6"):
            assert place.ask(b"s." + key)
            place.check(await place.stream.last_of(key))


async def test_what_was_read_lately_is_answered() -> None:
    async with opened(None) as store:
        place = Place(store, EXACT)
        for number in range(200):
            place.stream.append(b"k.%d" % number, b"", b"x")
        await durable(store)
        place.stream.tail.clear()
        message = await place.stream.last_of(b"k.5")
        assert place.ask(b"s.k.5")
        place.check(message)


async def test_what_is_on_the_disk_alone_is_read_with_one_statement_for_all_who_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    read = KeysRead.read

    def counted(self: KeysRead, connection: Any) -> None:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        read(self, connection)
        connection.set_trace_callback(None)
        looks.append(len(statements))

    monkeypatch.setattr(KeysRead, "read", counted)
    async with opened(tmp_path) as store:
        place = Place(store, EXACT)
        for number in range(300):
            place.stream.append(b"k.%d" % number, b"", b"%d" % number)
        await durable(store)
        place.stream.tail.clear()
        asked = range(0, 300, 7)
        for number in asked:
            assert place.ask(b"s.k.%d" % number)
        assert not place.asker.answers
        await place.read()
        assert sorted(int(answer.payload()) for answer in place.asker.answers) == [*asked]
        assert looks == [1]
        assert place.ask(b"s.k.0")
        place.check(await place.stream.last_of(b"k.0"))
        assert not place.left


async def test_what_goes_while_it_is_read_is_left_to_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        place = Place(store, EXACT)
        for number in range(300):
            place.stream.append(b"k.%d" % number, b"", b"x")
        await durable(store)
        place.stream.tail.clear()
        assert place.ask(b"s.k.5")
        place.stream.purge()
        await place.read()
        assert place.left == [b"s.k.5"]
        assert not place.asker.answers


async def test_who_has_too_many_read_is_left_to_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        place = Place(store, EXACT)
        place.stream.append(b"k", b"", b"x")
        await durable(store)
        place.stream.tail.clear()
        for _ in range(MOST_AWAITED):
            assert place.ask(b"s.k")
        assert not place.ask(b"s.k")
        await place.read()
        assert len(place.asker.answers) == MOST_AWAITED
        assert place.ask(b"s.k")


@pytest.mark.parametrize("time_ns", [1, 951_782_400_000_000_000, 1_709_164_800_120_000_000, 4_102_444_799_999_999_999])
async def test_times_are_those_of_the_api(time_ns: int) -> None:
    async with opened(None, wall_ns=lambda: time_ns) as store:
        place = Place(store)
        place.stream.append(b"k", b"", b"")
        await durable(store)
        assert place.ask(b"s.k")
        place.check(await place.stream.last_of(b"k"))


async def test_everything_else_is_left_to_others() -> None:
    async with opened(None) as store:
        place = Place(store, EXACT)
        place.stream.append(b"k", b"", b"")
        assert not place.ask(b"s.k")  # It is not on the disk yet.
        await durable(store)
        assert not place.ask(b"s.other")
        assert not place.ask(b"s.*")
        assert not place.ask(b"s.k", b"{}")
        assert not place.ask(b"s.k", reply=b"")
        assert not place.ask(b"s")
        assert not place.ask(b"shut.k")
        assert not place.ask(b"nobody.k")
        place.waiting[place.asker.port] = None
        assert not place.ask(b"s.k")
        place.waiting.clear()
        place.asker.port.may_publish = Verdicts(FilterSet([b"other"]).matches)
        assert not place.ask(b"s.k")
        place.asker.port.may_publish = None
        assert place.ask(b"s.k")
        assert len(place.asker.answers) == 1


async def test_a_deleted_message_is_not_answered() -> None:
    async with opened(None) as store:
        place = Place(store)
        for _ in range(2):
            place.stream.append(b"k", b"", b"")
        await durable(store)
        message = await place.stream.last_of(b"k")
        assert message is not None
        assert place.stream.delete(message)
        assert not place.ask(b"s.k")
