"""The client on a real MicroPython against the gateway and nats-server: what applications call."""

import asyncio
from collections.abc import Iterator

import nats
import pytest

from tests.integration.peers import Peer, gateway, nats_server
from tests.micropython.scripted_server import ScriptedServer
from tests.micropython.unix_port import PATIENCE_SECONDS, board

STORIES = (
    "subjects",
    "callbacks",
    "failing_callback",
    "queue_group",
    "headers",
    "requests",
    "nobody_answers",
    "flushed",
    "drained",
    "unsubscribed",
    "unsubscribed_later",
    "sizes",
    "too_large",
    "slow_consumer",
    "many_senders",
    "without_echo",
)


@pytest.fixture(scope="module", params=["gateway", "nats-server"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("server")
    if request.param == "gateway":
        with gateway(directory, config="[limits]\nmax-payload-bytes = 65536") as peer:
            yield peer
    else:
        with nats_server(directory, "max_payload: 65536") as peer:
            yield peer


@pytest.mark.parametrize("story", STORIES)
def test_client_keeps_its_promises(server: Peer, story: str):
    with board("exchange.py", server.url(), story, heap="512k") as device:
        assert device.finished() == "right\n"


def test_device_and_a_client_elsewhere_talk_both_ways(server: Peer):
    asyncio.run(asyncio.wait_for(talk(server.url()), 2 * PATIENCE_SECONDS))


async def talk(url: str) -> None:
    """What a sensor sends is seen, and what it is asked is answered, headers included."""
    client = await nats.connect(url)
    readings = await client.subscribe("sensors.shed.>")
    await client.flush()
    with board("sensor.py", url) as device:
        reading = await readings.next_msg(PATIENCE_SECONDS)
        assert (reading.subject, reading.data) == ("sensors.shed.temperature", b"21.5")
        assert reading.headers == {"unit": "C"}
        answer = await client.request("sensors.shed.ask", b"how warm?", timeout=PATIENCE_SECONDS, headers={"n": "1"})
        assert (answer.data, answer.headers) == (b"how warm? 21.5", {"n": "1"})
        await client.publish("sensors.shed.ask")
        assert await asyncio.to_thread(device.finished) == "connected\nclosed\n"
    await client.close()


def test_connect_gives_up_after_the_time_that_it_was_given():
    with ScriptedServer() as silent, board("sensor.py", silent.url, "0.1") as device:
        assert device.finished() == "closed\nTimeoutError\n"


def test_network_is_waited_for_before_each_attempt(server: Peer):
    with board("not_ready.py", server.url()) as device:
        assert device.finished() == "asked\nerror no network yet\nasked\nconnected None\n"
