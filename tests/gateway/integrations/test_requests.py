"""What clients ask to be done elsewhere: in order, a bounded number, and each of them answered."""

import msgspec
import trio

from gateway.assembly import Gateway
from gateway.dataplane.port import Port, Receiver
from gateway.integrations.integration import Integration
from gateway.integrations.requests import AWAY, BUSY, INVALID, MOST_WAITING, Request, Requests
from gateway.integrations.site import Site
from gateway.settings.integration import Integration as IntegrationKeys
from protocols.message import Message, make_message
from tests.gateway.memory_connection import running_gateway
from tests.patience import PATIENCE_SECONDS


class Inbox(Receiver):
    """Keeps the answers that come to `inbox.NUMBER`."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(Port(None), b"inbox.*", b"")
        self.answers: dict[int, dict[str, object]] = {}
        gateway.account.router.subscribe(self)

    def deliver(self, message: Message, source: Port) -> bool:
        number = int(message.subject.rpartition(b".")[2])
        assert number not in self.answers, "one answer for each request"
        self.answers[number] = msgspec.json.decode(message.payload())
        return True

    def code(self, number: int) -> object:
        error = self.answers[number].get("error")
        return error["code"] if isinstance(error, dict) else 0


class Bench:
    """An integration that is asked to do what comes on `do.>`."""

    def __init__(self, gateway: Gateway, is_up: bool = True) -> None:
        site = Site(gateway.runtime, gateway.find_account, lambda name: None)
        self.integration = Integration(site, IntegrationKeys(name="one"))
        if is_up:
            self.integration.history.up("")
        self.gateway = gateway
        self.inbox = Inbox(gateway)
        self.requests: Requests[bytes] = Requests(self.integration, gateway.account, "not done", "it is away")
        self.requests.listen("do.>", self.take)

    def take(self, message: Message, asker: Port) -> None:
        self.requests.add(Request(message, asker, message.payload()))

    def ask(self, number: int) -> None:
        self.gateway.account.publish(make_message(b"do.%d" % number, b"%d" % number, b"inbox.%d" % number))

    def next(self) -> Request[bytes]:
        request = self.requests.next()
        assert request is not None
        return request


async def test_requests_are_done_in_their_order_and_answered():
    async with running_gateway() as gateway:
        bench = Bench(gateway)
        for number in range(3):
            bench.ask(number)
        with trio.fail_after(PATIENCE_SECONDS):
            await bench.requests.wait()
        done = []
        while (request := bench.requests.next()) is not None:
            done.append(request.what)
            bench.requests.answer(request, INVALID if request.what == b"1" else 0, "so it is")
        assert done == [b"0", b"1", b"2"]
        assert [bench.inbox.code(number) for number in range(3)] == [0, INVALID, 0]
        assert bench.integration.drops.counts == {"not done": 1}


async def test_who_waits_is_woken_by_each_request():
    async with running_gateway() as gateway, trio.open_nursery() as nursery:
        bench = Bench(gateway)
        done: list[bytes] = []

        async def work() -> None:
            while len(done) < 2:
                await bench.requests.wait()
                request = bench.next()
                done.append(request.what)
                bench.requests.answer(request)

        nursery.start_soon(work)
        for number in range(2):
            await trio.testing.wait_all_tasks_blocked()
            assert done == [b"0"][:number]
            bench.ask(number)


async def test_a_bounded_number_waits_and_the_others_are_told_so():
    async with running_gateway() as gateway:
        bench = Bench(gateway)
        for number in range(MOST_WAITING + 1):
            bench.ask(number)
        assert list(bench.inbox.answers) == [MOST_WAITING]
        assert bench.inbox.code(MOST_WAITING) == BUSY


async def test_nothing_waits_for_what_is_not_there():
    async with running_gateway() as gateway:
        bench = Bench(gateway, is_up=False)
        bench.ask(1)
        assert bench.inbox.code(1) == AWAY
        assert bench.requests.next() is None


async def test_who_waits_when_the_other_side_leaves_is_answered_and_so_is_what_was_begun():
    async with running_gateway() as gateway:
        bench = Bench(gateway)
        for number in range(3):
            bench.ask(number)
        bench.requests.answer(bench.next())
        bench.next()
        bench.requests.close()
        assert [bench.inbox.code(number) for number in range(3)] == [0, AWAY, AWAY]
        bench.ask(3)
        assert 3 not in bench.inbox.answers
