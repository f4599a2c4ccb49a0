"""JetStream of a real hub, used by clients at the edge, which know nothing of the link."""

from collections.abc import Iterator

import pytest
from nats.errors import NoRespondersError

from tests.integration.leafnode_pair import PATIENCE_SECONDS, clients, hub_and_edge, run
from tests.integration.peers import Peer


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


def test_messages_of_the_hub_s_streams_are_read_directly_from_the_edge(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (_, at_edge):
            js = at_edge.jetstream(timeout=PATIENCE_SECONDS)
            bucket = await js.create_key_value(bucket="direct", direct=True)
            await bucket.put("colour", b"red")
            answer = await at_edge.request("$JS.API.DIRECT.GET.KV_direct.$KV.direct.colour", timeout=PATIENCE_SECONDS)
            assert (answer.data, answer.headers["Nats-Sequence"]) == (b"red", "1")
            assert (await bucket.get("colour")).value == b"red"

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


def test_direct_get_of_a_stream_that_does_not_exist_has_no_responders_as_at_the_hub(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            await at_hub.jetstream().add_stream(name="DIRECT", subjects=["direct.>"], allow_direct=True)
            await at_hub.jetstream().add_stream(name="INDIRECT", subjects=["indirect.>"])
            await at_hub.jetstream().publish("direct.one", b"here")
            for client in (at_hub, at_edge):
                for _ in range(2):
                    for missing in ("NONE", "NONE.subject", "INDIRECT"):
                        with pytest.raises(NoRespondersError):
                            await client.request(
                                f"$JS.API.DIRECT.GET.{missing}", b'{"seq":1}', timeout=PATIENCE_SECONDS
                            )
                    found = await client.request("$JS.API.DIRECT.GET.DIRECT", b'{"seq":1}', timeout=PATIENCE_SECONDS)
                    assert found.data == b"here"
                    answer = await client.request("$JS.API.STREAM.MSG.GET.NONE", b'{"seq":1}', timeout=PATIENCE_SECONDS)
                    assert b"stream not found" in answer.data
            await at_hub.jetstream().delete_stream("DIRECT")
            await at_hub.jetstream().delete_stream("INDIRECT")

    run(test)


def test_who_a_client_is_says_the_gateway_and_not_the_hub(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(edge) as (at_edge,):
            inbox = at_edge.new_inbox()
            answers = await at_edge.subscribe(inbox)
            await at_edge.publish("$SYS.REQ.USER.INFO", b"", reply=inbox)
            answer = await answers.next_msg(PATIENCE_SECONDS)
            assert b'"name":"edge"' in answer.data
            await at_edge.request("$JS.API.INFO", b"", timeout=PATIENCE_SECONDS)
            assert answers.pending_msgs == 0

    run(test)
