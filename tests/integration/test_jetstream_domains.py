"""Streams at the edge and streams at the hub, in domains of their own, over the link between them."""

from collections.abc import Iterator

import pytest
from nats.js import api

from tests.integration.leafnode_pair import (
    PATIENCE_SECONDS,
    clients,
    run,
    settled_both_ways,
)
from tests.integration.mirror_pair import hub_and_edge_with_streams
from tests.integration.peers import Peer, wait_until


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with hub_and_edge_with_streams(tmp_path_factory.mktemp("domains")) as both:
        yield both


def test_each_side_reaches_the_streams_of_both(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (at_hub, at_edge):
            await settled_both_ways(at_hub, at_edge)
            for domain, subject in (("edge", "here.>"), ("hub", "there.>")):
                js = at_edge.jetstream(domain=domain, timeout=PATIENCE_SECONDS)
                info = await js.add_stream(name=f"S-{domain}", subjects=[subject])
                assert info.config.name == f"S-{domain}"
            for client in (at_hub, at_edge):
                for domain, subject in (("edge", "here.x"), ("hub", "there.x")):
                    js = client.jetstream(domain=domain, timeout=PATIENCE_SECONDS)
                    ack = await js.publish(subject, b"a message")
                    assert (ack.stream, ack.domain) == (f"S-{domain}", domain)
                    assert next(iter(await js.streams_info())).config.name == f"S-{domain}"
            for client, own in ((at_hub, "S-hub"), (at_edge, "S-edge")):
                names = [info.config.name for info in await client.jetstream(timeout=PATIENCE_SECONDS).streams_info()]
                assert names == [own]

    run(test)


def test_a_client_at_the_hub_consumes_what_is_stored_at_the_edge(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (at_hub, at_edge):
            local = at_edge.jetstream(timeout=PATIENCE_SECONDS)
            await local.add_stream(name="FAR", subjects=["far.>"])
            for number in range(10):
                await local.publish("far.x", b"%d" % number)
            js = at_hub.jetstream(domain="edge", timeout=PATIENCE_SECONDS)
            await js.add_consumer("FAR", api.ConsumerConfig(durable_name="one", ack_policy=api.AckPolicy.EXPLICIT))
            pull = await js.pull_subscribe_bind("one", "FAR")
            messages = await pull.fetch(10, timeout=PATIENCE_SECONDS)
            assert [(one.subject, one.data) for one in messages] == [("far.x", b"%d" % one) for one in range(10)]
            for message in messages:
                await message.ack_sync(PATIENCE_SECONDS)
            assert (await js.consumer_info("FAR", "one")).ack_floor.stream_seq == 10
            push = await js.subscribe("far.>", stream="FAR", ordered_consumer=True)
            assert [(await push.next_msg(PATIENCE_SECONDS)).data for _ in range(10)] == [one.data for one in messages]

    run(test)


def test_key_value_buckets_of_both_sides_are_kept_apart(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (at_hub, at_edge):
            here = await at_edge.jetstream(timeout=PATIENCE_SECONDS).create_key_value(bucket="same")
            there = await at_hub.jetstream(timeout=PATIENCE_SECONDS).create_key_value(bucket="same")
            await here.put("where", b"edge")
            await there.put("where", b"hub")
            assert (await here.get("where")).value == b"edge"
            assert (await there.get("where")).value == b"hub"

    run(test)


def test_what_is_stored_at_the_edge_is_there_without_the_hub(pair: tuple[Peer, Peer]) -> None:
    hub, edge = pair

    async def test() -> None:
        async with clients(edge) as (at_edge,):
            js = at_edge.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="ALONE", subjects=["alone.>"])
            assert (await js.publish("alone.x", b"stored")).seq == 1
            assert (await js.get_msg("ALONE", 1)).data == b"stored"

    hub.stop()
    wait_until(lambda: "event=down" in edge.fresh_log() or "event=lost" in edge.fresh_log(), "the end of the link")
    run(test)
