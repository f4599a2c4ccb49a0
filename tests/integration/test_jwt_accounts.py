"""Accounts of an operator while the gateway runs: what is pushed, listed and removed, and who is there meanwhile."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from tests.integration.jwt_peers import UNLIMITED, House, Key, Maker, jwt_maker, log_in, logged_in, soon
from tests.integration.leafnode_pair import LINK_UP, PATIENCE_SECONDS, ignore_error, leaf_url, run
from tests.integration.peers import Peer, gateway, nats_server, uplink
from tests.integration.raw_peer import nats_line


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with jwt_maker() as make:
        yield make


class Site:
    """A house with a system account, a user there and one in another account, and where each one's credentials are."""

    def __init__(self, make: Maker, directory: Path) -> None:
        self.house = House(make)
        self.directory = directory
        self.system = self.house.account("SYS")
        self.account = self.house.account("home")
        self.house.claims["system_account"] = self.system.public
        self.ann = Key("U")
        directory.mkdir(parents=True, exist_ok=True)
        admin = Key("U")
        self.admin = self._credentials("admin", self.house.make("user", "admin", seed=admin, issuer=self.system), admin)
        self.token = self.house.make("user", "ann", seed=self.ann, issuer=self.account)
        self.user = self._credentials("ann", self.token, self.ann)

    def _credentials(self, name: str, token: str, key: Key) -> Path:
        path = self.directory / f"{name}.creds"
        path.write_text(self.house.make.credentials(token, key))
        path.chmod(0o600)
        return path

    def changed(self, **claims: Any) -> str:
        """Another token for the account `home`."""
        self.house.account("home", key=self.account, **claims)
        return self.house.accounts[self.account.public]


async def connect(peer: Peer, credentials: Path) -> Client:
    return await nats.connect(
        peer.url(), user_credentials=str(credentials), allow_reconnect=False, error_cb=ignore_error
    )


def answer_of(data: bytes) -> Any:
    """What an answer says but of the server, and of our reasons beside nats-server's own."""
    answer = json.loads(data)
    assert answer["server"]["id"].startswith("N")
    answer = {key: value for key, value in answer.items() if key != "server"}
    if "error" in answer:
        answer["error"]["description"] = answer["error"]["description"].partition(" - ")[0]
    return answer


@pytest.fixture
def ours(maker: Maker, tmp_path: Path) -> Iterator[tuple[Site, Peer]]:
    site = Site(maker, tmp_path / "creds")
    with gateway(tmp_path / "edge", config=site.house.gateway_config(str(tmp_path / "jwt"))) as edge:
        yield site, edge


@pytest.fixture
def both(maker: Maker, tmp_path: Path) -> Iterator[tuple[Site, list[Peer]]]:
    """A nats-server and a gateway of the same house, each with a directory of its own."""
    site = Site(maker, tmp_path / "creds")
    config = site.house.nats_config(site.system.public)
    where = json.dumps(str(tmp_path / "nats-jwt"))
    config = config.replace("resolver: MEMORY", f"resolver: {{ type: full, dir: {where}, allow_delete: true }}")
    with (
        nats_server(tmp_path / "nats", config) as theirs,
        gateway(tmp_path / "edge", config=site.house.gateway_config(str(tmp_path / "jwt"))) as edge,
    ):
        yield site, [theirs, edge]


def test_requests_about_accounts_are_answered_as_nats_server_does(both: tuple[Site, list[Peer]]) -> None:
    site, servers = both
    guest = House(site.house.make, operator=site.house.operator)
    other = guest.account("other")
    stranger = House(site.house.make)
    unknown = stranger.account("unknown")
    operator = site.house.operator

    def deletion(signer: Key, account: Key) -> str:
        claims = {"accounts": [account.public]}
        return site.house.make("generic", "x", seed=signer, kind="generic", claims=claims)

    update, lookup = "$SYS.REQ.CLAIMS.UPDATE", f"$SYS.REQ.ACCOUNT.{other.public}.CLAIMS.LOOKUP"
    scripts: list[tuple[str, str]] = [
        (update, guest.accounts[other.public]),
        (f"$SYS.REQ.ACCOUNT.{other.public}.CLAIMS.UPDATE", guest.accounts[other.public]),
        (f"$SYS.REQ.ACCOUNT.{site.account.public}.CLAIMS.UPDATE", guest.accounts[other.public]),
        ("$SYS.REQ.CLAIMS.LIST", ""),
        (update, "eyJ.no.token"),
        ("$SYS.REQ.CLAIMS.DELETE", deletion(Key("O"), other)),
        ("$SYS.REQ.CLAIMS.DELETE", deletion(operator, site.system)),
        ("$SYS.REQ.CLAIMS.DELETE", deletion(operator, other)),
        ("$SYS.REQ.CLAIMS.LIST", ""),
    ]

    async def talk(server: Peer) -> tuple[list[Any], list[bytes]]:
        admin = await connect(server, site.admin)
        answers, found = [], []
        for subject, body in scripts:
            reply = await admin.request(subject, body.encode(), timeout=PATIENCE_SECONDS)
            answer = answer_of(reply.data)
            if isinstance(answer.get("data"), list):
                answer["data"].sort()
            answers.append(answer)
            found.append((await admin.request(lookup, b"", timeout=PATIENCE_SECONDS)).data)
        await admin.close()
        return answers, found

    async def test() -> None:
        theirs, ours = [await talk(server) for server in servers]
        assert ours == theirs
        # One of a foreign operator is not kept here.
        admin = await connect(servers[1], site.admin)
        reply = await admin.request(update, stranger.accounts[unknown.public].encode(), timeout=PATIENCE_SECONDS)
        assert answer_of(reply.data)["error"]["account"] == unknown.public
        listed = await admin.request("$SYS.REQ.CLAIMS.LIST", b"", timeout=PATIENCE_SECONDS)
        assert unknown.public not in json.loads(listed.data)["data"]
        await admin.close()

    run(test)


def test_reload_links_an_account_in_which_nobody_has_been(ours: tuple[Site, Peer], tmp_path: Path) -> None:
    site, edge = ours
    file = edge.directory / "leafgate.toml"
    before = file.read_text()
    guests = House(site.house.make, operator=site.house.operator)
    known, unknown = guests.account("known"), guests.account("unknown")
    (tmp_path / "jwt" / f"{known.public}.jwt").write_text(guests.accounts[known.public])
    with nats_server(tmp_path / "hub", leafnodes="") as hub:
        file.write_text(before + "\n" + uplink(leaf_url(hub), account=unknown.public))
        edge.send_signal(signal.SIGHUP)
        edge.wait_for_log(f"uplinks[0].account: there is no JWT of account {unknown.public}")
        file.write_text(before + "\n" + uplink(leaf_url(hub), account=known.public))
        edge.send_signal(signal.SIGHUP)
        edge.wait_for_log("event=reloaded changed='uplinks +1'")
        edge.wait_for_log(LINK_UP)


def test_one_reload_brings_an_account_and_the_link_that_is_in_it(maker: Maker, tmp_path: Path) -> None:
    """And the key of the operator's that signed the account."""
    house = House(maker)
    house.account("home")
    with (
        nats_server(tmp_path / "hub", leafnodes="") as hub,
        gateway(tmp_path / "edge", config=house.gateway_config()) as edge,
    ):
        signing, new = Key("O"), Key("A")
        link = uplink(leaf_url(hub), account=new.public)
        missing = f"uplinks[0].account: there is no JWT of account {new.public}"
        reload(edge, f"{house.gateway_config()}\n{link}", missing)
        house.claims["signing_keys"] = [signing.public]
        house.account("new", signer=signing, key=new)
        reload(edge, f"{house.gateway_config()}\n{link}", "event=reloaded")
        edge.wait_for_log(LINK_UP)
        assert edge.log().count("event=reload-refused") == 1
        assert "event=account-removed" not in edge.log()


def test_what_only_a_start_can_change_is_refused_by_name(maker: Maker, tmp_path: Path) -> None:
    house = House(maker)
    system, other = house.account("SYS"), house.account("other")
    house.claims["system_account"] = system.public
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    config = house.gateway_config(first)
    fixed = "cannot be changed while the gateway runs"
    with gateway(tmp_path / "edge", config=config) as edge:
        reload(edge, "", f"authentication.operator: {fixed} (changed); restart it")
        told = f"authentication.resolver.directory: {fixed} ("  # Long paths are not shown.
        reload(edge, config.replace(first, second), told)
        told = f'authentication.system-account: {fixed} ("" → '
        reload(edge, config.replace('system-account = ""', f'system-account = "{other.public}"'), told)
        house.claims["system_account"] = other.public
        told = "authentication.operator: it names another system account; restart the gateway"
        reload(edge, house.gateway_config(first), told)
        house.claims["system_account"] = system.public
        house.account("third")
        told = f"authentication.resolver.preload: the accounts are in {first}; put them there"
        reload(edge, house.gateway_config(first), told)
        reload(edge, config, "event=reloaded changed='nothing'")
    with gateway(tmp_path / "plain", config='[authentication]\ntoken = "open-sesame-please"\n') as edge:
        reload(edge, config, f"authentication.operator: {fixed} (changed); restart it")


def reload(edge: Peer, config: str, told: str) -> None:
    """Other tables behind the listeners, put in force by SIGHUP; `told` is what the log says of it."""
    file = edge.directory / "leafgate.toml"
    head = file.read_text().partition("[authentication]")[0]
    file.write_text(head + config)
    edge.send_signal(signal.SIGHUP)
    edge.wait_for_log(told)


def test_operator_and_accounts_of_the_configuration_change_at_run_time(maker: Maker, tmp_path: Path) -> None:
    house = House(maker)
    account = house.account("home")
    users = {name: Key("U") for name in ("ann", "ben", "guest")}
    tokens = {name: maker("user", name, seed=users[name], issuer=account) for name in ("ann", "ben")}
    with (
        gateway(tmp_path / "edge", config=house.gateway_config()) as edge,
        logged_in(edge, tokens["ann"], users["ann"], protocol=0) as ann,
        logged_in(edge, tokens["ben"], users["ben"], protocol=0) as ben,
    ):
        assert nats_line(ann) == nats_line(ben) == b"PONG\r\n"
        # Another signing key of the operator's, an account that it signed, and a user who is revoked.
        signing = Key("O")
        house.claims["signing_keys"] = [signing.public]
        other = house.account("other", signer=signing)
        house.account("home", key=account, revocations={users["ben"].public: soon(60)})
        guest = maker("user", "guest", seed=users["guest"], issuer=other)
        assert log_in(edge, guest, users["guest"]) == "-ERR 'Authorization Violation'"
        reload(edge, house.gateway_config(), "event=reloaded")
        assert log_in(edge, guest, users["guest"]) == "PONG"
        assert nats_line(ben) == b"-ERR 'User Authentication Revoked'\r\n"
        assert log_in(edge, tokens["ann"], users["ann"]) == "PONG"
        # Without the signing key the account that it signed is none any more.
        house.claims["signing_keys"] = []
        reload(edge, house.gateway_config(), "event=account-removed")
        assert log_in(edge, guest, users["guest"]) == "-ERR 'Authorization Violation'"
        # What cannot be taken leaves everything as it is.
        reload(edge, house.gateway_config().replace("eyJ", "eyX", 1), "event=reload-refused")
        reload(edge, "", "authentication.operator: cannot be changed while the gateway runs")
        assert log_in(edge, tokens["ann"], users["ann"]) == "PONG"
        assert "cid=1 event=closed" not in edge.log()


def test_nobody_but_the_system_s_account_is_answered(ours: tuple[Site, Peer]) -> None:
    site, edge = ours

    async def test() -> None:
        ann = await connect(edge, site.user)
        for subject in ("$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.CLAIMS.UPDATE"):
            with pytest.raises(nats.errors.NoRespondersError):
                await ann.request(subject, b"", timeout=PATIENCE_SECONDS)
        await ann.close()

    run(test)


def test_who_is_revoked_hears_so_and_has_to_go(ours: tuple[Site, Peer]) -> None:
    site, edge = ours
    key = Key("U")
    token = site.house.make("user", "bob", seed=key, issuer=site.account)
    update = site.changed(revocations={site.ann.public: soon(60)})

    async def test() -> None:
        admin = await connect(edge, site.admin)
        await admin.request("$SYS.REQ.CLAIMS.UPDATE", update.encode(), timeout=PATIENCE_SECONDS)
        await admin.close()

    with logged_in(edge, site.token, site.ann) as ann, logged_in(edge, token, key) as bob:
        assert nats_line(ann) == nats_line(bob) == b"PONG\r\n"
        run(test)
        assert ann.read().endswith(b"-ERR 'User Authentication Revoked'\r\n")
        assert nats_line(bob).startswith(b"INFO")  # It is as it was.


def test_a_file_that_somebody_else_writes_is_noticed(ours: tuple[Site, Peer], tmp_path: Path) -> None:
    site, edge = ours
    file = tmp_path / "jwt" / f"{site.account.public}.jwt"
    file.write_text(site.changed(limits=UNLIMITED | {"disallow_bearer": True}))
    edge.wait_for_log("event=accounts-changed")
    key = Key("U")
    token = site.house.make("user", "bob", seed=key, issuer=site.account, claims={"bearer_token": True})
    assert log_in(edge, token, None) == "-ERR 'Authorization Violation'"
    file.unlink()
    edge.wait_for_log("event=account-removed")


def test_a_token_ends_while_its_user_is_there(ours: tuple[Site, Peer]) -> None:
    site, edge = ours
    key = Key("U")
    token = site.house.make("user", "short", seed=key, issuer=site.account, exp=soon(6))
    with logged_in(edge, token, key) as stream:
        assert nats_line(stream) == b"PONG\r\n"
        assert stream.read().endswith(b"-ERR 'User Authentication Expired'\r\n")


def test_accounts_of_tokens_share_what_their_tokens_say(maker: Maker, tmp_path: Path) -> None:
    house = House(maker)
    plant, office, guest = Key("A"), Key("A"), Key("A")
    house.account("plant", key=plant, exports=[{"name": "t", "subject": "t.>", "type": "stream", "token_req": True}])
    token = maker("activation", "t", seed=office, issuer=plant, kind="stream", claims={"subject": "t.>"})
    wanted = {"name": "t", "account": plant.public, "subject": "t.>", "type": "stream", "local_subject": "plant.>"}
    house.account("office", key=office, imports=[wanted | {"token": token}])
    house.account("guest", key=guest, imports=[wanted])

    async def test(server: Peer) -> list[bool]:
        clients = []
        for account in (plant, office, guest):
            key = Key("U")
            path = tmp_path / f"{key.public}.creds"
            path.write_text(maker.credentials(maker("user", "u", seed=key, issuer=account), key))
            clients.append(await connect(server, path))
        at_plant, at_office, at_guest = clients
        heard = [await client.subscribe("plant.>") for client in (at_office, at_guest)]
        for client in (at_office, at_guest):
            await client.flush()
        await at_plant.publish("t.kitchen", b"21")
        first = await heard[0].next_msg(PATIENCE_SECONDS)
        await at_guest.flush()
        told = [first.subject == "plant.kitchen", heard[1].pending_msgs > 0]
        for client in clients:
            await client.close()
        return told

    async def everywhere() -> None:
        assert [await test(server) for server in (theirs, ours)] == [[True, False]] * 2

    with (
        nats_server(tmp_path / "nats", house.nats_config()) as theirs,
        gateway(tmp_path / "edge", config=house.gateway_config()) as ours,
    ):
        run(everywhere)
