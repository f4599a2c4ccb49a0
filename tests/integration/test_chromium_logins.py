"""A page in Chromium that comes in over wss by its cookies, and pages that do not."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connect
from tests.integration.certificates import Site, listener
from tests.integration.node_peers import HERE, require_chromium, require_node
from tests.integration.peers import Peer, gateway
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

USERS = """
[[users]]
name = "anna"
password = "wonderland"
"""
COOKIES = {"who": "anna", "pw": "wonderland"}
NATS = b'CONNECT {"verbose":false}\r\nPING\r\n'
CONNACK = "\x20"


@pytest.fixture(scope="module")
def chromium() -> str:
    return require_chromium()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


@pytest.fixture(scope="module")
def edge(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    door = listener("websocket", site.tls()) + 'cookies = { user = "who", password = "pw" }\n'
    with gateway(tmp_path_factory.mktemp("edge"), protocols=(), config=door + USERS) as peer:
        yield peer
        assert "wonderland" not in peer.log()


def visit(chromium: str, edge: Peer, origin: str = "", **asked: Any) -> dict[str, Any]:
    """What a page of this origin (the gateway's own, if none is said) hears, with the right cookies or others."""
    own = f"https://127.0.0.1:{edge.ports['websocket']}"
    cookies = asked.pop("cookies", COOKIES)
    values = {
        "executable": chromium,
        "page": f"{origin or own}/page",
        "url": own.replace("https://", "wss://") + "/",
        "protocols": [],
        "trusting": True,
        "say": list(NATS),
        "until": "PONG\r\n",
        "cookies": [
            {"name": name, "value": value, "url": own, "secure": True, "sameSite": "None"}
            for name, value in cookies.items()
        ],
    }
    program = require_node("playwright-core")
    command = [program, str(HERE / "node" / "browser_login.mjs"), json.dumps(values | asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    heard: dict[str, Any] = json.loads(done.stdout)
    return heard


def test_page_comes_in_by_its_cookies(chromium: str, edge: Peer) -> None:
    heard = visit(chromium, edge)
    assert heard["origin"] == f"https://127.0.0.1:{edge.ports['websocket']}"
    assert heard["text"].startswith("INFO ")
    assert heard["text"].endswith("PONG\r\n")


def test_page_speaks_mqtt_by_its_cookies(chromium: str, edge: Peer) -> None:
    url = f"wss://127.0.0.1:{edge.ports['websocket']}/mqtt"
    say = list(encoder.encode_connect(Connect(5, b"page")))
    heard = visit(chromium, edge, url=url, protocols=["mqtt"], say=say, until=CONNACK)
    assert [ord(heard["text"][place]) for place in (0, 3)] == [0x20, 0]


def test_page_with_wrong_cookies_stays_outside(chromium: str, edge: Peer) -> None:
    heard = visit(chromium, edge, cookies={"who": "anna", "pw": "another"})
    assert heard["opened"]
    assert "Authorization Violation" in heard["text"]
    assert "PONG" not in heard["text"]


def test_page_of_another_origin_is_kept_out_though_the_browser_sends_the_cookies(chromium: str, edge: Peer) -> None:
    heard = visit(chromium, edge, origin="https://elsewhere.example")
    assert heard["origin"] == "https://elsewhere.example"
    assert not heard["opened"]
    assert "403" in heard["errors"][0]


def test_browser_that_does_not_know_the_authority_stays_away(chromium: str, edge: Peer) -> None:
    heard = visit(chromium, edge, trusting=False)
    assert not heard["opened"]
    assert "ERR_CERT_AUTHORITY_INVALID" in heard["errors"][0]
