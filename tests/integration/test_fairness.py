"""Nobody is served at the cost of others: beside a flood, beside a peer that never reads, and in a crowd.

What counts is that everybody makes progress while the others do; no test reads a clock. Each ends by itself, and the
patience below only bounds how long a failure takes.
"""

import json
import resource
import socket
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.peers import Peer, gateway
from tests.patience import PATIENCE_SECONDS

CONNECT = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
PING, PONG = b"PING\r\n", b"PONG\r\n"
READ = 1 << 16
# A request and its answer wait for the batch in hand, and for one more each in the queues: a few full reads.
MOST_FLOOD_PER_REQUEST = 8 << 20


class Client:
    """A raw NATS client that only counts what it is sent."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.received = bytearray()

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def read(self) -> bytes:
        data = bytes(await self.stream.receive_some(READ))
        assert data, "the gateway closed the connection"
        return data

    async def take(self, size: int) -> bytes:
        """Exactly the next bytes, but for the gateway's own PINGs between messages."""
        while len(self.received) < size:
            self.received += await self.read()
            while (place := self.received.find(PING)) >= 0:
                del self.received[place : place + len(PING)]
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    async def subscribe(self, subject: bytes) -> None:
        """Return once the gateway knows."""
        await self.send(b"SUB %b 1\r\n" % subject + PING)
        assert await self.take(len(PONG)) == PONG


@asynccontextmanager
async def client(peer: Peer, receive_buffer: int = 0) -> AsyncIterator[Client]:
    """A connected client; its socket holds about `receive_buffer` bytes that nobody has read, where that is given."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await sock.connect(peer.address("nats"))
    async with trio.SocketStream(sock) as stream:
        connected = Client(stream)
        while b"\r\n" not in connected.received:
            connected.received += await connected.read()
        connected.received.clear()
        await connected.send(CONNECT + PING)
        assert await connected.take(len(PONG)) == PONG
        yield connected


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with descriptors(5000), gateway(tmp_path_factory.mktemp("edge"), monitoring=True) as peer:
        yield peer


@contextmanager
def descriptors(wanted: int) -> Iterator[None]:
    """Let this process, and those that it starts meanwhile, have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} open files are needed and {hard} allowed (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ask(peer: Peer, path: str) -> Any:
    """What monitoring tells."""

    def get() -> Any:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{peer.ports['monitoring']}{path}", timeout=PATIENCE_SECONDS
        ) as answer:
            return json.load(answer)

    return await trio.to_thread.run_sync(get)


async def test_requests_are_answered_while_another_connection_floods(edge: Peer) -> None:
    """The flood has no end, so a request that waited for it to pass would never be answered."""
    chunk = b"PUB flood 16\r\n0123456789abcdef\r\n" * 4000
    requests = 50
    sent = taken = 0

    async def flood(publisher: Client) -> None:
        nonlocal sent
        while True:
            await publisher.send(chunk)
            sent += 1

    async def drain(subscriber: Client) -> None:
        nonlocal taken
        while True:
            taken += len(await subscriber.read())

    async def answer(responder: Client) -> None:
        lead = len(b"MSG ask 1 answer 1\r\n")
        while True:
            asked = await responder.take(lead + 3)
            await responder.send(b"PUB answer 1\r\n" + asked[lead:])

    async with AsyncExitStack() as stack:
        publisher, subscriber, requester, responder = [await stack.enter_async_context(client(edge)) for _ in range(4)]
        await subscriber.subscribe(b"flood")
        await responder.subscribe(b"ask")
        await requester.subscribe(b"answer")
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drain, subscriber)
                nursery.start_soon(answer, responder)
                nursery.start_soon(flood, publisher)
                while not taken:
                    await trio.lowlevel.checkpoint()
                sent_before, taken_before = sent, taken
                for number in range(requests):
                    digit = b"%d" % (number % 10)
                    await requester.send(b"PUB ask answer 1\r\n%b\r\n" % digit)
                    expected = b"MSG answer 1 1\r\n%b\r\n" % digit
                    assert await requester.take(len(expected)) == expected
                # The requests did not hold up the flood, and none waited for much of it.
                assert sent - sent_before > 10
                assert 10 * len(chunk) < taken - taken_before < requests * MOST_FLOOD_PER_REQUEST
                nursery.cancel_scope.cancel()


async def test_stuck_subscriber_is_closed_at_its_limit_and_others_get_everything(tmp_path: Path) -> None:
    limits = "[limits]\nmax-pending-bytes = 1048576\nmax-payload-bytes = 65536"
    publication = b"PUB news 1000\r\n" + b"x" * 1000 + b"\r\n"
    delivery = b"MSG news 1 1000\r\n" + b"x" * 1000 + b"\r\n"
    round_size = 100
    # More than the limit and all that two sockets may hold for a peer that does not read.
    most_rounds = (64 << 20) // (round_size * len(delivery))
    with gateway(tmp_path, config=limits, monitoring=True) as edge:
        async with client(edge) as publisher, client(edge) as healthy, client(edge, receive_buffer=4096) as stuck:
            await healthy.subscribe(b"news")
            await stuck.subscribe(b"news")
            with trio.fail_after(PATIENCE_SECONDS):
                rounds = 0
                while not (await ask(edge, "/varz"))["slow_consumers"]:
                    assert rounds < most_rounds, "the stuck subscriber was never closed"
                    rounds += 1
                    await publisher.send(publication * round_size)
                    assert await healthy.take(len(delivery) * round_size) == delivery * round_size
                # Enough to have passed the limit, not by some other reason before that.
                assert rounds * round_size * len(delivery) > 1 << 20
                await publisher.send(publication * round_size)
                assert await healthy.take(len(delivery) * round_size) == delivery * round_size
                assert await end_of(stuck) < rounds * round_size * len(delivery)
                assert (await ask(edge, "/varz"))["slow_consumers"] == 1
                left = (await ask(edge, "/connz"))["connections"]
                assert [connection["pending_bytes"] for connection in left] == [0, 0]
                edge.wait_for_log("Slow Consumer (Pending Bytes)")


async def end_of(reader: Client) -> int:
    """How many bytes come until the connection ends."""
    size = 0
    while True:
        try:
            data = await reader.stream.receive_some(READ)
        except trio.BrokenResourceError:
            return size
        if not data:
            return size
        size += len(data)


async def test_two_thousand_subscribers_get_every_message_and_nothing_stays_behind(edge: Peer) -> None:
    crowd, messages = 2000, 50
    publication = b"PUB crowd 16\r\n0123456789abcdef\r\n"
    delivered = b"MSG crowd 1 16\r\n0123456789abcdef\r\n" * messages
    complete = 0

    async def receive(subscriber: Client) -> None:
        nonlocal complete
        assert await subscriber.take(len(delivered)) == delivered
        complete += 1

    async with AsyncExitStack() as stack:
        subscribers = [await stack.enter_async_context(client(edge)) for _ in range(crowd)]
        for subscriber in subscribers:
            await subscriber.subscribe(b"crowd")
        publisher = await stack.enter_async_context(client(edge))
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for subscriber in subscribers:
                    nursery.start_soon(receive, subscriber)
                for _ in range(messages):
                    await publisher.send(publication)
            assert complete == crowd
            told = await ask(edge, f"/connz?limit={2 * crowd}")
            assert len(told["connections"]) == crowd + 1
            assert sum(connection["pending_bytes"] for connection in told["connections"]) == 0
            assert (await ask(edge, "/varz"))["slow_consumers"] == 0
