"""Users change while they are there: who lost the user is closed, who lost a right keeps the rest, all others stay.

What NATS clients hear is what nats-server 2.15.1 tells them.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.accounts import jwt, nkeys
from gateway.accounts.passwords import hash_password
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.peers import Peer, nats_server
from tests.integration.raw_peer import RawPeer, without_pings
from tests.integration.test_reload import Site

# Name and password; behind a space, a subject that may not be subscribed to.
Users = dict[str, str]


class NatsServer:
    """nats-server with users that change."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.port = peer.ports["nats"]

    def change(self, users: Users) -> None:
        file = self.peer.directory / "nats.conf"
        before = len(self.peer.log())
        file.write_text(f'listen: "127.0.0.1:{self.port}"\n{nats_users(users)}\n')
        self.peer.send_signal(signal.SIGHUP)
        self.peer.wait_ready(lambda: "Reloaded server configuration" in self.peer.log()[before:])


class Gateway:
    """The gateway with users that change."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.port = site.port

    def change(self, users: Users) -> None:
        self.site.write(toml_users(users))
        self.site.reload()


def nats_users(users: Users) -> str:
    rows = []
    for name, rest in users.items():
        password, _, denied = rest.partition(" ")
        rules = f', permissions: {{subscribe: {{deny: "{denied}"}}}}' if denied else ""
        rows.append(f"{{user: {name}, password: {password}{rules}}}")
    return f"authorization {{ users: [{', '.join(rows)}] }}"


def toml_users(users: Users) -> str:
    lines: list[str] = []
    for name, rest in users.items():
        password, _, denied = rest.partition(" ")
        lines += ["[[users]]", f'name = "{name}"', f'password = "{password}"']
        if denied:
            lines.append(f'permissions = {{ subscribe = {{ deny = ["{denied}"] }} }}')
    return "\n".join(lines) + "\n"


@contextmanager
def nats_server_with(directory: Path, users: Users) -> Iterator[NatsServer]:
    with nats_server(directory / "hub", nats_users(users)) as peer:
        yield NatsServer(peer)


@contextmanager
def gateway_with(directory: Path, users: Users) -> Iterator[Gateway]:
    site = Site(directory)
    site.write(toml_users(users))
    with site.running():
        yield Gateway(site)


@pytest.fixture(params=[nats_server_with, gateway_with], ids=["nats-server", "gateway"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Users], Iterator[NatsServer | Gateway]]:
    return lambda users: request.param(tmp_path, users)


def login(port: int, name: str = "", password: str = "") -> RawPeer:
    peer = RawPeer(("127.0.0.1", port))
    peer.read_line()
    who = b',"user":"%b","pass":"%b"' % (name.encode(), password.encode()) if name else b""
    peer.send(b'CONNECT {"verbose":false%b}\r\nSUB foo 1\r\nPING\r\n' % who)
    assert peer.read_line() == b"PONG\r\n"
    return peer


def is_there(peer: RawPeer) -> bool:
    peer.send(b"PUB foo 2\r\nhi\r\nPING\r\n")
    return without_pings(peer.read_through(b"PONG\r\n")) == b"MSG foo 1 2\r\nhi\r\nPONG\r\n"


def test_who_lost_the_user_is_closed_without_a_word_and_all_others_stay(server):
    with (
        server({"ann": "a", "bob": "b"}) as there,
        login(there.port, "ann", "a") as ann,
        login(there.port, "bob", "b") as bob,
    ):
        there.change({"bob": "b", "eve": "e"})
        assert without_pings(ann.read_to_end()) == b""
        assert is_there(bob)
        login(there.port, "eve", "e").close()


def test_who_has_another_password_now_hears_that_he_may_not_stay(server):
    with (
        server({"ann": "a", "bob": "b"}) as there,
        login(there.port, "ann", "a") as ann,
        login(there.port, "bob", "b") as bob,
    ):
        there.change({"ann": "other", "bob": "b"})
        assert without_pings(ann.read_to_end()) == b"-ERR 'Authorization Violation'\r\n"
        assert is_there(bob)


def test_who_lost_a_right_is_told_and_keeps_the_rest(server):
    with (
        server({"ann": "a", "bob": "b"}) as there,
        login(there.port, "ann", "a") as ann,
        login(there.port, "bob", "b") as bob,
    ):
        ann.send(b"SUB rest 2\r\nPING\r\n")
        ann.read_through(b"PONG\r\n")
        there.change({"ann": "a foo", "bob": "b"})
        assert ann.read_line() == b'-ERR \'Permissions Violation for Subscription to "foo" (sid "1")\'\r\n'
        bob.send(b"PUB foo 2\r\nno\r\nPUB rest 3\r\nyes\r\n")
        assert ann.read_line() + ann.read_line() == b"MSG rest 2 3\r\nyes\r\n"
        there.change({"ann": "a", "bob": "b"})
        ann.send(b"SUB foo 3\r\nPING\r\n")
        assert ann.read_line() == b"PONG\r\n"


def test_who_lost_a_right_in_a_queue_group_is_told_of_each_subscription(server):
    with server({"ann": "a"}) as there, login(there.port, "ann", "a") as ann:
        ann.send(b"SUB foo workers 2\r\nSUB foo others 31\r\nSUB bar workers 4\r\nPING\r\n")
        ann.read_through(b"PONG\r\n")
        there.change({"ann": "a foo"})
        told = {ann.read_line() for _ in range(3)}
        kinds = (b' (sid "1")', b' using queue "workers" (sid "2")', b' using queue "others" (sid "31")')
        assert told == {b"-ERR 'Permissions Violation for Subscription to \"foo\"%b'\r\n" % kind for kind in kinds}
        ann.send(b"PUB foo 2\r\nno\r\nPUB bar 3\r\nyes\r\n")
        assert ann.read_line() + ann.read_line() == b"MSG bar 4 3\r\nyes\r\n"
        ann.send(b"SUB foo workers 5\r\n")
        assert ann.read_line() == b'-ERR \'Permissions Violation for Subscription to "foo" using queue "workers"\'\r\n'


def test_who_came_unasked_leaves_once_somebody_is_to_be_asked(tmp_path: Path):
    with gateway_with(tmp_path, {}) as there, login(there.port) as anybody:
        there.change({"bob": "b"})
        assert without_pings(anybody.read_to_end()) == b"-ERR 'Authorization Violation'\r\n"
        with RawPeer(("127.0.0.1", there.port)) as late:
            assert b'"auth_required":true' in late.read_line()
        with login(there.port, "bob", "b") as bob:
            there.change({})
            assert without_pings(bob.read_to_end()) == b""
        login(there.port).close()


def mqtt_login(port: int, client_id: bytes, version: int, name: bytes, password: bytes) -> RawPeer:
    peer = RawPeer(("127.0.0.1", port))
    connect = packets.Connect(version, client_id, username=name, password=password)
    peer.send(encoder.encode_connect(connect))
    return peer


def said_at_last(peer: RawPeer, version: int) -> list[object]:
    return ClientDecoder(1 << 20, version).receive(peer.read_to_end())


def test_mqtt_client_that_lost_the_user_is_told_as_far_as_its_version_can(tmp_path: Path):
    site = Site(tmp_path)
    listeners = f'[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:{site.port}"'
    site.write(toml_users({"ann": "a", "bob": "b"}), listeners=listeners)
    with site.running():
        old = mqtt_login(site.port, b"old", MQTT_3_1_1, b"ann", b"a")
        new = mqtt_login(site.port, b"new", MQTT_5_0, b"ann", b"a")
        with old, new, mqtt_login(site.port, b"bob", MQTT_3_1_1, b"bob", b"b") as bob:
            assert bob.read(4) == b"\x20\x02\x00\x00"
            site.peer.wait_for_log("kind=mqtt", count=3)
            site.write(toml_users({"bob": "b"}), listeners=listeners)
            site.reload()
            (connack,) = said_at_last(old, MQTT_3_1_1)
            assert isinstance(connack, packets.Connack)
            connack, disconnect = said_at_last(new, MQTT_5_0)
            assert isinstance(disconnect, packets.Disconnect)
            assert disconnect.reason_code == ReasonCode.NOT_AUTHORIZED
            bob.send(b"\xc0\x00")
            assert bob.read(2) == b"\xd0\x00"
    assert site.peer.log().count("reason='Credentials Revoked' detail='there is no such user any more'") == 2


ACCOUNTS = """
[[accounts]]
name = "plant"
{plant}
[[accounts]]
name = "office"
{office}
[[users]]
name = "ann"
password = "a"
account = "plant"
[[users]]
name = "bob"
password = "b"
account = "office"
"""
EXPORT = '[[accounts.exports]]\nstream = "foo"'
IMPORT = '[[accounts.imports]]\nstream = "foo"\naccount = "plant"'


def test_what_accounts_share_begins_and_ends_under_those_who_are_there(tmp_path: Path):
    site = Site(tmp_path)
    site.write(ACCOUNTS.format(plant="", office=""))
    with site.running(), login(site.port, "ann", "a") as ann, login(site.port, "bob", "b") as bob:
        for shares in (False, True, False):
            site.write(ACCOUNTS.format(plant=EXPORT if shares else "", office=IMPORT if shares else ""))
            site.reload()
            assert is_there(ann)
            bob.send(b"PUB foo 3\r\nown\r\n")
            heard = bob.read_line() + bob.read_line()
            if shares:
                assert heard == b"MSG foo 1 2\r\nhi\r\n"
                heard = bob.read_line() + bob.read_line()
            assert heard == b"MSG foo 1 3\r\nown\r\n"
        site.write(ACCOUNTS.format(plant="", office="").replace('account = "office"', 'account = "plant"'))
        site.reload()
        assert without_pings(bob.read_to_end()) == b""
        assert is_there(ann)


def test_device_that_is_revoked_is_closed_without_a_word_to_the_gateway(tmp_path: Path):
    site = Site(tmp_path)
    users = tmp_path / "users"
    users.mkdir()
    for name in ("ann", "bob"):
        (users / f"{name}.toml").write_text(f'name = "{name}"\npassword = "{hash_password(name.encode(), 4)}"\n')
        (users / f"{name}.toml").chmod(0o600)
    site.write(f'[authentication]\nusers-directory = "{users}"', top="watch = true")
    with site.running(), login(site.port, "ann", "ann") as ann, login(site.port, "bob", "bob") as bob:
        (users / "ann.toml").unlink()
        assert without_pings(ann.read_to_end()) == b""
        assert is_there(bob)


class Trust:
    """An operator with one account, whose token is in a directory."""

    def __init__(self, directory: Path) -> None:
        kinds = (nkeys.OPERATOR, nkeys.ACCOUNT, nkeys.USER)
        self.operator, self.account, self.user = map(nkeys.KeyPair.new, kinds)
        self.directory = directory
        directory.mkdir()
        operator = {"sub": self.operator.public, "name": "operator", "nats": {"type": "operator", "version": 2}}
        self.operator_token = jwt.encode(self.operator, operator)
        user = {"type": "user", "version": 2, "bearer_token": True, "subs": -1, "data": -1, "payload": -1}
        self.user_token = jwt.encode(self.account, {"sub": self.user.public, "name": "ann", "nats": user})
        self.save({})

    def save(self, revocations: dict[str, int]) -> None:
        limits = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1}
        account = {"type": "account", "version": 2, "limits": limits, "revocations": revocations}
        token = jwt.encode(self.operator, {"sub": self.account.public, "name": "plant", "nats": account})
        draft = self.directory / "draft"
        draft.write_text(token)
        draft.replace(self.directory / f"{self.account.public}.jwt")

    def table(self) -> str:
        return (
            f'[authentication]\noperator = "{self.operator_token}"\nresolver = {{ directory = "{self.directory}" }}\n'
        )


def test_who_is_revoked_by_the_account_is_told_and_closed(tmp_path: Path):
    trust = Trust(tmp_path / "jwt")
    site = Site(tmp_path)
    site.write(trust.table())
    with site.running(), RawPeer(("127.0.0.1", site.port)) as ann:
        ann.read_line()
        ann.send(b'CONNECT {"verbose":false,"jwt":"%b"}\r\nSUB foo 1\r\nPING\r\n' % trust.user_token.encode())
        assert ann.read_line() == b"PONG\r\n"
        assert is_there(ann)
        trust.save({trust.user.public: int(time.time()) + 5})
        assert ann.read_to_end().endswith(b"-ERR 'User Authentication Revoked'\r\n")
        site.peer.wait_for_log("reason='Credentials Revoked' detail='the JWT is revoked'")
