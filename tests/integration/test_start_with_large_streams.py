"""A gateway that opens large streams while it serves everybody else. Here any stream is a large one, and none is opened
before the test says so.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from nats.aio.client import Client

from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.mqtt_conformance.raw_client import RawClient
from tests.integration.peers import Peer, read_ports_file, running

CONFIG = """name = "edge"
ports-file = "ports.json"
data-directory = "data"
[streams]
[monitoring]
address = "127.0.0.1:0"
[[listeners]]
protocol = "nats"
address = "127.0.0.1:0"
[[listeners]]
protocol = "mqtt"
address = "127.0.0.1:0"
"""
# Loads streams once there is a file of that name.
PROGRAM = """import pathlib, time
from gateway.command.command_line import program
from gateway.storage.streams import loader, store

load = loader.load_stream

def load_when_told(connection, *arguments):
    while not pathlib.Path("now").exists():
        connection.execute("SELECT 1").fetchall()
        time.sleep(0.01)
    return load(connection, *arguments)

store.MOST_AT_ONCE = 0
loader.load_stream = load_when_told
program()
"""
UNAVAILABLE = 10008


class Place:
    def __init__(self, directory: Path) -> None:
        self.now, self._ports = directory / "now", directory / "ports.json"
        (directory / "leafgate.toml").write_text(CONFIG)
        program = directory / "program.py"
        program.write_text(PROGRAM)
        self.peer = Peer("gateway", directory, [sys.executable, str(program), "run", "-c", "leafgate.toml"], {})

    def start(self) -> Peer:
        self._ports.unlink(missing_ok=True)
        self.now.unlink(missing_ok=True)
        self.peer.start()
        self.peer.wait_ready(self._ports.exists)
        self.peer.ports = read_ports_file(self._ports) or {}
        return self.peer

    def open(self) -> None:
        self.now.touch()

    def health(self, query: str = "") -> tuple[int, dict[str, Any]]:
        try:
            with urlopen(f"{self.peer.url('monitoring', 'http')}/healthz{query}") as response:
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    with running(one.peer):
        yield one


async def asked(connection: Client, subject: str, payload: bytes = b"") -> dict[str, Any]:
    answer = await connection.request(subject, payload, timeout=PATIENCE_SECONDS)
    return dict(json.loads(answer.data))


async def payloads(connection: Client, stream: str) -> list[bytes]:
    js = connection.jetstream(timeout=PATIENCE_SECONDS)
    state = (await js.stream_info(stream)).state
    return [(await js.get_msg(stream, one)).data or b"" for one in range(1, state.last_seq + 1)]


def fill(place: Place) -> list[str]:
    """A stream with messages of which a consumer has some on their way: where those are acknowledged."""
    places: list[str] = []

    async def fill() -> None:
        async with client(place.peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="S", subjects=["s.>"], allow_direct=True)
            for number in range(10):
                await js.publish("s.old", b"old %d" % number)
            pull = await js.pull_subscribe("s.>", durable="C")
            places.extend([message.reply for message in await pull.fetch(4, timeout=PATIENCE_SECONDS)])
            await asked(connection, "$JS.API.CONSUMER.INFO.S.C")  # Behind the commit that knows of them.

    run(fill)
    return places


def test_others_are_served_while_a_stream_is_opened(place: Place) -> None:
    place.start()
    on_their_way = fill(place)
    place.peer.kill()
    place.start()

    async def test() -> None:
        async with client(place.peer) as connection:
            heard = await connection.subscribe("s.>")
            assert place.health() == (200, {"status": "degraded", "streams": "being opened: $G > S"})
            status, told = place.health("?account=$G&stream=S")
            assert (status, told["error"]) == (503, "JetStream stream '$G > S' is being opened")
            listed = await asked(connection, "$JS.API.STREAM.LIST")
            assert (listed["streams"], listed["missing"], listed["total"]) == ([], ["S"], 1)
            assert (await asked(connection, "$JS.API.STREAM.NAMES"))["streams"] == ["S"]
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="T", subjects=["t.>"])
            assert (await js.publish("t.new", b"t")).seq == 1
            overlapping = await asked(connection, "$JS.API.STREAM.CREATE.U", b'{"name":"U","subjects":["s.old"]}')
            assert overlapping["error"]["err_code"] == 10065
            # Whoever wants an answer hears in time that there is none yet.
            publication = asked(connection, "s.late", b"not stored")
            info = asked(connection, "$JS.API.STREAM.INFO.S")
            direct = connection.request("$JS.API.DIRECT.GET.S.s.old", b"", timeout=PATIENCE_SECONDS)
            (published, described), got = await asyncio.gather(
                asyncio.gather(publication, info), asyncio.gather(direct, return_exceptions=True)
            )
            assert published["error"]["err_code"] == described["error"]["err_code"] == UNAVAILABLE
            assert type(got[0]).__name__ == "NoRespondersError", got
            # What waits in time, and what nobody is answered for, is there once.
            await connection.publish("s.core", b"core")
            mqtt = RawClient(place.peer.address("mqtt"))
            mqtt.connect(b"publisher")
            waiting = asyncio.create_task(asyncio.to_thread(mqtt.publish, b"s/mqtt", b"mqtt", 1))
            acks = [connection.request(reply, b"+ACK", timeout=PATIENCE_SECONDS) for reply in on_their_way]
            acknowledged = asyncio.gather(*acks)
            state = asyncio.create_task(asked(connection, "$JS.API.STREAM.INFO.S"))
            stored = asyncio.create_task(asked(connection, "s.new", b"new"))
            seen = [(await heard.next_msg(PATIENCE_SECONDS)).data for _ in range(4)]
            assert sorted(seen) == [b"core", b"mqtt", b"new", b"not stored"]
            assert [one.done() for one in (waiting, acknowledged, state, stored)] == [False] * 4
            place.open()
            assert (await stored)["seq"] in (11, 12, 13)
            assert await waiting == 0
            assert [answer.data for answer in await acknowledged] == [b""] * 4
            assert (await state)["state"]["messages"] >= 10
            found = await payloads(connection, "S")
            assert found[:10] == [b"old %d" % number for number in range(10)]
            assert sorted(found[10:]) == [b"core", b"mqtt", b"new"]
            told = await asked(connection, "$JS.API.CONSUMER.INFO.S.C")
            assert (told["ack_floor"]["stream_seq"], told["num_ack_pending"], told["num_pending"]) == (4, 0, 9)
            assert place.health() == (200, {"status": "ok"})
            mqtt.close()

    run(test)


def test_a_gateway_that_is_ended_before_a_stream_is_open_loses_nothing(place: Place) -> None:
    place.start()
    fill(place)

    async def say_something() -> None:
        async with client(place.peer) as connection:
            await connection.publish("s.core", b"core")
            await connection.flush()

    for end in (place.peer.kill, place.peer.stop, place.peer.stop):
        end()
        place.start()
        run(say_something)
    place.open()

    async def test() -> None:
        async with client(place.peer) as connection:
            found = await payloads(connection, "S")
            assert found[:10] == [b"old %d" % number for number in range(10)]
            assert found[10:] == [b"core"], "what was held by those that ended was not acknowledged"

    run(test)
