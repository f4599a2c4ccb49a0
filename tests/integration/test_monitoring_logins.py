"""Monitoring that asks who looks, as programs with HTTP's basic authentication see it."""

import base64
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.integration.peers import Peer, gateway

CONFIG = """
users = ["anna", "probe"]
[authentication]
timeout-seconds = 5
[[users]]
name = "anna"
password = "$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu"
[[users]]
name = "probe"
password = "a:b:c"
connection-types = ["monitoring"]
[[users]]
name = "bert"
password = "plain-words"
[[users]]
name = "wired"
password = "plain-words"
connection-types = ["nats"]
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), monitoring=True, config=CONFIG) as peer:
        yield peer
        for secret in ("wonderland", "plain-words", "Authorization", "not-the-one"):
            assert secret not in peer.log()


def look(edge: Peer, *fields: str, path: str = "/healthz") -> tuple[int, str]:
    """Status and challenge."""
    request = Request(f"{edge.url('monitoring', 'http')}{path}")
    for field in fields:
        request.add_header("Authorization", field)
    try:
        with urlopen(request) as answer:
            return answer.status, ""
    except HTTPError as error:
        with error:
            return error.code, error.headers.get("WWW-Authenticate", "")


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


@pytest.mark.parametrize("path", ["/healthz", "/varz", "/connz"])
@pytest.mark.parametrize("login", ["anna:wonderland", "probe:a:b:c"])
def test_user_that_is_named_may_look(edge: Peer, path: str, login: str):
    assert look(edge, basic(login), path=path) == (200, "")
    assert look(edge, basic(login).replace("Basic", "basic"), path=path) == (200, "")


@pytest.mark.parametrize("path", ["/", "/healthz", "/varz", "/connz", "/nowhere"])
def test_who_says_nothing_is_asked(edge: Peer, path: str):
    status, challenge = look(edge, path=path)
    assert status == 401
    assert challenge.startswith("Basic realm=")


@pytest.mark.parametrize(
    "field",
    [
        basic("anna:not-the-one"),
        basic("nobody:wonderland"),
        basic("anna"),
        basic(":wonderland"),
        "Basic",
        "Basic ÿ",
        "X y",
    ],
)
def test_who_says_something_else_is_asked_again(edge: Peer, field: str):
    assert look(edge, field)[0] == 401


def test_user_that_is_not_named_may_not_look(edge: Peer):
    assert look(edge, basic("bert:plain-words")) == (403, "")
    assert look(edge, basic("wired:plain-words"))[0] == 401


def test_who_guesses_is_slowed_down_and_the_others_are_not(edge: Peer):
    assert [look(edge, basic("bert:not-the-one"))[0] for _ in range(14)] == [401] * 14
    assert look(edge, basic("anna:wonderland")) == (200, "")
