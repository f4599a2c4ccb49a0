"""Rooms of the console in Chromium: settings, a device with an update, the keys of a bucket, very many clients."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.console_browser import console_browser
from tests.integration.node_peers import NodeClient
from tests.integration.peers import Peer, gateway, wait_until
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

CROWD = 10_000
AT_A_TIME = 500
# Rows in the page, however many there are in the list.
MOST_ROWS = 60
CONNECT = b'CONNECT {"verbose":false,"headers":true,"no_responders":true%b}\r\n'


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder = tmp_path_factory.mktemp("edge")
    config = '[streams]\n[mqtt]\nmax-inflight = 70\n[[users]]\nname = "tech"\npassword = "wrench"\n'
    config += '[console]\nusers = ["tech"]\n'
    protocols = ("nats", "websocket")
    with gateway(folder, protocols=protocols, config=config, data_directory=folder / "data") as peer:
        yield peer


@pytest.fixture(scope="module")
def browser(edge: Peer) -> Iterator[NodeClient]:
    with console_browser(edge) as page:
        page.call("open", width=390, height=844)
        page.call("login", user="tech", password="wrench")
        yield page


@pytest.fixture
def page(browser: NodeClient) -> Iterator[NodeClient]:
    yield browser
    assert browser.call("violations") == []
    assert browser.call("overflow") == 0
    assert browser.call("small") == []
    assert browser.call("complaints") == []


@pytest.fixture
def board(edge: Peer) -> Iterator[RawPeer]:
    """A client whose presence is told."""
    peer = RawPeer(edge.address("nats"))
    peer.send(CONNECT % b',"user":"tech","pass":"wrench","presence":"devices.pump.presence"')
    say(peer, b"")
    yield peer
    peer.socket.close()


def say(peer: RawPeer, commands: bytes) -> None:
    peer.send(commands + b"PING\r\n")
    peer.read_through(b"PONG\r\n")


def publish(peer: RawPeer, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
    say(peer, b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload))


def ask(peer: RawPeer, subject: bytes, question: object, answered: bytes) -> None:
    body = json.dumps(question).encode()
    peer.send(b"SUB answers 1\r\nPUB %b answers %d\r\n%b\r\n" % (subject, len(body), body))
    peer.read_through(answered)
    say(peer, b"UNSUB 1\r\n")


def test_settings_are_what_is_in_force_and_what_a_reload_would_change(page: NodeClient, edge: Peer) -> None:
    page.call("click", role="link", name="Settings")
    page.call("see", text="Nothing: the file is what is in force.")
    shown = page.call("text")
    assert "mqtt.max-inflight" in shown
    assert "70" in shown
    assert "wrench" not in shown
    file = edge.directory / "leafgate.toml"
    before = file.read_text()
    try:
        file.write_text(before.replace("max-inflight = 70", "max-inflight = 0"))
        page.call("click", role="button", name="Look again")
        page.call("see", text="It would be refused:")
    finally:
        file.write_text(before)
    wait_until(lambda: looks_well(page), "the file as it was")


def looks_well(page: NodeClient) -> bool:
    page.call("click", role="button", name="Look again")
    return "Nothing: the file is what is in force." in page.call("text")


def test_device_is_shown_with_its_log_and_an_update_as_it_goes_on(page: NodeClient, board: RawPeer) -> None:
    page.call("go", place="#/devices")
    page.call("see", text="devices.pump.presence")
    page.call("click", role="link", name="devices.pump.presence")
    page.call("see", text="online")
    page.call("see", text="Waiting …")

    def logged() -> bool:
        publish(board, b"devices.pump.log", b"valve <b>open</b>\n")
        return "valve <b>open</b>" in page.call("text")

    wait_until(logged, "a line of the log")
    files = {"agent.py": [6000, "0a"], "main.py": [2000, "0b"]}
    manifest = json.dumps({"device": "pump", "release": 8, "files": files}).encode()
    publish(board, b"devices.pump.update", bytes(64) + manifest)
    page.call("see", text="Release 8 is offered.")
    publish(board, b"devices.pump.update.chunk", b"0a 0 1024", b"nobody")
    page.call("see", text="The device fetches release 8.")
    page.call("see", text="1.0 KiB of 7.8 KiB")
    assert page.call("violations") == []
    publish(board, b"devices.pump.update.status", b'{"state":"failed","detail":"not enough room"}')
    page.call("see", text="Failed: not enough room")
    publish(board, b"devices.pump.update.status", b'{"state":"installed","fetched":[]}')
    page.call("see", text="Installed: the device starts it, on trial.")
    board.socket.close()
    page.call("see", text="offline")


def test_keys_of_a_bucket_are_found_and_shown(page: NodeClient, board: RawPeer) -> None:
    bucket = {"name": "KV_settings", "subjects": ["$KV.settings.>"], "max_msgs_per_subject": 1, "allow_direct": True}
    ask(board, b"$JS.API.STREAM.CREATE.KV_settings", bucket, b'"did_create":true')
    for key, value in ((b"pump.speed", b"40"), (b"pump.name", b"first"), (b"lamp", b"off")):
        ask(board, b"$KV.settings." + key, value.decode(), b'"seq":')
    page.call("go", place="#/streams/KV_settings")
    page.call("see", text="3 of 3 keys")
    page.call("fill", label="Find a key", text="pump")
    page.call("see", text="2 of 3 keys")
    page.call("click", role="button", name="pump.speed")
    page.call("see", text='"40"')
    assert "key=pump.speed" in page.call("place")


def crowd_of(edge: Peer, crowd: ExitStack) -> None:
    """Connections that have logged in, as many at a time as may wait for that."""
    login = CONNECT % b',"user":"tech","pass":"wrench","name":"one of the crowd"'
    for _ in range(CROWD // AT_A_TIME):
        peers = [socket.create_connection(edge.address("nats"), PATIENCE_SECONDS) for _ in range(AT_A_TIME)]
        for peer in map(crowd.enter_context, peers):
            peer.sendall(login + b"PING\r\n")
        for peer in peers:
            while not (told := peer.recv(4096)).endswith(b"PONG\r\n"):
                assert told, "the gateway has sent one of them away"


def test_ten_thousand_clients_are_a_list_of_a_few_rows(page: NodeClient, edge: Peer) -> None:
    with ExitStack() as crowd:
        crowd_of(edge, crowd)
        page.call("go", place="#/clients?text=crowd")
        page.call("see", text="10,000 connected with")
        page.call("see", text="one of the crowd")
        page.call("scroll", label="List of clients", to=1)
        page.call("see", text="one of the crowd")
        assert 0 < page.call("count", selector=".rows li") < MOST_ROWS
        page.call("fill", label="Search", text="nobody of that name")
        page.call("see", text="0 connected")
    page.call("go", place="#/now")
