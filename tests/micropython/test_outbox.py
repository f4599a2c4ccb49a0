"""The outbox of a real MicroPython: what it does by itself, and that nothing is lost or doubled on its way through the
real gateway or a JetStream, whoever of them ends suddenly.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.integration.mqtt5_peers import NEVER_EXPIRES, paho5_client
from tests.integration.peers import Peer, nats_server, nats_server_ready, running
from tests.integration.test_storage_faults import LARGE, Gateway
from tests.patience import LONG_SECONDS
from tests.micropython.unix_port import Board, board, compiled

# With pointers of 64 bits; a board with 32 bits needs little more than half of it.
SMALL_HEAP = "48k"
IN_MEMORY = ("full", "oldest_give_way", "subjects", "closed", "around")
IN_FILE = (*IN_MEMORY, "reopened", "torn", "moved")


@pytest.mark.parametrize("story", IN_MEMORY)
def test_queue_in_memory(story: str):
    with board("outbox_stories.py", story, "") as device:
        assert device.finished() == "right\n"


@pytest.mark.parametrize("story", IN_FILE)
def test_queue_in_a_file(tmp_path: Path, story: str):
    with board("outbox_stories.py", story, tmp_path / "queue") as device:
        assert device.finished() == "right\n"


def test_queue_in_flash_outlives_a_power_cut_at_every_block():
    with board("outbox_power.py", heap="8m") as device:
        assert device.finished(LONG_SECONDS).endswith("right\n")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """It has a session that is away and wants what comes on kept.a."""
    gateway = Gateway(tmp_path)
    gateway.peer.start()
    with running(gateway.peer):
        gateway.peer.wait_ports()
        with reader(gateway) as client:
            assert client.ask("kept/#", qos=1) == 1
        yield gateway


def reader(gateway: Gateway) -> Any:
    return paho5_client(gateway.peer, "reader", clean=False, SessionExpiryInterval=NEVER_EXPIRES)


def kept(gateway: Gateway, count: int) -> list[int]:
    """The numbers that the session gets, behind which nothing more comes."""
    with reader(gateway) as client:
        client.paho.publish("kept/end", b"end", 1)
        payloads = [client.next_message().payload for _ in range(count + 1)]
    assert payloads.pop() == b"end"
    return [int(payload) for payload in payloads]


def device(url: str, first: int, count: int, **options: Any) -> contextlib.AbstractContextManager[Board]:
    library = {key: options.pop(key) for key in ("heap", "library") if key in options}
    return board("outbox.py", json.dumps(url), json.dumps(options), first, count, **library)


def restart(peer: Peer) -> None:
    peer.kill()
    peer.start()
    peer.wait_ports()


@pytest.mark.parametrize("where", ["memory", "file"])
def test_each_message_arrives_once_while_the_gateway_ends_suddenly_again_and_again(
    gateway: Gateway, tmp_path: Path, where: str
):
    options = {"path": str(tmp_path / "queue"), "size": 8192} if where == "file" else {}
    with device(gateway.peer.url(), 0, 300, **options) as shed:
        for queued in (60, 110, 160, 210, 260):
            shed.until(f"queued {queued}")
            restart(gateway.peer)
        assert "dropped 0" in shed.until("acknowledged all")
        shed.finished()
    assert kept(gateway, 300) == list(range(300))


def test_messages_in_a_file_outlive_the_device(gateway: Gateway, tmp_path: Path):
    options = {"path": str(tmp_path / "queue"), "size": 32768}
    gateway.peer.kill()
    with device(gateway.peer.url(), 0, 100, **options) as shed:
        shed.until("queued all")
    with device(gateway.peer.url(), 100, 50, **options) as shed:
        shed.until("found 100")
        shed.until("queued all")
    gateway.peer.start()
    gateway.peer.wait_ports()
    with device(gateway.peer.url(), 150, 50, **options) as shed:
        shed.until("found 150")
        shed.until("connected")
        shed.until("queued 170")
    with device(gateway.peer.url(), 170, 0, **options) as shed:
        shed.until("acknowledged all")
        shed.finished()
    with device(gateway.peer.url(), 170, 0, **options) as shed:
        shed.until("found 0")
        shed.finished()
    with reader(gateway) as client:
        client.paho.publish("kept/end", b"end", 1)
        numbers = []
        while (payload := client.next_message().payload) != b"end":
            numbers.append(int(payload))
    # It was killed after it had said that it had queued 170.
    assert numbers == list(range(len(numbers)))
    assert 170 <= len(numbers) <= 200


def test_small_heap_holds_an_outbox(gateway: Gateway, tmp_path: Path):
    library = compiled(tmp_path / "library")
    for options in ({"size": 2048}, {"size": 16384, "path": str(tmp_path / "queue")}):
        with device(gateway.peer.url(), 0, 100, heap=SMALL_HEAP, library=library, **options) as shed:
            shed.until("acknowledged all")
            shed.finished()
    assert kept(gateway, 200) == [*range(100), *range(100)]


def test_disk_that_refuses_is_told_and_waited_for(gateway: Gateway):
    with paho5_client(gateway.peer, "holder") as holder:
        assert holder.tell("large", bytes(LARGE), 1, retain=True) in (0, 16)
        gateway.refuse()
        holder.paho.publish("kept/a", b"1000", 1)
        gateway.wait_health(503)
        with device(gateway.peer.url(), 0, 10) as shed:
            shed.until("error 503 ")
            gateway.accept()
            shed.until("acknowledged all")
            shed.finished()
    assert kept(gateway, 11)[0] == 1000


def test_message_that_nobody_ever_takes_is_given_up(gateway: Gateway):
    with device(gateway.peer.url(), 0, 3, prefix="$LEAFGATE.publish.$SYS.") as shed:
        shed.until("error 403 the subject is reserved")
        shed.until("acknowledged all")
        shed.finished()


def test_jetstream_has_each_message_once(tmp_path: Path):
    config = f'jetstream {{ store_dir: "{tmp_path}/store" }}'
    with nats_server(tmp_path, config) as server:
        asyncio.run(make_stream(server.url()))
        with device(server.url(), 0, 200, prefix="") as shed:
            shed.until("queued 100")
            server.kill()
            server.start()
            nats_server_ready(server)
            shed.until("acknowledged all")
            shed.finished()
        assert sorted(map(int, asyncio.run(stored(server.url(), 200)))) == list(range(200))


async def make_stream(url: str) -> None:
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="kept", subjects=["kept.>"])
    await client.close()


async def stored(url: str, count: int) -> list[bytes]:
    """Everything in the stream, which must be so many."""
    client = await nats.connect(url)
    stream = client.jetstream()
    assert (await stream.stream_info("kept")).state.messages == count
    subscription = await stream.subscribe("kept.>", ordered_consumer=True)
    payloads = [(await subscription.next_msg(5)).data for _ in range(count)]
    await client.close()
    return payloads
