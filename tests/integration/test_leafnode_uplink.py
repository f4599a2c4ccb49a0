"""The uplink against real nats-server hubs: what clients on both sides see, and what happens when hubs come and go."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    answer_with,
    client,
    clients,
    hub_and_edge,
    interest_settled,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.peers import Peer, free_port, gateway, nats_server, nats_server_ready, uplink


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with hub_and_edge(tmp_path_factory.mktemp("pair")) as peers:
        yield peers


@pytest.fixture(scope="module")
def hub(pair: tuple[Peer, Peer]) -> Peer:
    return pair[0]


@pytest.fixture(scope="module")
def edge(pair: tuple[Peer, Peer]) -> Peer:
    return pair[1]


def count_in(counter: Counter[bytes]) -> Callable[[Msg], Awaitable[None]]:
    async def count(message: Msg) -> None:
        counter[message.data] += 1

    return count


def numbered(first: int, stop: int) -> Counter[bytes]:
    return Counter(b"%d" % number for number in range(first, stop))


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
    config = uplink(dead, leaf_url(hub), no_randomize=True, **IMPATIENT)
    with gateway(tmp_path, name="second", config=config) as edge:
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
