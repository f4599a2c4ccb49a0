"""Links of links: gateways and nats-servers one below the other, loops, twins, and links that come and go by reload."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    answer_with,
    client,
    clients,
    interest_settled,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.leafnode_spokes import SPOKE_UP, hub, remote, spoke
from tests.integration.peers import Peer, free_port, gateway, nats_server, read_ports_file, uplink, wait_until

LOOP = "Loop detected"


def edge_of(site: Peer) -> str:
    """The configuration of a gateway that is linked to a gateway."""
    return uplink(f"nats-leaf://127.0.0.1:{site.ports['leafnode']}", **IMPATIENT)


@contextmanager
def gateways_below_a_server(directory: Path) -> Iterator[list[Peer]]:
    """edge (gateway) -> site (gateway) -> cluster (nats-server with JetStream)."""
    store = json.dumps(str(directory / "store"))
    config = f"server_name: cluster\njetstream {{ store_dir: {store} }}\n"
    with (
        nats_server(directory / "cluster", config, leafnodes=LEAF_AUTHORIZATION) as cluster,
        hub(directory / "site", uplink(leaf_url(cluster), **IMPATIENT)) as site,
        gateway(directory / "edge", config=edge_of(site), name="edge") as edge,
    ):
        site.wait_for_log(LINK_UP)
        edge.wait_for_log(LINK_UP)
        yield [edge, site, cluster]


@contextmanager
def a_gateway_between_servers(directory: Path) -> Iterator[list[Peer]]:
    """edge (nats-server) -> site (gateway) -> cluster (nats-server with JetStream in a domain)."""
    store = json.dumps(str(directory / "store"))
    config = f"server_name: cluster\njetstream {{ store_dir: {store}, domain: cluster }}\n"
    with (
        nats_server(directory / "cluster", config, leafnodes=LEAF_AUTHORIZATION) as cluster,
        hub(directory / "site", uplink(leaf_url(cluster), **IMPATIENT)) as site,
        spoke(directory / "edge", remote(site), name="edge") as edge,
    ):
        site.wait_for_log(LINK_UP)
        site.wait_for_log(SPOKE_UP)
        yield [edge, site, cluster]


@contextmanager
def two_spokes(directory: Path) -> Iterator[list[Peer]]:
    """Two spokes of one gateway, a gateway and a nats-server, and the gateway in the middle."""
    with (
        hub(directory / "site") as site,
        gateway(directory / "one", config=edge_of(site), name="one") as one,
        spoke(directory / "two", remote(site), name="two") as two,
    ):
        one.wait_for_log(LINK_UP)
        site.wait_for_log(SPOKE_UP, count=2)
        yield [one, site, two]


CHAINS = [gateways_below_a_server, a_gateway_between_servers, two_spokes]


@pytest.fixture(scope="module", params=CHAINS, ids=lambda make: make.__name__)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    """Three in a row."""
    with request.param(tmp_path_factory.mktemp("chain")) as peers:
        yield peers


async def all_settled(connections: list[Client]) -> None:
    for one, other in ((0, 1), (1, 2), (0, 2)):
        await settled_both_ways(connections[one], connections[other])


def test_a_message_reaches_everybody_once_wherever_it_is_published(chain: list[Peer]) -> None:
    async def test() -> None:
        async with clients(*chain) as connections:
            inboxes = [await one.subscribe("news.>") for one in connections]
            await all_settled(connections)
            for number, publisher in enumerate(connections):
                await publisher.publish(f"news.{number}", b"%d" % number, headers={"From": str(number)})
                await publisher.publish(f"news.last.{number}", b"")
                for inbox in inboxes:
                    message = await inbox.next_msg(PATIENCE_SECONDS)
                    assert (message.subject, message.data) == (f"news.{number}", b"%d" % number)
                    assert message.headers == {"From": str(number)}
                    assert (await inbox.next_msg(PATIENCE_SECONDS)).subject == f"news.last.{number}"

    run(test)


def test_a_request_is_answered_from_end_to_end(chain: list[Peer]) -> None:
    async def test() -> None:
        async with clients(*chain) as (first, middle, last):
            await last.subscribe("ask.last", cb=answer_with(b"last "))
            await first.subscribe("ask.first", cb=answer_with(b"first "))
            await all_settled([first, middle, last])
            assert (await first.request("ask.last", b"1", PATIENCE_SECONDS)).data == b"last 1"
            assert (await last.request("ask.first", b"2", PATIENCE_SECONDS)).data == b"first 2"

    run(test)


def test_a_queue_group_spread_over_all_gets_each_message_once(chain: list[Peer]) -> None:
    async def test() -> None:
        async with clients(*chain) as connections:
            counts = [0, 0, 0]

            async def join(number: int) -> None:
                async def count(message: object) -> None:
                    counts[number] += 1

                await connections[number].subscribe("work", "crew", cb=count)

            for member in (0, 2):
                await join(member)
            await all_settled(connections)
            for publisher, connection in enumerate(connections):
                before = counts[:]
                for _ in range(50):
                    await connection.publish("work", b"")
                await all_settled(connections)
                assert sum(counts) - sum(before) == 50
                if publisher != 1:  # A member that is near gets it all.
                    assert counts[publisher] - before[publisher] == 50

    run(test)


def test_jetstream_of_the_cluster_is_used_from_the_edge(tmp_path: Path) -> None:
    async def test(edge: Peer, site: Peer, cluster: Peer) -> None:
        async with clients(edge, site, cluster) as connections:
            await all_settled(connections)
            js = connections[0].jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="ORDERS", subjects=["orders.>"], allow_direct=True)
            await interest_settled(connections[0], connections[2])
            for number in range(10):
                assert (await js.publish("orders.new", b"%d" % number)).seq == number + 1
            expected = [("orders.new", b"%d" % number) for number in range(10)]
            pull = await js.pull_subscribe("orders.>", durable="puller")
            messages = await pull.fetch(10, timeout=PATIENCE_SECONDS)
            assert [(one.subject, one.data) for one in messages] == expected
            for message in messages:
                await message.ack_sync(PATIENCE_SECONDS)
            read = await js.get_last_msg("ORDERS", "orders.new", direct=True)
            assert (read.subject, read.data) == ("orders.new", b"9")
            with pytest.raises(NoRespondersError):
                await connections[0].request("$JS.API.DIRECT.GET.MISSING.a", b"", PATIENCE_SECONDS)
            ordered = await js.subscribe("orders.>", ordered_consumer=True)
            messages = [await ordered.next_msg(PATIENCE_SECONDS) for _ in range(10)]
            assert [(one.subject, one.data) for one in messages] == expected
            bucket = await js.create_key_value(bucket="config")
            await bucket.put("rate", b"5")
            assert (await bucket.get("rate")).value == b"5"
            watcher = await bucket.watch("rate")
            assert (await watcher.updates(PATIENCE_SECONDS)).value == b"5"

    with gateways_below_a_server(tmp_path) as peers:
        run(lambda: test(*peers))


def test_jetstream_of_a_domain_is_used_from_a_server_two_links_away(tmp_path: Path) -> None:
    async def test(edge: Peer, site: Peer, cluster: Peer) -> None:
        async with clients(edge, site, cluster) as connections:
            await all_settled(connections)
            for connection in connections[:2]:
                js = connection.jetstream(domain="cluster", timeout=PATIENCE_SECONDS)
                await js.add_stream(name="ORDERS", subjects=["orders.>"])
                await interest_settled(connection, connections[2])
                assert (await js.publish("orders.new", b"1")).stream == "ORDERS"
                ordered = await js.subscribe("orders.>", ordered_consumer=True)
                message = await ordered.next_msg(PATIENCE_SECONDS)
                assert (message.subject, message.data) == ("orders.new", b"1")
                await js.delete_stream("ORDERS")

    with a_gateway_between_servers(tmp_path) as peers:
        run(lambda: test(*peers))


def test_a_loop_of_two_links_is_found_and_both_sides_live_on(tmp_path: Path) -> None:
    """A nats-server that is linked to the gateway, which is linked to it."""

    async def test(ours: Peer, theirs: Peer) -> None:
        async with clients(ours, theirs) as (here, there):
            inboxes = [await one.subscribe("plant.>") for one in (here, there)]
            await settled_both_ways(here, there)
            for number in range(20):
                await here.publish("plant.1", b"%d" % number)
            await here.publish("plant.end", b"")
            for inbox in inboxes:
                seen = []
                while not seen or seen[-1].subject != "plant.end":
                    seen.append(await inbox.next_msg(PATIENCE_SECONDS))
                assert [one.data for one in seen] == [b"%d" % number for number in range(20)] + [b""]

    with ExitStack() as stack:
        theirs = stack.enter_context(nats_server(tmp_path / "theirs", "server_name: theirs", leafnodes=""))
        config = uplink(f"nats-leaf://127.0.0.1:{theirs.ports['leafnode']}", **IMPATIENT)
        ours = stack.enter_context(hub(tmp_path / "ours", config))
        ours.wait_for_log(LINK_UP)
        # Now the other way, without a restart of the gateway.
        text = (theirs.directory / "nats.conf").read_text()
        turned = text.replace("leafnodes {", f"leafnodes {{ remotes: [ {remote(ours)} ],", 1)
        assert turned != text
        (theirs.directory / "nats.conf").write_text(turned)
        theirs.stop()
        theirs.start()
        theirs.wait_ports()
        wait_until(lambda: LOOP in ours.log() + theirs.log(), "a loop that somebody sees")
        run(lambda: test(ours, theirs))


def test_of_two_links_from_one_server_the_newest_stays_and_the_log_is_loud(tmp_path: Path) -> None:
    with (
        hub(tmp_path / "hub") as above,
        spoke(tmp_path / "one", remote(above), name="twin"),
        spoke(tmp_path / "two", remote(above), name="twin"),
    ):
        above.wait_for_log("event=twin name='twin'")
        above.wait_for_log("Duplicate Remote LeafNode Connection")
        # They take turns without end; the log says it now and then.
        above.wait_for_log(SPOKE_UP, count=6)
        assert above.log().count("event=twin") < 6


def test_a_gateway_that_is_linked_to_itself_sees_it(tmp_path: Path) -> None:
    port = free_port()
    config = uplink(f"nats-leaf://127.0.0.1:{port}", **IMPATIENT)
    lines = f'[[listeners]]\nprotocol = "leafnode"\naddress = "127.0.0.1:{port}"\n{config}'
    with gateway(tmp_path / "self", config=lines, name="self") as above:
        above.wait_for_log("our own interest came back")

        async def test() -> None:
            async with client(above) as connection:
                inbox = await connection.subscribe("a")
                for _ in range(10):
                    await connection.publish("a", b"")
                for _ in range(10):
                    await inbox.next_msg(PATIENCE_SECONDS)
                # nats-py may send the first PING before what it was to publish, but no second one.
                await connection.flush()
                await connection.flush()
                assert inbox.pending_msgs == 0

        run(test)


@pytest.mark.parametrize("isolate", [False, True], ids=["together", "isolated"])
def test_isolated_spokes_hear_of_clients_but_not_of_each_other(tmp_path: Path, isolate: bool) -> None:
    async def test(above: Peer, one: Peer, two: Peer) -> None:
        async with clients(above, one, two) as (here, first, second):
            await here.subscribe("ask.hub", cb=answer_with(b""))
            await second.subscribe("ask.two", cb=answer_with(b""))
            await settled_both_ways(here, first)
            await settled_both_ways(here, second)
            await first.request("ask.hub", b"", PATIENCE_SECONDS)
            await here.request("ask.two", b"", PATIENCE_SECONDS)
            if isolate:
                with pytest.raises(NoRespondersError):
                    await first.request("ask.two", b"", PATIENCE_SECONDS)
            else:
                await first.request("ask.two", b"", PATIENCE_SECONDS)

    with (
        hub(tmp_path / "hub", listener=f"isolate = {str(isolate).lower()}") as above,
        spoke(tmp_path / "one", remote(above), name="one") as one,
        spoke(tmp_path / "two", remote(above), name="two") as two,
    ):
        above.wait_for_log(SPOKE_UP, count=2)
        run(lambda: test(above, one, two))


def leafz(peer: Peer) -> dict[str, Any]:
    """What /leafz says of each link, by its name."""
    with urllib.request.urlopen(f"http://127.0.0.1:{peer.ports['monitoring']}/leafz?subs=1") as answer:
        return {one["name"]: one for one in json.load(answer)["leafs"]}


def varz(peer: Peer) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{peer.ports['monitoring']}/varz") as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_links_are_counted_apart_from_clients(tmp_path: Path) -> None:
    with (
        hub(tmp_path / "hub", monitoring=True) as above,
        spoke(tmp_path / "one", remote(above), name="one") as one,
        gateway(tmp_path / "two", config=edge_of(above), name="two", monitoring=True) as two,
    ):
        above.wait_for_log(SPOKE_UP, count=2)

        async def test() -> None:
            async with clients(above, one) as (here, there):
                await there.subscribe("plant.*")
                await settled_both_ways(here, there)
                links, all_ = leafz(above), varz(above)
                assert {name: link["is_spoke"] for name, link in links.items()} == {"one": False, "two": False}
                assert "plant.*" in links["one"]["subscriptions_list"]
                assert (all_["leafnodes"], all_["connections"]) == (2, 1)
                assert all_["leaf"]["port"] == above.ports["leafnode"]
                assert [link["is_spoke"] for link in leafz(two).values()] == [True]

        run(test)


USERS = """
[[accounts]]
name = "plant"
max-leafnodes = {most}
[[users]]
name = "shed"
password = "{password}"
account = "plant"
permissions = {{ publish = {{ allow = {publish} }}, subscribe = {{ allow = [">"] }} }}
[[users]]
name = "ann"
password = "secret"
account = "plant"
"""


def users(most: int = 0, password: str = "secret", publish: str = '["up.>", "_INBOX.>"]') -> str:
    return USERS.format(most=most, password=password, publish=publish)


def rewrite(peer: Peer, old: str, new: str) -> None:
    file = peer.directory / "leafgate.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    count = peer.log().count("event=reloaded")
    peer.send_signal(signal.SIGHUP)
    wait_until(lambda: peer.log().count("event=reloaded") > count, "a reload")


def test_rights_change_while_the_link_stands_and_a_user_that_is_gone_is_parted_with(tmp_path: Path) -> None:
    before, after = users(), users(publish='["up.>", "more.>", "_INBOX.>"]')

    async def test(above: Peer, below: Peer) -> None:
        async with clients(above, below, logins=("ann:secret", "")) as (here, there):
            await here.subscribe("more.ask", cb=answer_with(b""))
            await settled_both_ways(here, there)
            with pytest.raises(NoRespondersError):
                await there.request("more.ask", b"", PATIENCE_SECONDS)
            rewrite(above, before, after)
            await settled_both_ways(here, there)
            await there.request("more.ask", b"", PATIENCE_SECONDS)
            rewrite(above, after, before)
            await settled_both_ways(here, there)
            with pytest.raises(NoRespondersError):
                await there.request("more.ask", b"", PATIENCE_SECONDS)
            rewrite(above, before, after)
            assert above.log().count(SPOKE_UP) == 1
            rewrite(above, after, users(password="other"))
            below.wait_for_log("Authorization Violation")

    with (
        hub(tmp_path / "hub", before) as above,
        spoke(tmp_path / "spoke", remote(above, "shed:secret")) as below,
    ):
        above.wait_for_log(SPOKE_UP)
        run(lambda: test(above, below))


def test_an_account_has_no_more_leafnodes_than_it_may(tmp_path: Path) -> None:
    with (
        hub(tmp_path / "hub", users(most=1)) as above,
        spoke(tmp_path / "one", remote(above, "shed:secret"), name="one") as one,
    ):
        above.wait_for_log(SPOKE_UP)
        with spoke(tmp_path / "two", remote(above, "shed:secret"), name="two") as two:
            two.wait_for_log("maximum account active connections exceeded")
            one.stop()
            above.wait_for_log(SPOKE_UP, count=2)


def test_listeners_for_leafnodes_come_and_go_by_reload(tmp_path: Path) -> None:
    with hub(tmp_path / "hub") as above:
        listener = '[[listeners]]\nprotocol = "leafnode"\naddress = "127.0.0.1:0"'
        with spoke(tmp_path / "one", remote(above), name="one"):
            above.wait_for_log(SPOKE_UP)
            rewrite(above, listener, "")
        rewrite(above, "[monitoring]", f"{listener}\n[monitoring]")
        above.ports = read_ports_file(above.directory / "ports.json") or {}
        with spoke(tmp_path / "two", remote(above), name="two"):
            above.wait_for_log(SPOKE_UP, count=2)


def test_spokes_are_parted_with_in_lame_duck_mode(tmp_path: Path) -> None:
    quickly = "[timeouts]\nlame-duck-grace-seconds = 0\nlame-duck-seconds = 1\n"
    with hub(tmp_path / "hub", quickly) as above, spoke(tmp_path / "spoke", remote(above)) as below:
        above.wait_for_log(SPOKE_UP)
        above.send_signal(signal.SIGUSR2)
        assert above.wait_exit() == 0
        below.wait_for_log("Leafnode connection closed")
        assert "Server Shutdown" in above.log()
