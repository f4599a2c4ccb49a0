"""The uplink against real nats-server hubs: what clients on both sides see, and what happens when hubs come and go."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from tests.integration.peers import Peer, free_port, gateway, nats_server, nats_server_ready, uplink

LEAF_AUTHORIZATION = "authorization { user: leaf, password: secret }"
PATIENCE_SECONDS = 10
PROBE_SECONDS = 0.02
# Reconnecting fast keeps the tests short.
IMPATIENT = {"reconnect_min_seconds": 0.05, "reconnect_max_seconds": 0.2}
LINK_UP = "event=up"


def leaf_url(hub: Peer, credentials: str = "leaf:secret") -> str:
    return f"nats-leaf://{credentials}@127.0.0.1:{hub.ports['leafnode']}"


def jetstream(directory: Path) -> str:
    return f'jetstream {{ store_dir: "{directory}" }}\n'


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("hub")
    config = "server_name: hub\nmax_payload: 200000\n" + jetstream(directory / "store")
    with nats_server(directory, config, leafnodes=LEAF_AUTHORIZATION) as peer:
        yield peer


@pytest.fixture(scope="module")
def edge(hub: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), config=uplink(leaf_url(hub), **IMPATIENT)) as peer:
        peer.wait_for_log(LINK_UP)
        yield peer


async def ignore_error(error: Exception) -> None:
    """nats-py would print a traceback for each connection that a test breaks on purpose."""


@asynccontextmanager
async def client(peer: Peer, **options: Any) -> AsyncIterator[Client]:
    connection = await nats.connect(peer.url(), error_cb=ignore_error, allow_reconnect=False, **options)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def clients(*peers: Peer) -> AsyncIterator[list[Client]]:
    connections = [await nats.connect(peer.url(), error_cb=ignore_error, allow_reconnect=False) for peer in peers]
    try:
        yield connections
    finally:
        for connection in connections:
            await connection.close()


async def interest_settled(sender: Client, receiver: Client) -> None:
    """Return once `sender`'s side knows of everything that `receiver` has subscribed to: interest travels in order."""
    subject = sender.new_inbox()
    probe = await receiver.subscribe(subject)
    await receiver.flush()

    async def knock() -> None:
        while True:
            await sender.publish(subject, b"")
            await asyncio.sleep(PROBE_SECONDS)

    knocking = asyncio.create_task(knock())
    try:
        await probe.next_msg(PATIENCE_SECONDS)
    finally:
        knocking.cancel()
    await probe.unsubscribe()


async def settled_both_ways(one: Client, other: Client) -> None:
    await interest_settled(one, other)
    await interest_settled(other, one)


def count_in(counter: Counter[bytes]) -> Callable[[Msg], Awaitable[None]]:
    async def count(message: Msg) -> None:
        counter[message.data] += 1

    return count


def numbered(first: int, stop: int) -> Counter[bytes]:
    return Counter(b"%d" % number for number in range(first, stop))


def answer_with(lead: bytes) -> Callable[[Msg], Awaitable[None]]:
    async def answer(message: Msg) -> None:
        await message.respond(lead + message.data)

    return answer


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * PATIENCE_SECONDS):
            await test()

    asyncio.run(bounded())


def both_ways(hub: Peer, edge: Peer, towards: str) -> tuple[Peer, Peer]:
    """Where to send and where to receive."""
    return (edge, hub) if towards == "hub" else (hub, edge)


towards = pytest.mark.parametrize("towards", ["hub", "edge"])


@towards
def test_messages_cross_with_reply_headers_and_payload(hub: Peer, edge: Peer, towards: str) -> None:
    async def test() -> None:
        async with clients(*both_ways(hub, edge, towards)) as (sender, receiver):
            subscription = await receiver.subscribe("cross.*.temp")
            await interest_settled(sender, receiver)
            await sender.publish("cross.kitchen.temp", b"21.5", reply="answer.here", headers={"Unit": "C"})
            await sender.publish("cross.hall.temp", b"")
            first = await subscription.next_msg(PATIENCE_SECONDS)
            second = await subscription.next_msg(PATIENCE_SECONDS)
            assert (first.subject, first.reply, first.data, first.headers) == (
                "cross.kitchen.temp",
                "answer.here",
                b"21.5",
                {"Unit": "C"},
            )
            assert (second.subject, second.reply, second.data, second.headers) == ("cross.hall.temp", "", b"", None)

    run(test)


@towards
def test_messages_keep_their_order(hub: Peer, edge: Peer, towards: str) -> None:
    async def test() -> None:
        async with clients(*both_ways(hub, edge, towards)) as (sender, receiver):
            subscription = await receiver.subscribe("order")
            await interest_settled(sender, receiver)
            for number in range(2000):
                await sender.publish("order", b"%d" % number)
            received = [int((await subscription.next_msg(PATIENCE_SECONDS)).data) for _ in range(2000)]
            assert received == list(range(2000))

    run(test)


@towards
def test_requests_are_answered_across_the_link(hub: Peer, edge: Peer, towards: str) -> None:
    async def test() -> None:
        async with clients(*both_ways(hub, edge, towards)) as (requester, responder):
            await responder.subscribe("service", cb=answer_with(b"pong "))
            await interest_settled(requester, responder)
            for number in range(20):
                reply = await requester.request("service", b"%d" % number, timeout=PATIENCE_SECONDS, headers={"A": "b"})
                assert reply.data == b"pong %d" % number

    run(test)


@towards
def test_a_request_without_listener_on_either_side_has_no_responders(hub: Peer, edge: Peer, towards: str) -> None:
    async def test() -> None:
        async with clients(*both_ways(hub, edge, towards)) as (requester, responder):
            service = await responder.subscribe("passing", cb=answer_with(b"here"))
            await interest_settled(requester, responder)
            await requester.request("passing", b"", timeout=PATIENCE_SECONDS)
            await service.unsubscribe()
            await interest_settled(requester, responder)
            with pytest.raises(NoRespondersError):
                await requester.request("passing", b"", timeout=PATIENCE_SECONDS)

    run(test)


@towards
def test_a_queue_group_on_both_sides_gets_each_message_once_and_from_its_own_side(
    hub: Peer, edge: Peer, towards: str
) -> None:
    async def test() -> None:
        counters: dict[str, Counter[bytes]] = {"near": Counter(), "far": Counter(), "plain": Counter()}
        async with clients(*both_ways(hub, edge, towards)) as (near, far):
            near_members = [
                await near.subscribe("work.*", queue="crew", cb=count_in(counters["near"])) for _ in range(2)
            ]
            await far.subscribe("work.*", queue="crew", cb=count_in(counters["far"]))
            await far.subscribe("work.>", queue="crew", cb=count_in(counters["far"]))
            await far.subscribe("work.item", cb=count_in(counters["plain"]))
            await settled_both_ways(near, far)
            for number in range(300):
                await near.publish("work.item", b"%d" % number)
            await settled_both_ways(near, far)
            assert counters["near"] == numbered(0, 300)
            assert counters["plain"] == numbered(0, 300)
            assert not counters["far"]
            # With nobody left here the other side serves.
            for member in near_members:
                await member.unsubscribe()
            await settled_both_ways(near, far)
            for number in range(300, 600):
                await near.publish("work.item", b"%d" % number)
            await settled_both_ways(near, far)
            assert counters["near"] == numbered(0, 300)
            assert counters["far"] == numbered(300, 600)
            assert counters["plain"] == numbered(0, 600)

    run(test)


def test_several_queue_groups_on_both_sides_get_each_message_once(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        counters: dict[str, Counter[bytes]] = {name: Counter() for name in ("one", "two", "three")}
        async with clients(hub, edge) as (at_hub, at_edge):
            for side, groups in ((at_hub, ("one", "two")), (at_edge, ("two", "three"))):
                for group in groups:
                    await side.subscribe("many", queue=group, cb=count_in(counters[group]))
            await settled_both_ways(at_hub, at_edge)
            for number in range(300):
                await at_hub.publish("many", b"hub %d" % number)
                await at_edge.publish("many", b"edge %d" % number, reply="no.body")
            await settled_both_ways(at_hub, at_edge)
            sent = [b"%b %d" % (side, number) for side in (b"hub", b"edge") for number in range(300)]
            for counter in counters.values():
                assert counter == Counter(sent)

    run(test)


def test_a_message_that_the_hub_would_not_take_stays_here_and_the_link_up(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            there = await at_hub.subscribe("large")
            here = await at_edge.subscribe("large")
            await interest_settled(at_edge, at_hub)
            await at_edge.publish("large", b"x" * 200_001)
            await at_edge.publish("large", b"x" * 200_000)
            assert len((await here.next_msg(PATIENCE_SECONDS)).data) == 200_001
            assert len((await here.next_msg(PATIENCE_SECONDS)).data) == 200_000
            assert len((await there.next_msg(PATIENCE_SECONDS)).data) == 200_000

    run(test)
    assert "event=down" not in edge.log()


def test_the_hub_is_killed_and_started_again(tmp_path: Path) -> None:
    async def traffic(hub: Peer, at_edge: Client, at_edge_subscription: Any) -> None:
        async with client(hub) as at_hub:
            at_hub_subscription = await at_hub.subscribe("to.hub")
            await settled_both_ways(at_hub, at_edge)
            await at_hub.publish("to.edge", b"down")
            assert (await at_edge_subscription.next_msg(PATIENCE_SECONDS)).data == b"down"
            await at_edge.publish("to.hub", b"up")
            assert (await at_hub_subscription.next_msg(PATIENCE_SECONDS)).data == b"up"
            assert (await at_hub.request("served", b"", timeout=PATIENCE_SECONDS)).data == b"edge"
            # One copy each, however often the interest was told.
            await settled_both_ways(at_hub, at_edge)
            assert at_hub_subscription.pending_msgs == at_edge_subscription.pending_msgs == 0

    async def test(hub: Peer, edge: Peer) -> None:
        async with client(edge) as at_edge:
            subscription = await at_edge.subscribe("to.edge")
            await at_edge.subscribe("served", queue="q", cb=answer_with(b"edge"))
            local = await at_edge.subscribe("local")
            await traffic(hub, at_edge, subscription)
            hub.kill()
            await at_edge.publish("local", b"still here")
            assert (await local.next_msg(PATIENCE_SECONDS)).data == b"still here"
            hub.start()
            await asyncio.to_thread(nats_server_ready, hub)
            await asyncio.to_thread(edge.wait_for_log, LINK_UP, count=2)
            await traffic(hub, at_edge, subscription)

    with (
        nats_server(tmp_path / "hub", leafnodes=LEAF_AUTHORIZATION) as hub,
        gateway(tmp_path / "edge", config=uplink(leaf_url(hub), **IMPATIENT)) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        run(lambda: test(hub, edge))


def test_a_wrong_password_is_tried_again_and_told_in_the_log(hub: Peer, tmp_path: Path) -> None:
    with gateway(tmp_path, config=uplink(leaf_url(hub, "leaf:wrong-password"), **IMPATIENT)) as edge:
        edge.wait_for_log("Authorization Violation", count=3)
        assert LINK_UP not in edge.log()
        assert "wrong-password" not in edge.log()


def test_a_client_port_is_no_leafnode_port(hub: Peer, tmp_path: Path) -> None:
    url = f"nats-leaf://leaf:secret@127.0.0.1:{hub.ports['nats']}"
    with gateway(tmp_path, config=uplink(url, **IMPATIENT)) as edge:
        edge.wait_for_log("this is no leafnode port", count=2)
        assert LINK_UP not in edge.log()


def test_the_second_url_serves_while_the_first_is_dead(hub: Peer, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            await settled_both_ways(at_hub, at_edge)

    dead = f"nats-leaf://leaf:secret@127.0.0.1:{free_port()}"
    with gateway(tmp_path, name="second", config=uplink(dead, leaf_url(hub), **IMPATIENT)) as edge:
        edge.wait_for_log(LINK_UP)
        assert "event=dial-failed" in edge.log()
        run(lambda: test(edge))


PERMISSIONS = """
accounts {
  A {
    users [
      { user: app, password: app }
      {
        user: leaf, password: secret
        permissions {
          publish { allow: ["up.>", "both.>", "_INBOX.>"], deny: "up.secret" }
          subscribe { allow: ["down.>", "both.>", "_INBOX.>"], deny: "down.secret" }
        }
      }
    ]
  }
}
"""


def test_permissions_of_the_hub_are_kept_to_without_losing_the_link(tmp_path: Path) -> None:
    async def test(hub: Peer, edge: Peer) -> None:
        async with client(hub, user="app", password="app") as at_hub, client(edge) as at_edge:
            from_edge = await at_hub.subscribe(">")
            # Interest that the hub does not allow, literal and with wildcards, and some that it does.
            secret = await at_edge.subscribe("down.secret")
            other = await at_edge.subscribe("elsewhere")
            await at_edge.subscribe("elsewhere", queue="q")
            everything = await at_edge.subscribe(">")
            allowed = await at_edge.subscribe("down.public")
            await settled_both_ways(at_hub, at_edge)
            for subject in ("up.secret", "elsewhere", "up.public"):
                await at_edge.publish(subject, b"from edge")
            for subject in ("down.secret", "elsewhere", "down.public"):
                await at_hub.publish(subject, b"from hub")
            await settled_both_ways(at_hub, at_edge)
            got = [message.subject for message in drain(from_edge) if message.data == b"from edge"]
            assert got == ["up.public"]
            got = [message.subject for message in drain(everything) if message.data == b"from hub"]
            assert got == ["down.public"]
            assert [message.data for message in drain(allowed)] == [b"from hub"]
            assert drain(secret) == []
            assert [message.data for message in drain(other)] == [b"from edge"]

    with (
        nats_server(tmp_path / "hub", PERMISSIONS, leafnodes="") as hub,
        gateway(tmp_path / "edge", config=uplink(leaf_url(hub), **IMPATIENT)) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        run(lambda: test(hub, edge))
        assert "event=down" not in edge.log()
        assert "Permissions Violation" not in edge.log()


def drain(subscription: Any) -> list[Msg]:
    """The messages that have arrived and nobody took."""
    queue = subscription._pending_queue
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_two_links_to_one_hub_are_a_loop(hub: Peer, tmp_path: Path) -> None:
    config = uplink(leaf_url(hub), **IMPATIENT) + uplink(leaf_url(hub), **IMPATIENT)
    with gateway(tmp_path, name="loop", config=config) as edge:
        edge.wait_for_log("Leafnode Loop Detected")
        hub.wait_for_log("Loop detected for leafnode")


def test_a_hub_learned_from_another_takes_over(tmp_path: Path) -> None:
    route_port = free_port()

    def member(name: str, route: str) -> str:
        return f"server_name: {name}\ncluster {{ name: C, {route} }}\n"

    async def test(second: Peer, edge: Peer) -> None:
        async with clients(second, edge) as (at_hub, at_edge):
            await settled_both_ways(at_hub, at_edge)

    first_config = member("first", f'listen: "127.0.0.1:{route_port}"')
    second_config = member("second", f'listen: "127.0.0.1:-1", routes: ["nats://127.0.0.1:{route_port}"]')
    with (
        nats_server(tmp_path / "first", first_config, leafnodes=LEAF_AUTHORIZATION) as first,
        nats_server(tmp_path / "second", second_config, leafnodes=LEAF_AUTHORIZATION) as second,
        gateway(tmp_path / "edge", config=uplink(leaf_url(first), **IMPATIENT)) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        run(lambda: test(second, edge))
        first.kill()
        edge.wait_for_log("hub=second")
        run(lambda: test(second, edge))


def test_jetstream_of_the_hub_works_from_the_edge(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            js = at_edge.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="ORDERS", subjects=["orders.>"])
            for number in range(20):
                ack = await js.publish("orders.new", b"%d" % number, headers={"Nats-Msg-Id": f"m{number}"})
                assert (ack.stream, ack.seq) == ("ORDERS", number + 1)
            assert (await js.publish("orders.new", b"0", headers={"Nats-Msg-Id": "m0"})).duplicate
            expected = [b"%d" % number for number in range(20)]

            pull = await js.pull_subscribe("orders.>", durable="puller")
            messages = await pull.fetch(20, timeout=PATIENCE_SECONDS)
            for message in messages:
                await message.ack_sync(PATIENCE_SECONDS)
            assert [message.data for message in messages] == expected
            assert {message.subject for message in messages} == {"orders.new"}
            assert [message.metadata.sequence.stream for message in messages] == list(range(1, 21))
            info = await js.consumer_info("ORDERS", "puller")
            assert (info.ack_floor.stream_seq, info.num_ack_pending) == (20, 0)

            push = await js.subscribe("orders.>", durable="pusher", manual_ack=True)
            messages = [await push.next_msg(PATIENCE_SECONDS) for _ in range(20)]
            for message in messages:
                await message.ack()
            assert [(message.subject, message.data) for message in messages] == [
                ("orders.new", one) for one in expected
            ]

            ordered = await js.subscribe("orders.>", ordered_consumer=True)
            messages = [await ordered.next_msg(PATIENCE_SECONDS) for _ in range(20)]
            assert [(message.subject, message.data) for message in messages] == [
                ("orders.new", one) for one in expected
            ]

            # Live messages, stored at the hub by a client there, reach consumers at the edge.
            await at_hub.jetstream().publish("orders.late", b"late", timeout=PATIENCE_SECONDS)
            assert (await push.next_msg(PATIENCE_SECONDS)).subject == "orders.late"
            assert (await ordered.next_msg(PATIENCE_SECONDS)).subject == "orders.late"

    run(test)


def test_key_value_buckets_of_the_hub_work_from_the_edge(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            bucket = await at_edge.jetstream(timeout=PATIENCE_SECONDS).create_key_value(bucket="settings", history=3)
            assert await bucket.put("colour", b"red") == 1
            entry = await bucket.get("colour")
            assert (entry.value, entry.revision) == (b"red", 1)
            watcher = await bucket.watchall()
            first = await watcher.updates(PATIENCE_SECONDS)
            assert first is not None
            assert (first.key, first.value) == ("colour", b"red")
            assert await watcher.updates(PATIENCE_SECONDS) is None  # the end of what was there
            there = await at_hub.jetstream().key_value("settings")
            await there.put("size", b"large")
            await there.delete("colour")
            updates = [await watcher.updates(PATIENCE_SECONDS) for _ in range(2)]
            assert [(entry.key, entry.operation) for entry in updates if entry] == [("size", None), ("colour", "DEL")]
            assert await bucket.keys() == ["size"]
            await watcher.stop()

    run(test)


def test_object_stores_of_the_hub_work_from_the_edge(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            store = await at_edge.jetstream(timeout=PATIENCE_SECONDS).create_object_store(bucket="files")
            content = bytes(range(256)) * 1200  # more than two chunks
            info = await store.put("picture", content)
            assert info.size == len(content)
            assert (await store.get("picture")).data == content
            there = await at_hub.jetstream().object_store("files")
            assert (await there.get("picture")).data == content

    run(test)
