"""Streams of the gateway with clients that know nothing of it: nats-py and nats.js."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError

from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.node_peers import NodeClient, node_client, require_node
from tests.integration.peers import Peer, gateway

STREAMS = '[streams]\ndomain = "edge"\n'


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    options = {"protocols": ("nats", "websocket"), "config": STREAMS, "data_directory": directory / "data"}
    with gateway(directory, **options) as peer:
        yield peer


@pytest.fixture(scope="module")
def js(edge: Peer) -> Iterator[NodeClient]:
    require_node("@nats-io/jetstream", "@nats-io/kv", "@nats-io/obj")
    with node_client("jetstream_client.mjs", edge.url("websocket", "ws")) as connection:
        yield connection


def test_nats_py_publishes_and_pulls(edge: Peer) -> None:
    async def test() -> None:
        async with client(edge) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="ORDERS", subjects=["orders.>"])
            for number in range(20):
                ack = await js.publish("orders.new", b"%d" % number, headers={"Nats-Msg-Id": f"m{number}"})
                assert (ack.stream, ack.seq, ack.domain) == ("ORDERS", number + 1, "edge")
            assert (await js.publish("orders.new", b"0", headers={"Nats-Msg-Id": "m0"})).duplicate
            pull = await js.pull_subscribe("orders.>", durable="puller")
            messages = await pull.fetch(20, timeout=PATIENCE_SECONDS)
            for message in messages:
                await message.ack_sync(PATIENCE_SECONDS)
            assert [message.metadata.sequence.stream for message in messages] == list(range(1, 21))
            info = await js.consumer_info("ORDERS", "puller")
            assert (info.ack_floor.stream_seq, info.num_ack_pending, info.num_pending) == (20, 0, 0)
            await js.delete_stream("ORDERS")

    run(test)


def test_nats_py_is_pushed_to(edge: Peer) -> None:
    async def test() -> None:
        async with client(edge) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="EVENTS", subjects=["events.>"])
            for number in range(20):
                await js.publish("events.one", b"%d" % number)
            push = await js.subscribe("events.>", durable="pusher", manual_ack=True)
            for number in range(20):
                message = await push.next_msg(PATIENCE_SECONDS)
                assert message.data == b"%d" % number
                await message.ack()
            shared = [await js.subscribe("events.>", "workers", durable="workers") for _ in range(2)]
            seen = []
            while len(seen) < 20:
                for subscription in shared:
                    if subscription.pending_msgs or len(seen) < 20:
                        try:
                            seen.append((await subscription.next_msg(0.2)).data)
                        except TimeoutError:
                            continue
            assert sorted(map(int, seen)) == list(range(20))
            ordered = await js.subscribe("events.>", ordered_consumer=True)
            for number in range(20):
                assert (await ordered.next_msg(PATIENCE_SECONDS)).data == b"%d" % number
            await js.publish("events.late", b"late")
            assert (await push.next_msg(PATIENCE_SECONDS)).subject == "events.late"
            assert (await ordered.next_msg(PATIENCE_SECONDS)).subject == "events.late"
            await js.delete_stream("EVENTS")

    run(test)


def test_nats_py_keeps_keys_and_values(edge: Peer) -> None:
    async def test() -> None:
        async with client(edge) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            bucket = await js.create_key_value(bucket="settings", history=3, direct=True)
            assert await bucket.put("colour", b"red") == 1
            assert (await bucket.get("colour")).value == b"red"
            assert await bucket.update("colour", b"blue", last=1) == 2
            with pytest.raises(KeyWrongLastSequenceError):
                await bucket.update("colour", b"green", last=1)
            watcher = await bucket.watchall()
            first = await watcher.updates(PATIENCE_SECONDS)
            assert first is not None
            assert (first.key, first.value) == ("colour", b"blue")
            assert await watcher.updates(PATIENCE_SECONDS) is None
            await bucket.create("size", b"large")
            with pytest.raises(KeyWrongLastSequenceError):
                await bucket.create("size", b"small")
            await bucket.delete("colour")
            with pytest.raises(KeyNotFoundError):
                await bucket.get("colour")
            updates = [await watcher.updates(PATIENCE_SECONDS) for _ in range(2)]
            assert [(entry.key, entry.operation) for entry in updates if entry] == [("size", None), ("colour", "DEL")]
            assert await bucket.keys() == ["size"]
            assert [entry.operation for entry in await bucket.history("colour")] == [None, None, "DEL"]
            await bucket.purge("colour")
            assert [entry.operation for entry in await bucket.history("colour")] == ["PURGE"]
            await watcher.stop()
            assert (await bucket.status()).values == 2
            await js.delete_key_value("settings")

    run(test)


def test_nats_py_keeps_objects(edge: Peer) -> None:
    async def test() -> None:
        async with client(edge) as connection:
            store = await connection.jetstream(timeout=PATIENCE_SECONDS).create_object_store(bucket="files")
            content = bytes(range(256)) * 1200  # more than two chunks
            assert (await store.put("picture", content)).size == len(content)
            assert (await store.get("picture")).data == content
            await store.put("picture", b"smaller")
            assert (await store.get("picture")).data == b"smaller"
            assert [info.name for info in await store.list()] == ["picture"]
            await store.delete("picture")
            await connection.jetstream(timeout=PATIENCE_SECONDS).delete_object_store("files")

    run(test)


def test_the_domain_is_a_way_to_the_same_streams(edge: Peer) -> None:
    async def test() -> None:
        async with client(edge) as connection:
            here = connection.jetstream(timeout=PATIENCE_SECONDS)
            named = connection.jetstream(domain="edge", timeout=PATIENCE_SECONDS)
            await named.add_stream(name="NAMED", subjects=["named"])
            await here.publish("named", b"here")
            assert (await named.get_msg("NAMED", 1)).data == b"here"
            config = api.ConsumerConfig(durable_name="one", ack_policy=api.AckPolicy.EXPLICIT)
            await named.add_consumer("NAMED", config)
            pull = await named.pull_subscribe_bind("one", "NAMED")
            message = (await pull.fetch(1, timeout=PATIENCE_SECONDS))[0]
            await message.ack_sync()
            await here.delete_stream("NAMED")

    run(test)


def test_nats_js_batches_counts_and_schedules(js: NodeClient) -> None:
    js.call(
        "addStream", config={"name": "BATCHES", "subjects": ["batches"], "allow_atomic": True, "allow_batched": True}
    )
    assert js.call("batch", subject="batches", payloads=["1", "2", "3", "4"]) == {"seq": 4, "count": 4}
    assert js.call("fastIngest", subject="batches", count=500) == {"seq": 504, "count": 500}
    assert js.call("streamInfo", name="BATCHES")["messages"] == 504
    js.call("addStream", config={"name": "COUNTS", "subjects": ["counts.>"], "allow_msg_counter": True})
    assert [js.call("increment", subject="counts.a", by=by) for by in ("5", "-7", "100")] == ["5", "-2", "98"]
    config = {"name": "LATER", "subjects": ["later.>", "due.>"], "allow_msg_schedules": True, "allow_direct": True}
    js.call("addStream", config=config)
    js.call("schedule", subject="later.one", payload="it is time", target="due.one", seconds=1)
    due = None
    while due is None:
        due = js.call("directGet", stream="LATER", query={"last_by_subj": "due.one"})
    assert due["data"] == "it is time"
    for name in ("BATCHES", "COUNTS", "LATER"):
        js.call("deleteStream", name=name)


def test_nats_js_publishes_and_consumes(js: NodeClient) -> None:
    assert js.call("addStream", config={"name": "JS", "subjects": ["js.>"], "allow_direct": True}) == "JS"
    for number in range(1, 11):
        told = js.call("publish", subject=f"js.{number % 2}", payload=str(number), options={"msgID": f"id{number}"})
        assert told == {"seq": number, "duplicate": False}
    assert js.call("publish", subject="js.1", payload="1", options={"msgID": "id1"}) == {"seq": 1, "duplicate": True}
    assert js.call("refused", subject="js.1", payload="1", options={"expect": {"lastSequence": 3}}) == 10071
    assert js.call("directGet", stream="JS", query={"last_by_subj": "js.1"}) == {
        "subject": "js.1",
        "seq": 9,
        "data": "9",
    }
    assert js.call("directBatch", stream="JS", query={"seq": 3, "batch": 4}) == [3, 4, 5, 6]
    config = {"durable_name": "worker", "ack_policy": "explicit"}
    assert js.call("addConsumer", stream="JS", config=config) == "worker"
    fetched = js.call("fetch", stream="JS", consumer="worker", count=4)
    assert [(one["seq"], one["pending"]) for one in fetched] == [(1, 9), (2, 8), (3, 7), (4, 6)]
    assert js.call("consume", stream="JS", consumer="worker", count=6) == list(range(5, 11))
    assert js.call("ordered", stream="JS", count=5, options={"filter_subjects": "js.1"}) == [1, 3, 5, 7, 9]
    pushed = {
        "deliver_subject": "pushed.here",
        "ack_policy": "explicit",
        "flow_control": True,
        "idle_heartbeat": 5 * 10**9,
    }
    assert js.call("pushed", stream="JS", config=pushed, count=10) == list(range(1, 11))
    assert js.call("streamInfo", name="JS") == {"messages": 10, "first": 1, "last": 10}
    assert js.call("deleteStream", name="JS")


def test_nats_js_keeps_keys_and_values(js: NodeClient) -> None:
    assert js.call("bucket", name="kv", options={"history": 4, "markerTTL": 2000}) == "kv"
    js.call("watch", name="kv")
    assert js.call("put", name="kv", key="a", value="1") == 1
    assert js.next_message() == {"key": "a", "value": "1", "revision": 1, "operation": "PUT"}
    assert js.call("update", name="kv", key="a", value="2", revision=1) == 2
    assert "wrong last sequence" in js.call("update", name="kv", key="a", value="3", revision=1)
    assert "wrong last sequence" in js.call("create", name="kv", key="a", value="3")
    assert js.call("get", name="kv", key="a") == {"key": "a", "value": "2", "revision": 2, "operation": "PUT"}
    js.call("remove", name="kv", key="a")
    assert [one["operation"] for one in js.call("history", name="kv", key="a")] == ["PUT", "PUT", "DEL"]
    js.call("purge", name="kv", key="a")
    assert [one["operation"] for one in js.call("history", name="kv", key="a")] == ["PURGE"]
    assert js.call("create", name="kv", key="b", value="short", ttl="1s") == 5
    seen = [js.next_message() for _ in range(5)]
    assert [(one["key"], one["operation"]) for one in seen] == [
        ("a", "PUT"),
        ("a", "DEL"),
        ("a", "PURGE"),
        ("b", "PUT"),
        ("b", "PURGE"),  # because its time was over
    ]
    js.call("purge", name="kv", key="b")
    assert js.call("keys", name="kv") == []


def test_nats_js_keeps_objects(js: NodeClient) -> None:
    assert js.call("store", name="blobs", key="one", size=300_000) == {"size": 300_000, "chunks": 3}
    assert js.call("load", name="blobs", key="one") == {"size": 300_000, "sum": 2_100_000}
    assert js.call("listObjects", name="blobs") == ["one"]
    assert js.call("removeObject", name="blobs", key="one")
    assert js.call("listObjects", name="blobs") == []


def test_streams_and_consumers_are_there_after_a_kill(tmp_path: Path) -> None:
    async def before(peer: Peer) -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="KEPT", subjects=["kept.>"])
            config = api.ConsumerConfig(durable_name="half", ack_policy=api.AckPolicy.EXPLICIT)
            await js.add_consumer("KEPT", config)
            acks = [js.publish("kept.x", b"%d" % number, headers={"Nats-Msg-Id": f"{number}"}) for number in range(50)]
            await asyncio.gather(*acks)
            pull = await js.pull_subscribe_bind("half", "KEPT")
            for message in await pull.fetch(20, timeout=PATIENCE_SECONDS):
                await message.ack_sync(PATIENCE_SECONDS)
            assert len(await pull.fetch(5, timeout=PATIENCE_SECONDS)) == 5

    async def after(peer: Peer) -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            assert (await js.stream_info("KEPT")).state.messages == 50
            assert (await js.publish("kept.x", b"7", headers={"Nats-Msg-Id": "7"})).duplicate
            info = await js.consumer_info("KEPT", "half")
            assert info.ack_floor.stream_seq == 20
            pull = await js.pull_subscribe_bind("half", "KEPT")
            rest = await pull.fetch(25, timeout=PATIENCE_SECONDS)
            assert {message.metadata.sequence.stream for message in rest} >= set(range(26, 46))

    options = {"config": STREAMS, "data_directory": tmp_path / "data"}
    with gateway(tmp_path / "one", **options) as peer:
        asyncio.run(before(peer))
        peer.kill()
    with gateway(tmp_path / "two", **options) as peer:
        asyncio.run(after(peer))


def test_what_a_work_queue_has_handed_out_is_no_new_message_after_a_kill(tmp_path: Path) -> None:
    async def before(peer: Peer) -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="JOBS", subjects=["jobs.>"], retention=api.RetentionPolicy.WORK_QUEUE)
            pull = await js.pull_subscribe("jobs.>", durable="worker")
            for number in range(3):
                await js.publish("jobs.x", b"%d" % number, headers={"Nats-Msg-Id": f"{number}"})
            for message in await pull.fetch(3, timeout=PATIENCE_SECONDS):
                await message.ack_sync(PATIENCE_SECONDS)
            assert (await js.stream_info("JOBS")).state.messages == 0

    async def after(peer: Peer) -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            again = [await js.publish("jobs.x", b"1", headers={"Nats-Msg-Id": f"{number}"}) for number in range(4)]
            assert [(one.seq, one.duplicate) for one in again] == [(1, True), (2, True), (3, True), (4, None)]
            expected = {"Nats-Expected-Last-Msg-Id": "3"}
            assert (await js.publish("jobs.x", b"5", headers=expected)).seq == 5

    options = {"config": STREAMS, "data_directory": tmp_path / "data"}
    with gateway(tmp_path / "one", **options) as peer:
        asyncio.run(before(peer))
        peer.kill()
    with gateway(tmp_path / "two", **options) as peer:
        asyncio.run(after(peer))


def test_a_key_that_is_being_written_is_there(tmp_path: Path) -> None:
    """Its new value is not on the disk yet, and its old one has given way."""

    async def test(peer: Peer) -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.create_key_value(bucket="slow", history=1, direct=True)
            await js.publish("$KV.slow.key", b"old")
            for asked in ("$JS.API.DIRECT.GET.KV_slow.$KV.slow.key", "$JS.API.DIRECT.GET.KV_slow"):
                await connection.publish("$KV.slow.key", b"new")
                payload = b"" if asked.endswith("key") else b'{"multi_last": ["$KV.slow.*"]}'
                answer = await connection.request(asked, payload, PATIENCE_SECONDS)
                assert (answer.data, (answer.headers or {}).get("Status")) == (b"new", None)

    config = STREAMS + "commit-interval-ms = 200\n"
    with gateway(tmp_path, config=config, data_directory=tmp_path / "data") as peer:
        asyncio.run(test(peer))


def test_a_key_that_is_written_without_end_is_read(tmp_path: Path) -> None:
    """There is always a value that waits for its commit."""

    async def test(peer: Peer) -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.create_key_value(bucket="hot", history=1, direct=True)

            async def write() -> None:
                number = 0
                while True:
                    number += 1
                    await connection.publish("$KV.hot.key", b"%d" % number)
                    await asyncio.sleep(0.001)

            await js.publish("$KV.hot.key", b"0")
            writing = asyncio.create_task(write())
            last = 0
            for _ in range(10):
                answer = await connection.request("$JS.API.DIRECT.GET.KV_hot.$KV.hot.key", b"", PATIENCE_SECONDS)
                assert "Status" not in (answer.headers or {})
                assert int(answer.data) >= last
                last = int(answer.data)
            writing.cancel()

    config = STREAMS + "commit-interval-ms = 50\n"
    with gateway(tmp_path, config=config, data_directory=tmp_path / "data") as peer:
        asyncio.run(test(peer))


async def published_until_refused(js: JetStreamContext, subject: str, payload: bytes) -> int | None:
    """The number of the fault that keeps a message out in the end."""
    while True:
        try:
            await js.publish(subject, payload)
        except APIError as error:
            return error.err_code


def test_without_a_data_directory_streams_are_in_memory_or_refused(tmp_path: Path) -> None:
    async def test(peer: Peer) -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            with pytest.raises(APIError) as caught:
                await js.add_stream(name="FILE", subjects=["file"])
            assert caught.value.err_code == 10047
            await js.add_stream(name="MEMORY", subjects=["memory"], storage=api.StorageType.MEMORY)
            assert (await js.publish("memory", b"1")).seq == 1
            assert (await js.get_msg("MEMORY", 1)).data == b"1"
            assert await published_until_refused(js, "memory", bytes(500_000)) == 10028
            await js.purge_stream("MEMORY")
            assert (await js.stream_info("MEMORY")).state.messages == 0

    with gateway(tmp_path, config=STREAMS + "max-memory-bytes = 4194304\n") as peer:
        asyncio.run(test(peer))


def test_what_is_not_there_is_refused_by_its_name(edge: Peer) -> None:
    async def test() -> None:
        async with client(edge) as connection:
            config = {"name": "REFUSED", "template_owner": "somebody"}
            answer = await connection.request("$JS.API.STREAM.CREATE.REFUSED", json.dumps(config).encode())
            assert json.loads(answer.data)["error"]["description"] == "template_owner is not supported by this gateway"
            with pytest.raises(NotFoundError):
                await connection.jetstream().stream_info("REFUSED")

    run(test)


def test_many_messages_come_out_of_memory_and_from_the_disk_in_order(edge: Peer) -> None:
    async def test() -> None:
        async with client(edge) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="MANY", subjects=["many.*"])
            for first in range(0, 20_000, 1000):
                for number in range(first, first + 1000):
                    await connection.publish(f"many.{number % 7}", b"%d" % number + bytes(100))
                await connection.flush()
            while (await js.stream_info("MANY")).state.messages < 20_000:
                pass
            ordered = await js.subscribe("many.*", ordered_consumer=True)
            for number in range(20_000):
                assert (await ordered.next_msg(PATIENCE_SECONDS)).data.rstrip(b"\0") == b"%d" % number
            config = api.ConsumerConfig(
                durable_name="some", ack_policy=api.AckPolicy.EXPLICIT, filter_subject="many.3", max_ack_pending=-1
            )
            await js.add_consumer("MANY", config)
            assert (await js.consumer_info("MANY", "some")).num_pending == 2857
            pull = await js.pull_subscribe_bind("some", "MANY")
            seen = []
            while len(seen) < 2857:
                batch = await pull.fetch(500, timeout=PATIENCE_SECONDS)
                seen += [int(message.data.rstrip(b"\0")) for message in batch]
                for message in batch:
                    await message.ack()
                assert batch[-1].metadata.num_pending == 2857 - len(seen)
            assert seen == list(range(3, 20_000, 7))
            await js.purge_stream("MANY", subject="many.3")
            info = await js.stream_info("MANY")
            assert (info.state.messages, info.state.num_deleted) == (20_000 - 2857, 2857)
            await js.delete_stream("MANY")

    asyncio.run(test())
