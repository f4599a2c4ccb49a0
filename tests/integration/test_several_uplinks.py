"""Several uplinks of one gateway: in accounts of their own, to hubs of their own, and to one place by two ways."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    PROBE_SECONDS,
    client,
    clients,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.peers import Peer, free_port, gateway, nats_server, nats_server_ready, uplink, wait_until


def monitored(edge: Peer, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.ports['monitoring']}{path}") as response:
        return json.load(response)


def states(edge: Peer) -> dict[str, str]:
    return {link["name"]: link["state"] for link in monitored(edge, "/varz")["uplinks"]}


def waiting(subscription: Any) -> list[bytes]:
    """The payloads that have arrived and nobody took."""
    queue = subscription._pending_queue
    return [queue.get_nowait().data for _ in range(queue.qsize())]


@contextmanager
def cluster(directory: Path, count: int) -> Iterator[list[Peer]]:
    """So many servers of one cluster; each tells leafnodes of the others."""
    routes = [free_port() for _ in range(count)]
    with ExitStack() as stack:
        peers = []
        for number, port in enumerate(routes):
            known = json.dumps([f"nats://127.0.0.1:{other}" for other in routes if other != port])
            config = f'server_name: s{number}\ncluster {{ name: C, listen: "127.0.0.1:{port}", routes: {known} }}\n'
            peers.append(
                stack.enter_context(nats_server(directory / f"s{number}", config, leafnodes=LEAF_AUTHORIZATION))
            )
        yield peers


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    """Two hubs that know nothing of each other."""
    directory = tmp_path_factory.mktemp("hubs")
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                nats_server(
                    directory / name,
                    f'server_name: {name}\njetstream {{ store_dir: "{directory / name / "store"}" }}\n',
                    leafnodes=LEAF_AUTHORIZATION,
                )
            )
            for name in ("north", "south")
        ]


def test_each_account_has_hubs_of_its_own(hubs: list[Peer], tmp_path: Path) -> None:
    users = "".join(
        f'[[accounts]]\nname = "{name}"\n[[users]]\nname = "{name}"\npassword = "pw"\naccount = "{name}"\n'
        for name in ("red", "blue")
    )
    links = uplink(leaf_url(hubs[0]), account="red", **IMPATIENT) + uplink(
        leaf_url(hubs[1]), account="blue", **IMPATIENT
    )

    async def test(edge: Peer) -> None:
        async with (
            clients(*hubs) as (north, south),
            client(edge, user="red", password="pw") as red,
            client(edge, user="blue", password="pw") as blue,
        ):
            inboxes = [await one.subscribe("news") for one in (north, south, red, blue)]
            await settled_both_ways(north, red)
            await settled_both_ways(south, blue)
            for sender, text in ((north, b"n"), (south, b"s"), (red, b"r"), (blue, b"b")):
                await sender.publish("news", text)
            await settled_both_ways(north, red)
            await settled_both_ways(south, blue)
            assert [sorted(waiting(one)) for one in inboxes] == [
                [b"n", b"r"],
                [b"b", b"s"],
                [b"n", b"r"],
                [b"b", b"s"],
            ]

    with gateway(tmp_path, config=users + links) as edge:
        edge.wait_for_log(LINK_UP, count=2)
        run(lambda: test(edge))


def test_two_hubs_of_one_account_get_each_message_once_and_none_of_each_other(hubs: list[Peer], tmp_path: Path) -> None:
    links = "".join(uplink(leaf_url(hub), **IMPATIENT) for hub in hubs)

    async def test(edge: Peer) -> None:
        async with clients(*hubs, edge) as (north, south, here):
            inboxes = [await one.subscribe("news.>") for one in (north, south, here)]
            queued = [await one.subscribe("work", queue="crew") for one in (north, south)]
            for hub in (north, south):
                await settled_both_ways(hub, here)
            for number in range(100):
                await here.publish("news.edge", b"e%d" % number)
                await here.publish("work", b"w%d" % number)
                await north.publish("news.north", b"n%d" % number)
                await south.publish("news.south", b"s%d" % number)
            for hub in (north, south):
                await settled_both_ways(hub, here)
            from_edge, from_north, from_south = (
                sorted(b"%b%d" % (lead, number) for number in range(100)) for lead in (b"e", b"n", b"s")
            )
            assert sorted(waiting(inboxes[0])) == sorted(from_edge + from_north)
            assert sorted(waiting(inboxes[1])) == sorted(from_edge + from_south)
            assert sorted(waiting(inboxes[2])) == sorted(from_edge + from_north + from_south)
            shares = [waiting(one) for one in queued]
            assert sorted(shares[0] + shares[1]) == sorted(b"w%d" % number for number in range(100))
            assert all(shares)

    with gateway(tmp_path, config=links) as edge:
        edge.wait_for_log(LINK_UP, count=2)
        run(lambda: test(edge))
        assert "event=down" not in edge.log()


def test_jetstream_without_a_domain_is_the_first_hubs_and_the_seconds_while_that_is_away(
    tmp_path: Path,
) -> None:
    def jetstream(name: str) -> str:
        return f'server_name: {name}\njetstream {{ store_dir: "{tmp_path / name / "store"}" }}\n'

    async def streams_of(hub: Peer) -> list[str]:
        async with client(hub) as at_hub:
            return [info.config.name or "" for info in await at_hub.jetstream().streams_info()]

    async def test(first: Peer, second: Peer, edge: Peer) -> None:
        async with client(edge) as here:

            async def answers(subject: str) -> int:
                inbox = here.new_inbox()
                replies = await here.subscribe(inbox)
                await here.flush()
                await here.publish(subject, b"", reply=inbox)
                await replies.next_msg(PATIENCE_SECONDS)
                for hub in (first, second):
                    async with client(hub) as at_hub:
                        await settled_both_ways(at_hub, here)
                return 1 + replies.pending_msgs

            assert await answers("$JS.API.INFO") == 1
            await here.jetstream().add_stream(name="S", subjects=["s.>"])
            assert await streams_of(first) == ["S"]
            assert await streams_of(second) == []
            first.kill()
            await asyncio.to_thread(edge.wait_for_log, "event=down")
            await here.jetstream().add_stream(name="T", subjects=["t.>"])
            assert await streams_of(second) == ["T"]
            first.start()
            await asyncio.to_thread(nats_server_ready, first)
            await asyncio.to_thread(edge.wait_for_log, "hub=first", count=2)
            # A hub tells of its JetStream a moment after the link is up.
            while [info.config.name for info in await here.jetstream().streams_info()] != ["S"]:  # noqa: ASYNC110
                await asyncio.sleep(PROBE_SECONDS)

    with (
        nats_server(tmp_path / "first", jetstream("first"), leafnodes=LEAF_AUTHORIZATION) as first,
        nats_server(tmp_path / "second", jetstream("second"), leafnodes=LEAF_AUTHORIZATION) as second,
    ):
        links = uplink(leaf_url(first), name="first", **IMPATIENT) + uplink(
            leaf_url(second), name="second", **IMPATIENT
        )
        with gateway(tmp_path / "edge", config=links) as edge:
            edge.wait_for_log(LINK_UP, count=2)
            run(lambda: test(first, second, edge))


def test_of_two_links_to_one_server_one_serves_and_the_other_takes_over(hubs: list[Peer], tmp_path: Path) -> None:
    hub = hubs[0]
    links = uplink(leaf_url(hub), name="fibre", **IMPATIENT) + uplink(leaf_url(hub), name="mobile", **IMPATIENT)
    with gateway(tmp_path, config=links, monitoring=True) as edge:
        wait_until(lambda: sorted(states(edge).values()) == ["standby", "up"], "one link up, the other standing by")
        (name,) = [name for name, state in states(edge).items() if state == "standby"]
        (other,) = {"fibre", "mobile"} - {name}
        assert monitored(edge, "/healthz") == {
            "status": "ok",
            "standby": {name: f"uplink {other} serves the same place"},
        }
        run(lambda: each_message_once(hub, edge))
        assert "Loop" not in edge.log()


async def each_message_once(hub: Peer, edge: Peer) -> None:
    async with clients(hub, edge) as (at_hub, at_edge):
        up, down = await at_hub.subscribe("up"), await at_edge.subscribe("down")
        await settled_both_ways(at_hub, at_edge)
        for number in range(50):
            await at_edge.publish("up", b"%d" % number)
            await at_hub.publish("down", b"%d" % number)
        await settled_both_ways(at_hub, at_edge)
        expected = [b"%d" % number for number in range(50)]
        assert waiting(up) == expected
        assert waiting(down) == expected


def test_of_two_links_into_one_cluster_one_serves_and_the_other_takes_over(tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as servers:
        # Neither link may go to the other's server by itself.
        alone = IMPATIENT | {"ignore_discovered_servers": True}
        links = "".join(uplink(leaf_url(peer), name=name, **alone) for peer, name in zip(servers, "ab", strict=True))
        with gateway(tmp_path / "edge", config=links, monitoring=True) as edge:
            wait_until(lambda: sorted(states(edge).values()) == ["standby", "up"], "one link up")
            for peer in servers:
                run(lambda peer=peer: each_message_once(peer, edge))  # type: ignore[misc]
            serving = next(index for index, name in enumerate("ab") if states(edge)[name] == "up")
            servers[serving].kill()
            wait_until(lambda: states(edge)["ab"[1 - serving]] == "up", "the other link took over")
            run(lambda: each_message_once(servers[1 - serving], edge))
            servers[serving].start()
            wait_until(lambda: states(edge)["ab"[serving]] == "standby", "the link that comes back stands by")
            for peer in servers:
                run(lambda peer=peer: each_message_once(peer, edge))  # type: ignore[misc]


def test_two_hubs_that_are_joined_to_each_other_are_one_place(tmp_path: Path) -> None:
    """South is itself a leafnode of north: neither names the other, and only the loop subjects tell."""
    with nats_server(tmp_path / "north", "server_name: north\n", leafnodes=LEAF_AUTHORIZATION) as north:
        remotes = f'{LEAF_AUTHORIZATION}\nremotes: [ {{ url: "{leaf_url(north)}" }} ]'
        with nats_server(tmp_path / "south", "server_name: south\n", leafnodes=remotes) as south:
            south.wait_for_log("Leafnode connection created")
            links = uplink(leaf_url(north), name="n", **IMPATIENT) + uplink(leaf_url(south), name="s", **IMPATIENT)
            with gateway(tmp_path / "edge", config=links, monitoring=True) as edge:
                wait_until(lambda: sorted(states(edge).values()) == ["standby", "up"], "one link up")
                for hub in (north, south):
                    run(lambda hub=hub: each_message_once(hub, edge))  # type: ignore[misc]


def test_changes_of_a_link_are_told_and_its_state_is_answered(tmp_path: Path) -> None:
    async def test(hub: Peer, edge: Peer) -> None:
        async with client(edge) as here:
            told = await here.subscribe("$LEAFGATE.uplink.*")
            await here.flush()

            async def next_change() -> dict[str, str]:
                message = await told.next_msg(PATIENCE_SECONDS)
                assert message.subject == "$LEAFGATE.uplink.cloud"
                change: dict[str, str] = json.loads(message.data)
                return change

            hub.kill()
            change = await next_change()
            assert (change["state"], change["gateway"], bool(change["error"])) == ("down", "edge", True)
            (state,) = json.loads((await here.request("$LEAFGATE.uplinks", b"", timeout=PATIENCE_SECONDS)).data)
            assert (state["name"], state["state"]) == ("cloud", "down")
            await asyncio.to_thread(edge.wait_for_log, "Connection refused")
            words = "nobody listens there; the hub is not running, or the port is wrong"
            wait_until(lambda: words in monitored(edge, "/healthz")["uplinks"]["cloud"], "the cause in /healthz")
            hub.start()
            change = await next_change()
            assert (change["state"], change["hub"], change["error"]) == ("up", "hub", "")

    with (
        nats_server(tmp_path / "hub", "server_name: hub\n", leafnodes=LEAF_AUTHORIZATION) as hub,
        gateway(tmp_path / "edge", config=uplink(leaf_url(hub), name="cloud", **IMPATIENT), monitoring=True) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        run(lambda: test(hub, edge))


def test_two_boxes_of_one_name_are_told_of_each_other(hubs: list[Peer], tmp_path: Path) -> None:
    config = uplink(leaf_url(hubs[0]), **IMPATIENT)
    with gateway(tmp_path / "one", name="twin", config=config) as one:
        one.wait_for_log(LINK_UP)
        with gateway(tmp_path / "other", name="twin", config=config) as other:
            one.wait_for_log("event=duplicate-name name=twin")
            other.wait_for_log("event=duplicate-name name=twin")
            one.wait_for_log(LINK_UP, count=4)
            # Loud, but not for every time.
            assert one.log().count("event=duplicate-name") == 1
