"""A device's key-value buckets: directly, and at the hub behind the gateway; nats-py is the other side."""

import json
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext
from nats.js.kv import KeyValue

from tests.integration.leafnode_pair import IMPATIENT, LINK_UP, hub_and_edge, leaf_url, wait_for_jetstream
from tests.integration.peers import Peer, free_port, gateway, nats_server_ready, uplink
from tests.micropython.hubs import at_hub, made_anew
from tests.micropython.scripted_server import ScriptedServer, Visit
from tests.micropython.unix_port import PATIENCE_SECONDS, Board, board

BUCKET = "settings"
STREAM = f"KV_{BUCKET}"
# Short, so that a watch finds out soon that it was lost.
HEARTBEAT_SECONDS = 0.5


def make_bucket(hub: Peer, direct: bool = True, **values: bytes) -> None:
    """A new one, with these values in revisions from 1."""

    async def work(js: JetStreamContext) -> None:
        bucket = await made_anew(js, STREAM, lambda: js.create_key_value(bucket=BUCKET, history=3))
        config = (await js.stream_info(STREAM)).config
        config.allow_direct = direct
        await js.update_stream(config)
        for key, value in values.items():
            await bucket.put(key, value)

    at_hub(hub, work)


def change(hub: Peer, *changes: tuple[str, bytes | None]) -> None:
    """None: the key is deleted."""

    async def work(js: JetStreamContext) -> None:
        bucket = await js.key_value(BUCKET)
        for key, value in changes:
            await (bucket.delete(key) if value is None else bucket.put(key, value))

    at_hub(hub, work)


def entry(hub: Peer, key: str) -> KeyValue.Entry:
    async def work(js: JetStreamContext) -> KeyValue.Entry:
        return await (await js.key_value(BUCKET)).get(key)

    found = at_hub(hub, work)
    assert isinstance(found, KeyValue.Entry)
    return found


def steps(server: Peer, *calls: list[Any], bucket: str = BUCKET) -> list[str]:
    """What a device prints that makes these calls."""
    with board("bucket.py", server.url(), bucket, "steps", json.dumps(calls)) as device:
        printed = device.finished().splitlines()
    return [line for line in printed if line.startswith(tuple(call[0] for call in calls))]


def watching(server: Peer, **options: Any) -> Any:
    options.setdefault("heartbeat", HEARTBEAT_SECONDS)
    return board("bucket.py", server.url(), BUCKET, "watch", json.dumps(options))


def changes_of(device: Board) -> list[str]:
    """What changed, without how many more were to come: that depends on how many the hub had when it sent this one."""
    printed = device.finished().splitlines()
    return [line.rsplit(" ", 1)[0] for line in printed if line.startswith(("PUT", "DEL", "PURGE"))]


@pytest.mark.parametrize("direct", [True, False])
def test_values_are_read_whether_or_not_the_stream_answers_directly(hub: Peer, server: Peer, direct: bool):
    make_bucket(hub, direct, colour=b"red", size=b"large", empty=b"")
    change(hub, ("colour", b"blue"), ("size", None))
    assert steps(server, ["get", "colour"], ["get", "size"], ["get", "empty"], ["get", "none"]) == [
        "get colour=blue@4",
        "get None",
        "get empty=@3",
        "get None",
    ]


def test_values_are_written(hub: Peer, server: Peer):
    make_bucket(hub)
    assert steps(server, ["put", "colour", "red"], ["put", "rooms/1.lamp_a", "on"]) == ["put 1", "put 2"]
    assert entry(hub, "colour").value == b"red"
    assert entry(hub, "rooms/1.lamp_a").value == b"on"


@pytest.mark.parametrize("direct", [True, False])
def test_create_takes_only_a_key_without_value(hub: Peer, server: Peer, direct: bool):
    make_bucket(hub, direct)
    calls = [["create", "a", "1"], ["create", "a", "2"], ["delete", "a"], ["get", "a"], ["create", "a", "3"]]
    assert steps(server, *calls) == ["create 1", "create error 400 10071", "delete 2", "get None", "create 3"]
    assert entry(hub, "a").value == b"3"


def test_update_takes_only_the_last_revision(hub: Peer, server: Peer):
    make_bucket(hub, a=b"1")
    change(hub, ("b", b"1"))
    assert steps(server, ["update", "a", "2", 2], ["update", "a", "3", 1], ["update", "a", "4", 1]) == [
        "update error 400 10071",
        "update 3",
        "update error 400 10071",
    ]
    assert (entry(hub, "a").value, entry(hub, "a").revision) == (b"3", 3)


def test_keys_are_those_that_have_a_value(hub: Peer, server: Peer):
    make_bucket(hub)
    assert steps(server, ["keys"]) == ["keys []"]
    names = [f"k{number:02}" for number in range(20)]
    change(hub, *[(name, bytes(9000)) for name in names], ("k03", None))
    names.remove("k03")
    assert steps(server, ["keys"], ["keys", "k0*"], ["keys", "k07"]) == [f"keys {names}", "keys []", "keys ['k07']"]


def test_bucket_that_is_not_there_is_an_error(server: Peer):
    printed = steps(server, ["get", "a"], ["watch"], ["keys"], bucket="nowhere")
    assert printed == ["get error 404 10059", "watch error 404 10059", "keys error 404 10059"]


def test_value_for_a_bucket_that_is_not_there_is_an_error(hub: Peer):
    assert steps(hub, ["put", "a", "1"], bucket="nowhere") == ["put error 503 0"]


@pytest.mark.parametrize("key", ["", "a b", "a.*", ">", ".a", "a.", "a\r\nPUB x 0\r\n", "a\n"])
def test_what_is_no_key_is_not_sent(hub: Peer, server: Peer, key: str):
    make_bucket(hub)
    assert steps(server, ["put", key, "1"], ["get", key]) == ["put no key", "get no key"]


def test_watch_gives_what_is_there_and_then_what_changes(hub: Peer, server: Peer):
    make_bucket(hub, a=b"1", b=b"2", c=b"3")
    change(hub, ("a", b"4"), ("c", None))
    with watching(server) as device:
        assert device.until("pending") == "pending 3\n"
        assert device.until("PUT b") == "PUT b 2 2 2\n"
        assert device.until("PUT a") == "PUT a 4 4 1\n"
        assert device.until("DEL c") == "DEL c  5 0\n"
        change(hub, ("d", b"5"), ("a", None), ("end", b""))
        assert changes_of(device) == ["PUT b 2 2", "PUT a 4 4", "DEL c  5", "PUT d 5 6", "DEL a  7", "PUT end  8"]
    assert consumers(hub) == 0


def test_watch_of_a_pattern_gives_only_that(hub: Peer, server: Peer):
    make_bucket(hub)
    change(hub, ("a.x", b"1"), ("b.x", b"2"))
    with watching(server, pattern="a.*", values=False) as device:
        device.until("PUT a.x")
        change(hub, ("b.y", b"3"), ("a.y", b"4"), ("a.x", None))
        assert device.until("a.y").startswith("PUT a.y  4 ")
        assert device.until("a.x").startswith("DEL a.x  5 ")


def test_many_values_come_whole_and_in_order(hub: Peer, server: Peer):
    make_bucket(hub)
    change(hub, *[(f"k{number}", b"%d" % number) for number in range(100)])
    with watching(server) as device:
        device.until("k99")
        change(hub, *[(f"k{number}", b"again") for number in range(50)], ("end", b""))
        printed = changes_of(device)
    assert [int(line.split()[-1]) for line in printed] == list(range(1, 152))


def test_value_too_large_for_the_device_is_passed_over(hub: Peer, server: Peer):
    make_bucket(hub, a=b"1", large=bytes(9000), b=b"2")
    with watching(server) as device:
        device.until("PUT b 2")
        change(hub, ("large", bytes(9001)), ("c", b"3"), ("large", bytes(7000)), ("end", b""))
        assert [line.split()[1] for line in changes_of(device)] == ["a", "b", "c", "large", "end"]


def test_idle_watch_stays(hub: Peer, server: Peer):
    make_bucket(hub, a=b"1")
    with watching(server, heartbeat=0.1) as device:
        device.until("PUT a")
        at_hub(hub, pulled_again)
        change(hub, ("end", b""))
        assert changes_of(device) == ["PUT a 1 1", "PUT end  2"]


async def pulled_again(js: JetStreamContext) -> None:
    """Return once the device has asked for more, twice."""
    requests = await js._nc.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.*")
    for _ in range(2):
        await requests.next_msg(PATIENCE_SECONDS)


def test_watch_goes_on_after_the_hub_restarts(tmp_path: Path, way: int):
    with hub_and_edge(tmp_path) as peers:
        hub, server = peers[0], peers[way]
        make_bucket(hub, a=b"1", b=b"2")
        with watching(server) as device:
            device.until("PUT b")
            hub.kill()
            hub.start()
            nats_server_ready(hub)
            change(hub, ("a", b"3"), ("b", None))
            device.until("DEL b")
            change(hub, ("a", b"4"), ("end", b""))
            printed = changes_of(device)
    assert printed == ["PUT a 1 1", "PUT b 2 2", "PUT a 3 3", "DEL b  4", "PUT a 4 5", "PUT end  6"]


def test_watch_begins_anew_in_a_bucket_that_was_made_again(tmp_path: Path, way: int):
    with hub_and_edge(tmp_path) as peers:
        hub, server = peers[0], peers[way]
        make_bucket(hub, a=b"1", b=b"2")
        change(hub, ("a", b"3"))
        with watching(server) as device:
            device.until("PUT a 3")
            hub.kill()
            hub.start()
            nats_server_ready(hub)
            make_bucket(hub, a=b"new")
            device.until("PUT a new 1 0")
            change(hub, ("end", b""))
            device.finished()


def test_watch_goes_on_after_its_consumer_was_deleted(hub: Peer, server: Peer):
    make_bucket(hub, a=b"1")
    with watching(server) as device:
        device.until("PUT a")

        async def delete(js: JetStreamContext) -> None:
            for info in await js.consumers_info(STREAM):
                await js.delete_consumer(STREAM, info.name)

        at_hub(hub, delete)
        change(hub, ("a", b"2"), ("end", b""))
        assert changes_of(device) == ["PUT a 1 1", "PUT a 2 2", "PUT end  3"]


def test_watch_goes_on_after_the_gateway_restarts(tmp_path: Path, hub: Peer):
    make_bucket(hub, a=b"1", b=b"2")
    listener = f'[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:{free_port()}"\n'
    config = listener + uplink(leaf_url(hub), **IMPATIENT)
    with gateway(tmp_path, protocols=(), config=config, name="edge-2") as edge:
        edge.wait_for_log(LINK_UP)
        wait_for_jetstream(edge)
        with watching(edge) as device:
            device.until("PUT b")
            edge.kill()
            change(hub, ("a", b"3"), ("b", b"4"))
            edge.start()
            device.until("PUT b 4")
            change(hub, ("end", b""))
            printed = changes_of(device)
    assert printed == ["PUT a 1 1", "PUT b 2 2", "PUT a 3 3", "PUT b 4 4", "PUT end  5"]


@pytest.mark.parametrize("sign", ["message", "heartbeat"])
def test_what_went_to_a_lost_connection_is_asked_for_again(sign: str):
    with ScriptedServer() as server, board("bucket.py", server.url, BUCKET, "watch", '{"heartbeat": 1}') as device:
        visit = server.visit()
        visit.greet()
        assert "opt_start_seq" not in answered(visit, b"CONSUMER.CREATE", b'{"name":"c","num_pending":2}')["config"]
        number = pulled(visit)
        visit.send(value(b"a", number, revision=1, count=1, pending=1))
        if sign == "message":
            visit.send(value(b"end", number, revision=3, count=3, pending=0))
        else:
            head = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\n\r\n"
            visit.send(b"HMSG _INBOX.x %s %d %d\r\n%s\r\n" % (number, len(head), len(head), head))
        answered(visit, b"STREAM.INFO", b'{"state":{"last_seq":3}}')
        again = answered(visit, b"CONSUMER.CREATE", b'{"name":"d","num_pending":2}')
        assert (again["config"]["deliver_policy"], again["config"]["opt_start_seq"]) == ("by_start_sequence", 2)
        number = pulled(visit)
        visit.send(value(b"a", number, revision=2, count=1, pending=1))
        visit.send(value(b"end", number, revision=3, count=2, pending=0))
        visit.until(b"nothing, so to the end")
        assert changes_of(device) == ["PUT a 1 1", "PUT a 2 2", "PUT end 3 3"]


def answered(visit: Visit, name: bytes, answer: bytes) -> Any:
    """Answer the device's next request of this name; returns what it asked."""
    _, _, reply, size = visit.until(b"PUB $JS.API." + name).split()
    body = visit.read(int(size) + 2)
    visit.send(b"MSG %s 1 %d\r\n%s\r\n" % (reply, len(answer), answer))
    return json.loads(body) if body.strip() else None


def pulled(visit: Visit) -> bytes:
    """The number of the subscription for which the device asks for messages."""
    number = visit.until(b"SUB ").split()[-1]
    visit.until(b"PUB $JS.API.CONSUMER.MSG.NEXT.")
    return number


def value(key: bytes, number: bytes, revision: int, count: int, pending: int) -> bytes:
    reply = b"$JS.ACK.%s.c.1.%d.%d.0.%d" % (STREAM.encode(), revision, count, pending)
    return b"MSG $KV.%s.%s %s %s 1\r\n%d\r\n" % (BUCKET.encode(), key, number, reply, revision)


def consumers(hub: Peer) -> int:
    async def work(js: JetStreamContext) -> int:
        return (await js.stream_info(STREAM)).state.consumer_count

    return int(at_hub(hub, work))
