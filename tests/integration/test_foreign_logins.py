"""Clients of others come in by their own means, to nats-server and to the gateway alike: nats.c and nats.js."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.certificates import Site, listener
from tests.integration.jwt_peers import House, Key, Maker, jwt_maker, soon
from tests.integration.node_peers import HERE, require_node
from tests.integration.peers import Peer, free_port, gateway, missing_peer, nats_server, require_peer
from tests.patience import PATIENCE_SECONDS

SERVERS = ("nats-server", "gateway")
LIBRARY = Path("/usr/include/nats/nats.h")
ROBOT = Key("U")
REFUSED = "Authorization Violation"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A login by nats.c."""
    if not LIBRARY.exists():
        missing_peer("nats.c is not installed (libnats-dev)")
    made = str(tmp_path_factory.mktemp("c") / "nats_login")
    command = [require_peer("gcc"), "-Wall", "-Werror", "-o", made, str(HERE / "c" / "nats_login.c"), "-lnats"]
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


@pytest.fixture(scope="module")
def listed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Peer]]:
    """Servers whose configuration lists users, inside TLS."""
    files = f'cert_file: "{site.path("server.pem")}", key_file: "{site.path("server.key")}"'
    theirs = f"""
    tls {{ {files}, timeout: 5 }}
    authorization {{ timeout: 5, users: [{{ user: anna, password: wonderland }}, {{ nkey: {ROBOT.public} }}] }}
    """
    ours = f'[[users]]\nname = "anna"\npassword = "wonderland"\n[[users]]\nnkey = "{ROBOT.public}"\n'
    with (
        nats_server(tmp_path_factory.mktemp("nats"), theirs) as nats,
        gateway(tmp_path_factory.mktemp("edge"), protocols=(), config=ours + listener("nats", site.tls())) as edge,
    ):
        yield dict(zip(SERVERS, (nats, edge), strict=True))


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with jwt_maker() as make:
        yield make


@pytest.fixture(scope="module")
def house(maker: Maker) -> tuple[House, Key]:
    made = House(maker)
    return made, made.account("home")


@pytest.fixture(scope="module")
def trusting(house: tuple[House, Key], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Peer]]:
    """Servers that trust an operator, for TCP and WebSocket."""
    port = free_port()
    web = f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}\n'
    system = house[0].account("system")
    config = house[0].gateway_config()
    with (
        nats_server(tmp_path_factory.mktemp("nats"), web + house[0].nats_config(system.public)) as nats,
        gateway(tmp_path_factory.mktemp("edge"), protocols=("nats", "websocket"), config=config) as edge,
    ):
        nats.ports["websocket"] = port
        yield dict(zip(SERVERS, (nats, edge), strict=True))


def credentials(house: tuple[House, Key], which: str) -> str:
    """A file of a user of the account: a good one, one that has ended, one of a stranger, or with another's seed."""
    home, account = house
    ann = Key("U")
    issuer = Key("A") if which == "strange" else account
    token = home.make("user", "ann", seed=ann, issuer=issuer, exp=soon(-5 if which == "ended" else 600))
    return home.make.credentials(token, Key("U") if which == "mixed" else ann)


def told(program: str, peer: Peer, *words: str, scheme: str = "nats") -> str:
    url = f"{scheme}://localhost:{peer.ports['nats']}"
    done = subprocess.run([program, url, *words], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("login", "comes_in"),
    [
        (("user", "anna", "wonderland"), True),
        (("user", "anna", "Wonderland"), False),
        (("nkey", ROBOT.public, ROBOT.seed), True),
        (("nkey", ROBOT.public, Key("U").seed), False),
        ((), False),
    ],
    ids=["password", "wrong password", "nkey", "another's nkey", "nothing"],
)
def test_nats_c_inside_tls(
    program: str,
    listed: dict[str, Peer],
    site: Site,
    tmp_path: Path,
    server: str,
    login: tuple[str, ...],
    comes_in: bool,
) -> None:
    words = list(login)
    if words[:1] == ["nkey"]:
        (tmp_path / "seed").write_text(words[2])
        words[2] = str(tmp_path / "seed")
    answer = told(program, listed[server], "ca", site.path("ca.pem"), *words, scheme="tls")
    assert answer == "ok" if comes_in else REFUSED.lower() in answer.lower()


@pytest.mark.parametrize("server", SERVERS)
def test_nats_c_that_does_not_know_the_authority(
    program: str, listed: dict[str, Peer], tmp_path: Path, server: str
) -> None:
    other = Site(tmp_path / "other")
    answer = told(program, listed[server], "ca", other.path("ca.pem"), "user", "anna", "wonderland", scheme="tls")
    assert "self-signed certificate in certificate chain" in answer


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("which", ["good", "ended", "strange", "mixed"])
def test_nats_c_with_a_credentials_file(
    program: str, trusting: dict[str, Peer], house: tuple[House, Key], tmp_path: Path, server: str, which: str
) -> None:
    file = tmp_path / "ann.creds"
    file.write_text(credentials(house, which))
    answer = told(program, trusting[server], "creds", str(file))
    assert answer == "ok" if which == "good" else REFUSED.lower() in answer.lower()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("which", ["good", "ended", "strange", "mixed"])
def test_nats_js_with_a_credentials_file(
    trusting: dict[str, Peer], house: tuple[House, Key], server: str, which: str
) -> None:
    node = require_node("ws", "@nats-io/nats-core")
    said = json.dumps({"creds": credentials(house, which)})
    command = [node, str(HERE / "node" / "nats_login.mjs"), trusting[server].url("websocket", "ws"), said]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    if which == "good":
        assert answer["result"].startswith("U")
    else:
        assert REFUSED.lower() in answer["error"].lower()
