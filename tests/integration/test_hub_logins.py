"""Uplinks that show a hub who they are: credentials of an operator's user, or an NKey, at a real nats-server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.command.certificates import make_authority
from tests.integration.certificates import Site
from tests.integration.jwt_peers import House, Key, Maker, jwt_maker
from tests.integration.leafnode_pair import IMPATIENT, LINK_UP, client, interest_settled, run
from tests.integration.peers import Peer, gateway, nats_server, uplink


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with jwt_maker() as make:
        yield make


def login(hub: Peer, **settings: str) -> str:
    """The configuration of an uplink with these keys; a URL without user and password."""
    keys = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return uplink(f"nats-leaf://127.0.0.1:{hub.ports['leafnode']}", **IMPATIENT) + keys


def write(path: Path, text: str) -> str:
    """The path of a file that its owner alone may read, as TOML."""
    path.write_text(text)
    path.chmod(0o600)
    return json.dumps(str(path))


def messages_cross(hub: Peer, edge: Peer, credentials: Path | None = None) -> None:
    async def test() -> None:
        options = {"user_credentials": str(credentials)} if credentials is not None else {}
        async with client(hub, **options) as at_hub, client(edge) as at_edge:
            await interest_settled(at_edge, at_hub)

    run(test)


def test_a_file_of_credentials_opens_a_hub_of_an_operator(maker: Maker, tmp_path: Path) -> None:
    house = House(maker)
    account = house.account("home")
    keys = Key("U"), Key("U")
    files = [tmp_path / f"{number}.creds" for number in range(2)]
    for key, path in zip(keys, files, strict=True):
        write(path, maker.credentials(maker("user", "edge", seed=key, issuer=account), key))
    expired = tmp_path / "expired.creds"
    write(expired, maker.credentials(maker("user", "edge", seed=keys[0], issuer=account, exp=5), keys[0]))
    with nats_server(tmp_path / "hub", house.nats_config(), leafnodes="") as hub:
        with gateway(tmp_path / "edge", config=login(hub, credentials=json.dumps(str(files[0])))) as edge:
            edge.wait_for_log(LINK_UP)
            messages_cross(hub, edge, files[1])
            assert keys[0].seed not in edge.log()
            assert "eyJ" not in edge.log()
        with gateway(tmp_path / "late", config=login(hub, credentials=json.dumps(str(expired)))) as edge:
            edge.wait_for_log("Authorization Violation")
            # A file that is renewed is read at the next attempt.
            write(expired, files[0].read_text())
            edge.wait_for_log(LINK_UP)


def test_credentials_and_a_certificate_open_a_hub_inside_tls(maker: Maker, tmp_path: Path) -> None:
    """Which wants both; it hears neither where it is not the one that the edge trusts."""
    house, site = House(maker), Site(tmp_path / "site")
    make_authority(tmp_path / "other", "other authority")
    account, key, other = house.account("home"), Key("U"), Key("U")
    own, others = tmp_path / "own.creds", tmp_path / "others.creds"
    token = maker("user", "edge", seed=key, issuer=account)
    write(own, maker.credentials(token, key))
    write(others, maker.credentials(token, other))
    inside = f'cert_file: "{site.path("server.pem")}", key_file: "{site.path("server.key")}", verify: true'
    leafnodes = f'tls {{ {inside}, ca_file: "{site.path("ca.pem")}" }}'
    certificate = f', certificate = "{site.path("sensor1.pem")}", key = "{site.path("sensor1.key")}"'

    def link(hub: Peer, credentials: Path, authority: str, more: str = certificate) -> str:
        at = uplink(f"tls://localhost:{hub.ports['leafnode']}", **IMPATIENT)
        return f'{at}credentials = "{credentials}"\ntls = {{ ca = "{authority}"{more} }}\n'

    with nats_server(tmp_path / "hub", house.nats_config(), leafnodes=leafnodes) as hub:
        with gateway(tmp_path / "edge", config=link(hub, own, site.path("ca.pem"))) as edge:
            edge.wait_for_log(LINK_UP)
            messages_cross(hub, edge, own)
        refused = {
            "Authorization Violation": link(hub, others, site.path("ca.pem")),
            "event=down": link(hub, own, site.path("ca.pem"), more=""),
            "self-signed certificate in certificate chain": link(hub, own, str(tmp_path / "other" / "ca.pem")),
        }
        for number, (told, config) in enumerate(refused.items()):
            with gateway(tmp_path / f"edge-{number}", config=config) as edge:
                edge.wait_for_log(told)
                assert LINK_UP not in edge.log()
                assert not {token, key.seed, other.seed} & set(edge.log().replace("'", " ").split())


def test_an_nkey_opens_a_hub_that_knows_it(tmp_path: Path) -> None:
    key, other = Key("U"), Key("U")
    config = f"authorization {{ users: [ {{ nkey: {key.public} }}, {{ user: ann, password: secret }} ] }}\n"
    seeds = {name: f"{{ file = {write(tmp_path / name, one.seed)} }}" for name, one in (("key", key), ("other", other))}
    with nats_server(tmp_path / "hub", config, leafnodes="") as hub:
        with gateway(tmp_path / "edge", config=login(hub, nkey=seeds["key"])) as edge:
            edge.wait_for_log(LINK_UP)
            assert key.seed not in edge.log()
        with gateway(tmp_path / "stranger", config=login(hub, nkey=seeds["other"])) as edge:
            edge.wait_for_log("Authorization Violation")
            assert other.seed not in edge.log()


@pytest.mark.parametrize("content", ["", "eyJ.secret.token", "-----A-----\neyJ.secret.token\n------B------\n"])
def test_without_credentials_the_hub_is_not_called_and_the_log_says_why(content: str, tmp_path: Path) -> None:
    path = write(tmp_path / "edge.creds", content)
    with nats_server(tmp_path / "hub", leafnodes="") as hub:
        with gateway(tmp_path / "edge", config=login(hub, credentials=path)) as edge:
            edge.wait_for_log("event=no-credentials")
            assert "secret" not in edge.log()
        assert "Leafnode connection created" not in hub.log()


def test_a_link_whose_account_loses_its_jwt_ends_and_comes_back_with_it(maker: Maker, tmp_path: Path) -> None:
    house = House(maker)
    account = house.account("site")
    directory = tmp_path / "jwt"
    config = house.gateway_config(str(directory)) + "\n"
    with (
        nats_server(tmp_path / "hub", leafnodes="") as hub,
        gateway(tmp_path / "edge", config=config + login(hub, account=json.dumps(account.public))) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        file = directory / f"{account.public}.jwt"
        token = file.read_text()
        file.unlink()
        edge.wait_for_log(f"there is no JWT of account {account.public}")
        file.write_text(token)
        edge.wait_for_log(LINK_UP, count=2)
