"""What becomes of the client when servers go, come back, fall silent, do not read or talk nonsense."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.integration.peers import Peer, free_port, gateway, nats_server
from tests.micropython.scripted_server import INFO, ScriptedServer
from tests.micropython.unix_port import PATIENCE_SECONDS, Board, board


@pytest.fixture(params=["gateway", "nats-server"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    """A server that comes back on its port."""
    if request.param == "nats-server":
        with nats_server(tmp_path) as peer:
            yield peer
    else:
        port = free_port()
        listener = f'[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:{port}"'
        with gateway(tmp_path, protocols=(), config=listener) as peer:
            yield peer


def outage_device(*servers: str, **options: Any) -> Any:
    return board("outage.py", json.dumps(servers), json.dumps(options))


def publish(url: str, *messages: tuple[str, bytes]) -> None:
    async def run() -> None:
        client = await nats.connect(url)
        for subject, data in messages:
            await client.publish(subject, data)
        await client.drain()

    asyncio.run(asyncio.wait_for(run(), PATIENCE_SECONDS))


def stop(device: Board, url: str) -> str:
    publish(url, ("stop", b""))
    return device.finished()


def test_subscriptions_come_back_with_the_server(server: Peer):
    with outage_device(server.url()) as device:
        device.until("connected")
        publish(server.url(), ("in", b"1"), ("limited", b"first"))
        device.until("limited first")
        server.kill()
        device.until("lost")
        device.until("asked in vain")
        server.start()
        server.wait_ports()
        device.until("connected")
        device.until("published")
        publish(server.url(), *[("limited", b"%d" % number) for number in range(5)], ("in", b"2"))
        device.until("in 2")
        printed = stop(device, server.url())
    assert [line for line in printed.splitlines() if line.startswith("limited")] == [
        "limited first",
        "limited 0",
        "limited 1",
    ]


def test_message_of_an_outage_is_sent_after_it(tmp_path: Path):
    with nats_server(tmp_path) as server, outage_device(server.url()) as device:
        device.until("connected")
        server.kill()
        device.until("lost")
        asyncio.run(received_after_restart(server))
        stop(device, server.url())


async def received_after_restart(server: Peer) -> None:
    server.start()
    server.wait_ports()
    client = await nats.connect(server.url())
    subscription = await client.subscribe("out")
    assert (await subscription.next_msg(PATIENCE_SECONDS)).data == b"during"
    await client.close()


def test_next_server_of_the_list_is_tried(tmp_path: Path):
    nobody = f"nats://127.0.0.1:{free_port()}"
    with (
        nats_server(tmp_path / "1") as one,
        nats_server(tmp_path / "2") as two,
        outage_device(nobody, one.url(), two.url()) as device,
    ):
        device.until("error")
        assert one.url() in device.until("connected")
        one.kill()
        device.until("lost")
        assert two.url() in device.until("connected")
        stop(device, two.url())


def test_servers_that_a_cluster_tells_of_are_tried(tmp_path: Path):
    routes = free_port()
    with nats_server(tmp_path / "1", f'cluster {{ name: "c", listen: "127.0.0.1:{routes}" }}') as one:
        join = f'cluster {{ name: "c", listen: "127.0.0.1:{free_port()}", routes: ["nats://127.0.0.1:{routes}"] }}'
        with nats_server(tmp_path / "2", join) as two:
            one.wait_for_log("Route connection created")
            with outage_device(one.url()) as device:
                device.until("connected")
                one.kill()
                assert two.url() in device.until("connected")
                stop(device, two.url())


NONSENSE = {
    "web server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "text": b"220 mail.example ESMTP\r\n",
    "bytes": bytes(range(256)) * 40,
    "no fields": b"INFO {}\r\n",
    "endless line": b"INFO " + b"x" * 20_000,
    "no line": b"\r\n",
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_what_is_no_server_is_left(nonsense: str):
    with ScriptedServer() as server, outage_device(server.url) as device:
        first = server.visit()
        first.send(NONSENSE[nonsense])
        device.until("error")
        first.close()
        server.visit().greet()
        device.until("connected")


BROKEN = {
    "words": b"MSG in\r\n",
    "size": b"MSG in 1 x\r\n",
    "number": b"MSG in one 1\r\nx\r\n",
    "text": b"MSG \xff\xfe 1 1\r\nx\r\n",
    "header size": b"HMSG in 1 x 5\r\nhello\r\n",
    "empty": b"\r\n",
    "endless line": b"MSG " + b"x" * 20_000,
}


@pytest.mark.parametrize("broken", BROKEN)
def test_server_that_breaks_the_protocol_is_left(broken: str):
    with ScriptedServer() as server, outage_device(server.url) as device:
        first = server.visit()
        first.greet()
        device.until("connected")
        first.send(BROKEN[broken])
        device.until("lost")
        first.close()
        second = server.visit()
        second.greet()
        second.until(b"SUB stop")
        second.send(b"MSG in 1 4\r\ngood\r\nMSG stop 3 0\r\n\r\n")
        second.until(b"nothing, so to the end")
        assert "in good" in device.finished()


def test_sizes_that_cannot_be_do_not_stop_the_rest():
    with ScriptedServer() as server, outage_device(server.url) as device:
        visit = server.visit()
        visit.greet()
        visit.until(b"SUB stop")
        visit.send(b"MSG in 1 -5\r\n" + b"MSG in 77 1\r\nx\r\n" + b"MSG in 1 1\r\ny\r\n")
        device.until("in y")
        assert visit.until(b"UNSUB 77") == b"UNSUB 77\r\n"
        visit.send(b"+OK\r\nPING\r\n")
        assert visit.until(b"PONG")
        visit.send(b"MSG stop 3 0\r\n\r\n")
        visit.until(b"nothing, so to the end")
        device.finished()


@pytest.mark.parametrize("answers", [b"", INFO])
def test_server_that_does_not_let_us_in_is_given_up(answers: bytes):
    with ScriptedServer() as server, outage_device(server.url, ping=1) as device:
        silent = server.visit()
        silent.send(answers)
        assert "given up" in device.until("error")
        server.visit().greet()
        device.until("connected")


def test_server_that_falls_silent_is_given_up():
    with ScriptedServer() as server, outage_device(server.url, ping=1) as device:
        silent = server.visit()
        silent.greet()
        device.until("connected")
        assert "given up" in device.until("lost")
        server.visit().greet()
        device.until("connected")


def test_address_where_nobody_answers_is_given_up():
    """A full queue of connections is as silent as a cable that was pulled."""
    with ScriptedServer() as server, socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with (
            socket.create_connection(address),
            outage_device(f"nats://127.0.0.1:{address[1]}", server.url, ping=1) as device,
        ):
            device.until("given up")
            server.visit().greet()
            assert server.url in device.until("connected")


def test_error_of_the_server_is_told():
    with ScriptedServer() as server, outage_device(server.url) as device:
        first = server.visit()
        first.send(INFO)
        first.until(b"CONNECT")
        first.send(b"-ERR 'Authorization Violation'\r\n")
        assert "Authorization Violation" in device.until("error")
        second = server.visit()
        second.greet()
        device.until("connected")
        second.send(b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n")
        assert "Permissions Violation" in device.until("error")
        second.send(b"MSG in 1 2\r\non\r\n")
        device.until("in on")


def test_who_makes_ready_is_told_whether_a_server_was_reached():
    with ScriptedServer() as server, outage_device(server.url, ready=True) as device:
        server.visit().close()
        second = server.visit()
        second.greet()
        device.until("connected")
        second.close()
        device.until("lost")
        third = server.visit()
        third.greet()
        device.until("connected")
        third.send(b"MSG stop 3 0\r\n\r\n")
        third.until(b"nothing, so to the end")
        printed = device.finished().splitlines()
    story = [line.split()[0] for line in printed if line.startswith(("through True", "connected", "lost"))]
    assert story == ["through", "connected", "lost", "through", "connected"]
    assert [line for line in printed if line.startswith("through")] == ["through True", "through False"] * 2


@pytest.mark.parametrize("state", ["connected", "lost", "error", "closed"])
def test_status_callback_that_raises_changes_nothing(state: str):
    with ScriptedServer() as server, outage_device(server.url, raises=state) as device:
        server.visit().close()
        device.until("error")
        second = server.visit()
        second.greet()
        device.until("connected")
        second.send(b"MSG in 1 2\r\non\r\n")
        device.until("in on")
        second.close()
        device.until("lost")
        third = server.visit()
        third.greet()
        device.until("connected")
        third.send(b"MSG stop 3 0\r\n\r\n")
        third.until(b"nothing, so to the end")
        printed = device.finished()
    states = [line.split()[0] for line in printed.splitlines()]
    assert states.count("connected") == 2
    assert states.count("closed") == 1
    assert "ValueError: no good" in printed


@pytest.mark.parametrize("story", ["told", "cancelled"])
def test_send_to_a_server_that_does_not_read_ends(story: str):
    with ScriptedServer() as server, board("stuck.py", server.url, story, heap="1m") as device:
        server.visit().greet()
        device.until("connected")
        device.until(story)
        second = server.visit()
        second.greet()
        assert second.until(b"PUB out  3") == b"PUB out  3\r\n"
        second.until(b"nothing, so to the end")
        printed = device.finished()
    assert "lost given up" in printed


def test_slow_reader_gets_every_byte():
    with ScriptedServer() as server, board("stuck.py", server.url, "told", heap="1m") as device:
        visit = server.visit()
        visit.greet()
        for _ in range(300):
            assert visit.until(b"PUB") == b"PUB out  100000\r\n"
            assert visit.read(100_002) == bytes(100_000) + b"\r\n"
        visit.until(b"nothing, so to the end")
        assert "told" not in device.finished()


def test_login_is_what_options_and_url_say():
    with (
        ScriptedServer() as server,
        outage_device(server.url, name="shed", user="a", password="b", presence="p") as device,
    ):
        told = json.loads(server.visit().greet()[8:])
        assert (told["name"], told["user"], told["pass"], told["presence"]) == ("shed", "a", "b", "p")
        assert (told["verbose"], told["headers"], told["no_responders"], told["echo"]) == (False, True, True, True)
        device.until("connected")
    with ScriptedServer() as server, outage_device(server.url.replace("//", "//c:d@"), user="a") as device:
        told = json.loads(server.visit().greet()[8:])
        assert (told["user"], told["pass"]) == ("c", "d")
        device.until("connected")
