"""The console in Chromium: what a technician sees, at the size of a phone and of a desk, and what he can do there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.console_browser import console_browser
from tests.integration.node_peers import NodeClient
from tests.integration.peers import Peer, free_port, gateway, nats_server, uplink, wait_until
from tests.integration.raw_peer import RawPeer

pytestmark = pytest.mark.one_form

ROOMS = ("now", "subjects?open=sensors", "subjects/sensors.hall?as=json", "clients", "devices", "streams")
SIZES = (("phone", 390, 844, "light"), ("small", 320, 640, "dark"), ("desk", 1280, 800, "dark"))
UPLINK_FAULT = "Uplink cloud down for"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """At a port that it has again after a restart, with an uplink that nobody answers."""
    folder = tmp_path_factory.mktemp("edge")
    config = f"""
[[listeners]]
protocol = "websocket"
address = "127.0.0.1:{free_port()}"
[console]
users = ["tech", "guest"]
[[uplinks]]
name = "cloud"
urls = ["nats-leaf://127.0.0.1:{free_port()}"]
[[store-and-forward]]
uplink = "cloud"
subjects = ["readings.>"]
[[users]]
name = "tech"
password = "wrench"
[[users]]
name = "guest"
password = "visit"
[users.permissions]
subscribe = {{ allow = ["sensors.>", "_INBOX.>"] }}
publish = {{ deny = ["$LEAFGATE.console.close"] }}
[[users]]
name = "app"
password = "app"
"""
    with gateway(folder, config=config, data_directory=folder / "data") as peer:
        yield peer


@pytest.fixture(scope="module")
def browser(edge: Peer) -> Iterator[NodeClient]:
    with console_browser(edge) as page:
        yield page


@pytest.fixture
def page(browser: NodeClient) -> Iterator[NodeClient]:
    """The browser, which must have nothing to complain about."""
    yield browser
    assert browser.call("complaints") == []


class Application:
    """A client in the plant, which publishes."""

    def __init__(self, edge: Peer, name: str = "pump") -> None:
        self._peer = RawPeer(edge.address("nats"))
        login = {"user": "app", "pass": "app", "name": name, "verbose": False, "headers": True, "no_responders": True}
        self.say(b"CONNECT %b\r\n" % json.dumps(login).encode())

    def say(self, commands: bytes) -> None:
        self._peer.send(commands + b"PING\r\n")
        self._peer.read_through(b"PONG\r\n")

    def publish(self, subject: str, payload: bytes) -> None:
        self.say(b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload))

    def hear(self, until: bytes) -> bytes:
        return self._peer.read_through(until)

    def send(self, data: bytes) -> None:
        self._peer.send(data)

    def ends(self) -> bytes:
        return self._peer.read_to_end()

    def close(self) -> None:
        self._peer.socket.close()


@pytest.fixture
def app(edge: Peer) -> Iterator[Application]:
    client = Application(edge)
    yield client
    client.close()


def enter(page: NodeClient, place: str = "", user: str = "tech", password: str = "wrench", **window: Any) -> None:
    """Open the page and come in, to a room."""
    page.call("open", place=f"#/{place}" if place else "", **window)
    page.call("login", user=user, password=password)
    page.call("see", text=UPLINK_FAULT)


def test_login_that_is_refused_is_said_in_a_sentence(page: NodeClient) -> None:
    page.call("open", width=390, height=844)
    # Until the gateway has answered there is neither a heading nor anything to fill in.
    page.call("see", text="Log in")
    assert page.call("violations") == []
    page.call("login", user="tech", password="hammer")
    page.call("see", text="There is no such user, or the password is another one.")
    page.call("login", user="app", password="app")
    page.call("see", text="this user is none of console.users: ask whoever configured the gateway.")
    assert "wrench" not in page.call("place")


@pytest.mark.parametrize(("name", "width", "height", "scheme"), SIZES)
def test_rooms_are_for_everybody(
    page: NodeClient, app: Application, tmp_path: Path, name: str, width: int, height: int, scheme: str
) -> None:
    enter(page, width=width, height=height, scheme=scheme)
    for room in ROOMS:
        page.call("go", place=f"#/{room}")
        if room.startswith("subjects"):
            wait_until(lambda: seen(page, app, "hall", "21.5"), "the value of a subject")
        elif room == "clients":
            page.call("see", text="pump")
        found = {
            "violations": page.call("violations"),
            "overflow": page.call("overflow"),
            "small": page.call("small"),
        }
        page.call("screenshot", path=str(tmp_path / f"{name}-{room.partition('?')[0].replace('/', '-')}.png"))
        assert found == {"violations": [], "overflow": 0, "small": []}, room


def seen(page: NodeClient, app: Application, *texts: str) -> bool:
    """Whether the page shows these texts once a value was published."""
    app.publish("sensors.hall", b"21.5")
    shown = page.call("text")
    return all(text in shown for text in texts)


def test_state_is_a_sentence_with_what_waits(page: NodeClient, app: Application) -> None:
    app.publish("readings.hall", b"21.5")
    enter(page)
    page.call("see", text="messages wait on disk (1 % of the room). Nothing is lost.")
    page.call("see", text="Check the way to nats-leaf://127.0.0.1")


def test_filter_is_in_either_notation_and_the_place_can_be_sent_on(page: NodeClient, app: Application) -> None:
    enter(page, "subjects")
    page.call("fill", label="Filter", text="sensors/+/temp")
    assert "filter=sensors%2F%2B%2Ftemp" in page.call("place")

    def matched() -> bool:
        app.publish("sensors.yard.temp", b"7")
        app.publish("sensors.yard.wind", b"8")
        return "1 of " in page.call("text")

    wait_until(matched, "a match")
    shown = page.call("text")
    assert "sensors.yard.temp" in shown
    assert "sensors.yard.wind" not in shown


def test_message_is_published_and_a_request_is_answered_below(page: NodeClient, app: Application) -> None:
    app.say(b"SUB orders 1\r\nSUB echo 2\r\n")
    enter(page, "subjects")
    page.call("fill", label="Subject", text="orders")
    page.call("fill", label="Payload", text="two")
    page.call("click", role="button", name="Publish")
    assert app.hear(b"two\r\n").endswith(b"MSG orders 1 3\r\ntwo\r\n")
    page.call("fill", label="Subject", text="echo")
    page.call("click", role="button", name="Request")
    app.hear(b"MSG echo 2 ")
    app.publish(app.hear(b" 3\r\n").split()[0].decode(), b"<b>both</b>")
    page.call("see", text="Answered from echo.")
    page.call("see", text="<b>both</b>")
    page.call("fill", label="Subject", text="nobody")
    page.call("click", role="button", name="Request")
    page.call("see", text="Nobody answers on that subject.")
    page.call("fill", label="Subject", text="every.>")
    page.call("click", role="button", name="Publish")
    page.call("see", text="A message goes to one subject")


def test_client_is_found_and_closed_after_a_question(page: NodeClient, edge: Peer) -> None:
    client = Application(edge, "doomed")
    client.say(b"SUB sensors.> 9\r\n")
    enter(page, "clients?text=DOOM")
    page.call("see", text="1 connected")
    page.call("go", place=f"#/clients/{cid_of(edge, 'doomed')}")
    page.call("see", text="sensors.>")
    page.call("click", role="button", name="Close the connection …")
    page.call("click", role="button", name="Close it")
    client.ends()
    page.call("see", text="left: ")
    client.close()


def cid_of(edge: Peer, name: str) -> int:
    """As the console's service tells it."""
    tech = RawPeer(edge.address("nats"))
    login = {"user": "tech", "pass": "wrench", "verbose": False}
    body = json.dumps({"text": name}).encode()
    tech.send(b"CONNECT %b\r\nSUB in 1\r\n" % json.dumps(login).encode())
    tech.send(b"PUB $LEAFGATE.console.clients in %d\r\n%b\r\n" % (len(body), body))
    tech.read_through(b"MSG in 1 ")
    size = int(tech.read_line())
    told = json.loads(tech.read(size))
    tech.socket.close()
    (found,) = told["connections"]
    cid: int = found["cid"]
    return cid


def test_user_sees_what_it_may_hear_and_closes_nobody(page: NodeClient, app: Application, edge: Peer) -> None:
    enter(page, "subjects?open=sensors", user="guest", password="visit")

    def shown() -> bool:
        app.publish("secret.plan", b"x")
        return seen(page, app, "hall")

    wait_until(shown, "what it may hear")
    assert "secret" not in page.call("text")
    page.call("go", place=f"#/clients/{cid_of(edge, 'pump')}")
    page.call("see", text="Subscriptions")
    assert "Close the connection" not in page.call("text")


def test_page_is_used_by_the_keyboard_alone(page: NodeClient) -> None:
    page.call("open", width=1280, height=800)
    page.call("see", text="Who looks")
    page.call("press", keys=["Tab", *"tech", "Tab", *"wrench", "Enter"])
    page.call("see", text=UPLINK_FAULT)
    assert page.call("press", keys=["Tab"]) == "To the content"
    while page.call("press", keys=["Tab"]) != "Clients":
        pass
    page.call("press", keys=["Enter"])
    page.call("see", text="connected.")
    assert page.call("place").endswith("#/clients")


def test_gateway_that_comes_again_is_shown_again(browser: NodeClient, edge: Peer) -> None:
    enter(browser, "now", width=390, height=844)
    assert browser.call("complaints") == []
    edge.stop()
    browser.call("see", text="The gateway does not answer since")
    assert "Messages in" in browser.call("text")
    assert browser.call("violations") == []
    edge.start()
    browser.call("gone", text="The gateway does not answer since")
    browser.call("see", text=UPLINK_FAULT)
    # The browser says itself that it could not connect meanwhile, and nothing else may be wrong.
    complaints = browser.call("complaints")
    assert [one for one in complaints if "WebSocket connection to" not in one] == []


def test_streams_of_the_hub_are_browsed_where_nobody_has_to_log_in(tmp_path: Path) -> None:
    store = f'jetstream {{ store_dir: "{tmp_path / "store"}" }}\nserver_name: hub'
    with (
        nats_server(tmp_path / "hub", store, leafnodes="") as hub,
        gateway(tmp_path / "edge", protocols=("websocket",), config=uplink(hub.url("leafnode"), name="cloud")) as edge,
    ):
        fill_stream(hub)
        with console_browser(edge) as page:
            page.call("open", place="#/streams", width=390, height=844)
            page.call("see", text="All well: 1 client, uplink to cloud")
            page.call("see", text="2 messages")
            page.call("go", place="#/streams/ORDERS?seq=1")
            page.call("see", text="orders.first")
            page.call("click", role="button", name="Next")
            page.call("see", text="orders.second")
            assert page.call("place").endswith("#/streams/ORDERS?seq=2")
            assert page.call("violations") == []
            assert page.call("complaints") == []


def fill_stream(hub: Peer) -> None:
    """Make a stream of two messages."""
    peer = RawPeer(hub.address("nats"))
    peer.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB answers 1\r\n')
    body = json.dumps({"name": "ORDERS", "subjects": ["orders.>"]}).encode()
    peer.send(b"PUB $JS.API.STREAM.CREATE.ORDERS answers %d\r\n%b\r\n" % (len(body), body))
    peer.read_through(b'"did_create":true')
    for subject in (b"orders.first", b"orders.second"):
        peer.send(b"PUB %b answers 1\r\nx\r\n" % subject)
        peer.read_through(b'"seq":')
    peer.socket.close()
