"""Accounts from a configuration: one publishes telemetry, one takes it under a prefix, one serves both. Clients are
those that others wrote, unchanged; they know nothing of accounts but their user.
"""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    PROBE_SECONDS,
    ignore_error,
    leaf_url,
)
from tests.integration.mqtt_peers import PahoClient
from tests.integration.peers import Peer, gateway, nats_server, uplink

CONFIG = """
[[accounts]]
name = "plant"
[[accounts.exports]]
stream = "telemetry.>"
[[accounts.imports]]
service = "calc.add"
account = "calc"

[[accounts]]
name = "office"
max-connections = 3
[[accounts.imports]]
stream = "telemetry.>"
account = "plant"
prefix = "plant"
[[accounts.imports]]
service = "calc.add"
account = "calc"
to = "add"

[[accounts]]
name = "calc"
[[accounts.exports]]
service = "calc.add"
latency = { subject = "latency.calc" }

[[users]]
name = "sensor"
password = "pw"
account = "plant"
[[users]]
name = "clerk"
password = "pw"
account = "office"
[[users]]
name = "machine"
password = "pw"
account = "calc"
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), protocols=("nats", "mqtt"), config=CONFIG, monitoring=True) as peer:
        yield peer


@asynccontextmanager
async def client(peer: Peer, user: str = "", **options: Any) -> AsyncIterator[Client]:
    login = {"user": user, "password": "pw"} if user else {}
    connection = await nats.connect(
        peer.url(), error_cb=ignore_error, allow_reconnect=False, max_reconnect_attempts=1, **login, **options
    )
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def paho_user(peer: Peer, user: str) -> Iterator[PahoClient]:
    client = PahoClient()
    client.paho.username_pw_set(user, "pw")
    try:
        assert client.connect(peer) == 0
        yield client
    finally:
        client.close()


def run(scenario: Any) -> None:
    asyncio.run(asyncio.wait_for(scenario, 3 * PATIENCE_SECONDS))


async def add(message: Msg) -> None:
    await message.respond(str(sum(map(int, message.data.split()))).encode())


def test_three_accounts_share_what_they_say(edge: Peer):
    async def scenario() -> None:
        async with client(edge, "sensor") as sensor, client(edge, "clerk") as clerk, client(edge, "machine") as machine:
            stream = await clerk.subscribe("plant.telemetry.>")
            bare = await clerk.subscribe("telemetry.>")
            latency = await machine.subscribe("latency.calc")
            await machine.subscribe("calc.add", cb=add)
            await clerk.flush()
            await machine.flush()
            with paho_user(edge, "clerk") as display:
                display.subscribe("plant/#")
                await sensor.publish("telemetry.shed.temp", b"21.5", headers={"Unit": "C"})
                message = await stream.next_msg(PATIENCE_SECONDS)
                assert (message.subject, message.data) == ("plant.telemetry.shed.temp", b"21.5")
                assert message.headers == {"Unit": "C"}
                assert display.next_pair() == ("plant/telemetry/shed/temp", b"21.5")
            assert (await sensor.request("calc.add", b"1 2", timeout=PATIENCE_SECONDS)).data == b"3"
            assert (await clerk.request("add", b"3 4", timeout=PATIENCE_SECONDS)).data == b"7"
            sample = json.loads((await latency.next_msg(PATIENCE_SECONDS)).data)
            assert (sample["status"], sample["requestor"]["acc"]) == (200, "plant")
            with pytest.raises(errors.NoRespondersError):
                await clerk.request("calc.add", b"3 4", timeout=PATIENCE_SECONDS)
            with pytest.raises(errors.TimeoutError):
                await bare.next_msg(0.05)

    run(scenario())


def test_mqtt_publisher_of_one_account_is_heard_in_the_other(edge: Peer):
    async def scenario() -> None:
        async with client(edge, "clerk") as clerk:
            stream = await clerk.subscribe("plant.telemetry.>")
            await clerk.flush()
            with paho_user(edge, "sensor") as sensor, paho_user(edge, "clerk") as display:
                display.subscribe("plant/telemetry/+", 1)
                sensor.publish("telemetry/x", b"1", qos=1)
                assert (await stream.next_msg(PATIENCE_SECONDS)).data == b"1"
                assert display.next_pair() == ("plant/telemetry/x", b"1")

    run(scenario())


def test_user_is_told_its_account(edge: Peer):
    async def scenario() -> None:
        async with client(edge, "clerk") as clerk:
            answer = await clerk.request("$SYS.REQ.USER.INFO", timeout=PATIENCE_SECONDS)
            told = json.loads(answer.data)["data"]
            assert (told["user"], told["account"], told["account_name"]) == ("clerk", "office", "office")

    run(scenario())


def test_connection_too_many_of_an_account_is_turned_away(edge: Peer):
    async def scenario() -> None:
        async with client(edge, "clerk"), client(edge, "clerk"), client(edge, "clerk"):
            reader, writer = await asyncio.open_connection(*edge.address("nats"))
            writer.write(b'CONNECT {"user":"clerk","pass":"pw","verbose":false}\r\nPING\r\n')
            heard = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert heard.endswith(b"-ERR 'maximum account active connections exceeded'\r\n")
            async with client(edge, "sensor"):
                pass
        async with client(edge, "clerk"):
            pass

    run(scenario())


def test_monitoring_tells_accounts_apart(edge: Peer):
    def look(path: str) -> dict[str, Any]:
        with urllib.request.urlopen(edge.url("monitoring", "http") + path, timeout=PATIENCE_SECONDS) as answer:
            told: dict[str, Any] = json.loads(answer.read())
            return told

    async def scenario() -> None:
        async with client(edge, "clerk"), client(edge, "sensor"):
            assert set(look("/accountz")["accounts"]) == {"$G", "$SYS", "plant", "office", "calc"}
            assert {one["acc"] for one in look("/accstatz")["account_statz"]} == {"plant", "office"}
            assert [one["account"] for one in look("/connz?acc=office&auth=1")["connections"]] == ["office"]

    run(scenario())


SHARED_WITH_A_HUB = """
[[accounts]]
name = "plant"
[[accounts.exports]]
stream = "telemetry.>"
[[accounts]]
name = "office"
[[accounts.imports]]
stream = "telemetry.>"
account = "plant"
prefix = "plant"
[[users]]
name = "sensor"
password = "pw"
account = "plant"
[[users]]
name = "clerk"
password = "pw"
account = "office"
"""


def test_hub_of_the_exporting_account_hears_what_importers_want(tmp_path: Path):
    async def scenario(hub: Peer, edge: Peer) -> None:
        async with client(hub) as far, client(edge, "clerk") as clerk, client(edge, "sensor") as sensor:
            stream = await clerk.subscribe("plant.telemetry.x")
            await clerk.subscribe("elsewhere", cb=add)
            await clerk.flush()
            message = None
            while message is None:  # The interest is on its way.
                await far.publish("telemetry.x", b"from the hub")
                await far.flush()
                try:
                    message = await stream.next_msg(PROBE_SECONDS)
                except errors.TimeoutError:
                    continue
            assert (message.subject, message.data) == ("plant.telemetry.x", b"from the hub")
            with pytest.raises(errors.NoRespondersError):
                await far.request("elsewhere", timeout=PATIENCE_SECONDS)
            seen = await far.subscribe("telemetry.y")
            await far.flush()
            message = None
            while message is None:
                await sensor.publish("telemetry.y", b"to the hub")
                try:
                    message = await seen.next_msg(PROBE_SECONDS)
                except errors.TimeoutError:
                    continue
            assert message.data == b"to the hub"

    with nats_server(tmp_path / "hub", "server_name: hub", leafnodes=LEAF_AUTHORIZATION) as hub:
        link = uplink(leaf_url(hub), **IMPATIENT) + 'account = "plant"\n' + SHARED_WITH_A_HUB
        with gateway(tmp_path / "edge", config=link) as edge:
            edge.wait_for_log(LINK_UP)
            run(scenario(hub, edge))


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        (
            '[[accounts]]\nname = "a"\n[[accounts.imports]]\nstream = "x"\naccount = "b"\n',
            "accounts[0].imports[0].account: there is no account 'b'",
        ),
        (
            "".join(
                f'[[accounts]]\nname = "{name}"\n[[accounts.exports]]\nstream = ">"\n'
                f'[[accounts.imports]]\nstream = "x"\naccount = "{other}"\n'
                for name, other in (("a", "b"), ("b", "a"))
            ),
            "the imports form a cycle: ",
        ),
    ],
)
def test_configuration_that_cannot_hold_is_refused_in_one_sentence(tmp_path: Path, tables: str, complaint: str):
    file = tmp_path / "leafgate.toml"
    file.write_text(tables)
    command = [sys.executable, "-m", "gateway", "check", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert done.returncode == 2
    assert complaint in done.stdout + done.stderr
