"""The gateway as the hub of a real nats-server: what passes over the link, and which way."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from tests.integration.leafnode_pair import (
    IMPATIENT,
    PATIENCE_SECONDS,
    PROBE_SECONDS,
    answer_with,
    clients,
    interest_settled,
    run,
    settled_both_ways,
)
from tests.integration.leafnode_spokes import SPOKE_UP, hub, remote, spoke
from tests.integration.peers import Peer, gateway, uplink

MANY = 1000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    """A gateway and its spoke, a nats-server with JetStream."""
    directory = tmp_path_factory.mktemp("pair")
    with hub(directory / "hub") as above, spoke(directory / "spoke", remote(above), jetstream=True) as below:
        above.wait_for_log(SPOKE_UP)
        yield above, below


@pytest.fixture(params=["down", "up"])
def ends(request: pytest.FixtureRequest, pair: tuple[Peer, Peer]) -> tuple[Peer, Peer]:
    """Where something is sent, and where it arrives."""
    return pair if request.param == "down" else (pair[1], pair[0])


def test_messages_pass_with_and_without_headers(ends: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*ends) as (here, there):
            inbox = await there.subscribe("plant.*.>")
            await interest_settled(here, there)
            for payload in (b"", b"21.5", b"x" * 500_000):
                await here.publish("plant.1.temp", payload, headers={"Unit": "C"})
                message = await inbox.next_msg(PATIENCE_SECONDS)
                assert (message.subject, message.data, message.headers) == ("plant.1.temp", payload, {"Unit": "C"})
                await here.publish("plant.1.temp", payload)
                message = await inbox.next_msg(PATIENCE_SECONDS)
                assert (message.data, message.headers) == (payload, None)

    run(test)


def test_requests_are_answered_and_those_to_nobody_at_once(ends: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*ends) as (here, there):
            answering = await there.subscribe("ask.*", cb=answer_with(b"heard "))
            await settled_both_ways(here, there)
            for number in range(20):
                answer = await here.request("ask.me", b"%d" % number, PATIENCE_SECONDS)
                assert answer.data == b"heard %d" % number
            await answering.unsubscribe()
            await settled_both_ways(here, there)
            with pytest.raises(NoRespondersError):
                await here.request("ask.me", b"", PATIENCE_SECONDS)

    run(test)


def test_a_queue_group_with_members_at_both_ends_gets_a_message_once_and_near_by(ends: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*ends) as (here, there):
            counts = {"here": 0, "there": 0, "other": 0}

            async def join(client: Client, name: str, group: str = "crew") -> None:
                async def count(message: object) -> None:
                    counts[name] += 1

                await client.subscribe("work.>", group, cb=count)

            await join(there, "there")
            await join(there, "there")
            await join(there, "other", "others")
            last = await there.subscribe("work.last")
            await settled_both_ways(here, there)
            for _ in range(100):
                await here.publish("work.1", b"")
            await here.publish("work.last", b"")
            await last.next_msg(PATIENCE_SECONDS)
            await there.flush()
            assert counts == {"here": 0, "there": 101, "other": 101}
            await join(here, "here")
            await here.flush()
            for _ in range(100):
                await here.publish("work.1", b"")
            await here.publish("work.last", b"")
            await last.next_msg(PATIENCE_SECONDS)
            await there.flush()
            await here.flush()
            assert counts == {"here": 101, "there": 101, "other": 202}

    run(test)


def test_jetstream_of_the_spoke_is_used_through_the_hub(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (above, below):
            await interest_settled(above, below)
            local = below.jetstream(timeout=PATIENCE_SECONDS)
            await local.add_stream(name="ORDERS", subjects=["orders.>"])
            js = above.jetstream(domain="spoke", timeout=PATIENCE_SECONDS)
            info = await js.account_info()
            assert info.domain == "spoke"
            await settled_both_ways(above, below)
            for number in range(20):
                ack = await js.publish("orders.new", b"%d" % number)
                assert (ack.stream, ack.seq) == ("ORDERS", number + 1)
            expected = [("orders.new", b"%d" % number) for number in range(20)]
            pull = await js.pull_subscribe("orders.>", durable="puller")
            messages = await pull.fetch(20, timeout=PATIENCE_SECONDS)
            assert [(one.subject, one.data) for one in messages] == expected
            for message in messages:
                await message.ack_sync(PATIENCE_SECONDS)
            consumer = await js.consumer_info("ORDERS", "puller")
            assert (consumer.ack_floor.stream_seq, consumer.num_ack_pending) == (20, 0)
            push = await js.subscribe("orders.>", ordered_consumer=True)
            messages = [await push.next_msg(PATIENCE_SECONDS) for _ in range(20)]
            assert [(one.subject, one.data) for one in messages] == expected

    run(test)


def test_many_subscriptions_are_there_when_a_link_comes_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("many")

    async def subscribe(client: Client, lead: str) -> list[str]:
        inboxes = [f"{lead}.{number}" for number in range(MANY)]
        for subject in inboxes:
            await client.subscribe(subject, cb=answer_with(b"it is "))
        await client.flush()
        return inboxes

    with hub(directory / "hub") as above:
        # The link comes up with everything that there is: its port is known before the spoke begins.
        async def test() -> None:
            async with clients(above) as (here,):
                upper = await subscribe(here, "upper")
                with spoke(directory / "spoke", remote(above)) as below:
                    above.wait_for_log(SPOKE_UP)
                    async with clients(below) as (there,):
                        lower = await subscribe(there, "lower")
                        await settled_both_ways(here, there)
                        for asking, subjects in ((there, upper), (here, lower)):
                            for subject in subjects[::50]:
                                answer = await asking.request(subject, subject.encode(), PATIENCE_SECONDS)
                                assert answer.data == b"it is " + subject.encode()
                    below.stop()
                    below.start()
                    below.wait_ports()
                    above.wait_for_log(SPOKE_UP, count=2)
                    async with clients(below) as (there,):
                        await settled_both_ways(here, there)
                        for subject in upper[::50]:
                            answer = await there.request(subject, b"", PATIENCE_SECONDS)
                            assert answer.data == b"it is "

        run(test)


RIGHTS = """
[[users]]
name = "edge"
password = "secret"
[users.permissions]
publish = { allow = ["up.>", "_INBOX.>"], deny = ["up.no.>"] }
subscribe = { allow = ["down.>", "ask", "_INBOX.>"], deny = ["down.no.>"] }
[[users]]
name = "site"
password = "secret"
"""


@contextmanager
def edge(directory: Path, above: Peer) -> Iterator[Peer]:
    """A gateway that is a spoke, with few rights."""
    url = f"nats-leaf://edge:secret@127.0.0.1:{above.ports['leafnode']}"
    with gateway(directory, config=uplink(url, **IMPATIENT)) as peer:
        yield peer


@contextmanager
def server(directory: Path, above: Peer) -> Iterator[Peer]:
    """A nats-server that is a spoke, with few rights."""
    with spoke(directory, remote(above, "edge:secret")) as peer:
        yield peer


@pytest.mark.parametrize("make", [edge, server], ids=["gateway", "nats-server"])
def test_rights_of_the_spoke_s_user_hold_both_ways(
    tmp_path: Path, make: Callable[[Path, Peer], AbstractContextManager[Peer]]
) -> None:

    async def test(above: Peer, below: Peer) -> None:
        async with clients(above, below, logins=("site:secret", "")) as (here, there):
            heard = {"here": [], "there": []}

            def note(name: str):  # type: ignore[no-untyped-def]
                async def noted(message) -> None:  # type: ignore[no-untyped-def]
                    heard[name].append(message.subject)

                return noted

            await here.subscribe(">", cb=note("here"))
            await there.subscribe(">", cb=note("there"))
            await there.subscribe("down.yes")
            await there.subscribe("elsewhere")
            await settled_both_ways(here, there)
            heard["here"].clear()
            heard["there"].clear()
            for subject in ("down.yes", "down.no.x", "elsewhere", "down.end"):
                await here.publish(subject, b"")
            for subject in ("up.yes", "up.no.x", "elsewhere", "up.end"):
                await there.publish(subject, b"")
            await settled_both_ways(here, there)
            seen = {name: [one for one in subjects if not one.startswith("_INBOX")] for name, subjects in heard.items()}
            sent = {"down.yes", "down.no.x", "elsewhere", "down.end"}, {"up.yes", "up.no.x", "elsewhere", "up.end"}
            assert set(seen["there"]) - sent[1] == {"down.yes", "down.end"}
            assert set(seen["here"]) - sent[0] == {"up.yes", "up.end"}

    with hub(tmp_path / "hub", RIGHTS) as above, make(tmp_path / "spoke", above) as below:
        above.wait_for_log(SPOKE_UP)
        run(lambda: test(above, below))
        assert above.log().count(SPOKE_UP) == 1


ANSWERS_ONLY = """
[[users]]
name = "edge"
password = "secret"
permissions = { subscribe = { allow = ["ask"] }, allow-responses = true }
[[users]]
name = "site"
password = "secret"
"""


def test_a_spoke_that_may_only_answer_answers(tmp_path: Path) -> None:
    async def test(above: Peer, below: Peer) -> None:
        async with clients(above, below, logins=("site:secret", "")) as (here, there):
            await there.subscribe("ask", cb=answer_with(b"heard "))
            await there.flush()
            for number in range(5):
                assert (await request_when_known(here, b"%d" % number)) == b"heard %d" % number

    async def request_when_known(client: Client, question: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    return (await client.request("ask", question, PATIENCE_SECONDS)).data
                except NoRespondersError:
                    await asyncio.sleep(PROBE_SECONDS)

    with hub(tmp_path / "hub", ANSWERS_ONLY) as above, server(tmp_path / "spoke", above) as below:
        above.wait_for_log(SPOKE_UP)
        run(lambda: test(above, below))
        assert above.log().count(SPOKE_UP) == 1


def test_a_request_that_the_spoke_loses_times_out(pair: tuple[Peer, Peer]) -> None:
    """The hub has no word for what reaches nobody behind it."""

    async def test() -> None:
        async with clients(*pair) as (above, below):
            silent = await below.subscribe("ask.silent")
            await settled_both_ways(above, below)
            with pytest.raises(NatsTimeoutError):
                await above.request("ask.silent", b"", 0.2)
            assert (await silent.next_msg(PATIENCE_SECONDS)).reply

    run(test)
