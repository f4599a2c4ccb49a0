"""How real nats-servers come to the gateway as leafnodes: by every login, inside TLS, and over WebSocket."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.integration.certificates import Site
from tests.integration.jwt_peers import UNLIMITED, House, Key, Maker, jwt_maker
from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, ignore_error, interest_settled, run
from tests.integration.leafnode_spokes import SPOKE_UP, hub, remote, spoke
from tests.integration.peers import Peer

REFUSED = "event=refused"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with jwt_maker() as make:
        yield make


def write(path: Path, text: str) -> str:
    """The path of a file, quoted as nats-server's configuration has it."""
    path.write_text(text)
    path.chmod(0o600)
    return json.dumps(str(path))


def messages_cross(above: Peer, below: Peer, **login: Any) -> None:
    """A large message passes each way; `login` is how a client comes to the gateway."""

    async def test() -> None:
        here = await nats.connect(above.url(), error_cb=ignore_error, allow_reconnect=False, **login)
        try:
            async with client(below) as there:
                for sender, receiver in ((here, there), (there, here)):
                    inbox = await receiver.subscribe("large")
                    await interest_settled(sender, receiver)
                    await sender.publish("large", b"x" * 300_000)
                    assert len((await inbox.next_msg(PATIENCE_SECONDS)).data) == 300_000
                    await inbox.unsubscribe()
        finally:
            await here.close()

    run(test)


def test_name_and_password_and_the_account_that_comes_with_them(tmp_path: Path) -> None:
    users = """
    [[accounts]]
    name = "plant"
    [[users]]
    name = "shed"
    password = "secret"
    account = "plant"
    connection-types = ["nats", "leafnode"]
    [[users]]
    name = "office"
    password = "secret"
    """
    with hub(tmp_path / "hub", users) as above:
        with spoke(tmp_path / "stranger", remote(above, "shed:wrong")):
            above.wait_for_log(REFUSED)
        with spoke(tmp_path / "shed", remote(above, "shed:secret"), name="shed") as below:
            above.wait_for_log(SPOKE_UP)
            messages_cross(above, below, user="shed", password="secret")
            with pytest.raises(TimeoutError):
                messages_cross_soon(above, below, user="office", password="secret")


def messages_cross_soon(above: Peer, below: Peer, **login: Any) -> None:
    async def test() -> None:
        here = await nats.connect(above.url(), error_cb=ignore_error, allow_reconnect=False, **login)
        try:
            async with client(below) as there:
                inbox = await there.subscribe("other")
                await there.flush()
                await here.publish("other", b"")
                await inbox.next_msg(0.2)
        finally:
            await here.close()

    run(test)


def test_a_token(tmp_path: Path) -> None:
    with (
        hub(tmp_path / "hub", '[authentication]\ntoken = "t0ken"') as above,
        spoke(tmp_path / "spoke", remote(above, "t0ken")) as below,
    ):
        above.wait_for_log(SPOKE_UP)
        messages_cross(above, below, token="t0ken")


def test_an_nkey(tmp_path: Path) -> None:
    key, other = Key("U"), Key("U")
    users = f'[[users]]\nnkey = "{key.public}"\n[[users]]\nname = "ann"\npassword = "secret"\n'
    with hub(tmp_path / "hub", users) as above:
        with spoke(tmp_path / "stranger", remote(above, more=f", nkey: {other.seed}")):
            above.wait_for_log(REFUSED)
        with spoke(tmp_path / "spoke", remote(above, more=f", nkey: {key.seed}")) as below:
            above.wait_for_log(SPOKE_UP)
            messages_cross(above, below, user="ann", password="secret")


def test_credentials_of_an_operator_s_user(maker: Maker, tmp_path: Path) -> None:
    house = House(maker)
    account = house.account("home")
    keys = [Key("U") for _ in range(3)]
    claims = [{"allowed_connection_types": [kind]} for kind in ("LEAFNODE", "LEAFNODE_WS", "STANDARD")]
    files = []
    for number, (key, more) in enumerate(zip(keys, claims, strict=True)):
        token = maker("user", "edge", seed=key, issuer=account, claims=more)
        files.append(write(tmp_path / f"{number}.creds", maker.credentials(token, key)))
    key = Key("U")
    closed = house.account("closed", limits=UNLIMITED | {"leaf": 0})
    token = maker("user", "edge", seed=key, issuer=closed)
    shut = write(tmp_path / "closed.creds", maker.credentials(token, key))
    with hub(tmp_path / "hub", house.gateway_config()) as above:
        with spoke(tmp_path / "closed", remote(above, more=f", credentials: {shut}")):
            above.wait_for_log("maximum account active connections exceeded")
        with spoke(tmp_path / "other", remote(above, more=f", credentials: {files[1]}")):
            above.wait_for_log(REFUSED)
        with spoke(tmp_path / "spoke", remote(above, more=f", credentials: {files[0]}")) as below:
            above.wait_for_log(SPOKE_UP)
            messages_cross(above, below, user_credentials=json.loads(files[2]))


@pytest.mark.parametrize(
    ("ours", "theirs", "verify"),
    [({}, "", "none"), ({"handshake_first": True}, ", handshake_first: true", "none"), ({}, "", "require")],
    ids=["upgrade", "handshake-first", "certificate"],
)
def test_tls(site: Site, tmp_path: Path, ours: dict[str, object], theirs: str, verify: str) -> None:
    files = f'ca_file: "{site.path("ca.pem")}"'
    if verify == "require":
        files += f', cert_file: "{site.path("sensor1.pem")}", key_file: "{site.path("sensor1.key")}"'
    with (
        hub(tmp_path / "hub", listener=f"tls = {site.tls(verify, **ours)}") as above,
        spoke(tmp_path / "spoke", remote(above, scheme="tls", more=f", tls: {{ {files} {theirs} }}")) as below,
    ):
        above.wait_for_log(SPOKE_UP)
        messages_cross(above, below)


def test_a_certificate_says_who_the_spoke_is(site: Site, tmp_path: Path) -> None:
    files = ", ".join(
        f'{key}: "{site.path(name)}"'
        for key, name in (("ca_file", "ca.pem"), ("cert_file", "sensor1.pem"), ("key_file", "sensor1.key"))
    )
    users = '[[users]]\nname = "CN=sensor1"\n[[users]]\nname = "ann"\npassword = "secret"\n'
    with (
        hub(tmp_path / "hub", users, listener=f"tls = {site.tls('map')}") as above,
        spoke(tmp_path / "spoke", remote(above, scheme="tls", more=f", tls: {{ {files} }}")) as below,
    ):
        above.wait_for_log(SPOKE_UP)
        messages_cross(above, below, user="ann", password="secret")


@pytest.mark.parametrize(
    "more", ["", ", ws_compression: true", ", ws_no_masking: true"], ids=["plain", "deflate", "bare"]
)
def test_websocket(tmp_path: Path, more: str) -> None:
    users = """
    [[users]]
    name = "shed"
    password = "secret"
    connection-types = ["nats", "leafnode-websocket"]
    [[users]]
    name = "other"
    password = "secret"
    connection-types = ["leafnode"]
    """
    options: dict[str, Any] = {"protocols": ("nats", "websocket"), "listener": "compression = true"}
    with hub(tmp_path / "hub", users, **options) as above:
        with spoke(tmp_path / "other", remote(above, "other:secret", "ws", "websocket", more)):
            above.wait_for_log(REFUSED)
        with spoke(tmp_path / "spoke", remote(above, "shed:secret", "ws", "websocket", more)) as below:
            above.wait_for_log(SPOKE_UP)
            messages_cross(above, below, user="shed", password="secret")


def test_websocket_inside_tls(site: Site, tmp_path: Path) -> None:
    options: dict[str, Any] = {"protocols": ("nats", "websocket"), "listener": f"tls = {site.tls()}"}
    tls = f', tls: {{ ca_file: "{site.path("ca.pem")}" }}'
    with (
        hub(tmp_path / "hub", **options) as above,
        spoke(tmp_path / "spoke", remote(above, scheme="wss", protocol="websocket", more=tls)) as below,
    ):
        above.wait_for_log(SPOKE_UP)
        messages_cross(above, below)
