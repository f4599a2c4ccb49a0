"""Auth callout: one service, written with nats-py and PyPI's nkeys, says who peers are, to nats-server and to us."""

import asyncio
import base64
import binascii
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nacl.public import Box, PrivateKey, PublicKey
from nats.aio.msg import Msg

from tests.integration.jwt_peers import House, Key, Maker, jwt_maker, log_in
from tests.integration.leafnode_pair import PATIENCE_SECONDS, ignore_error, run
from tests.integration.peers import Peer, gateway, nats_server
from tests.integration.raw_peer import nats_line

REFUSED = "-ERR 'Authorization Violation'"
IN = "PONG"
# What servers give a client to log in, and a service to answer meanwhile.
LOGIN_SECONDS = 20
UNLIMITED = {"subs": -1, "data": -1, "payload": -1}
SUBJECT = "$SYS.REQ.USER.AUTH"
# Whom both know by its key: so they challenge everybody.
SIGNER = Key("U")


def encode(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def token(signer: Key, claims: dict[str, Any]) -> str:
    claims = {"iat": int(time.time()), "iss": signer.public, "jti": "x", **claims}
    signed = f"{encode({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{encode(claims)}"
    return f"{signed}.{signer.sign(signed.encode())}"


def claims_of(text: str) -> dict[str, Any]:
    chunk = text.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(chunk + "=" * (-len(chunk) % 4)))
    return claims


class Service:
    """Answers what `decide` says of a request's claims: an account, an error, or whole claims of an answer."""

    def __init__(self, issuer: Key) -> None:
        self.issuer = issuer
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str] | None] = []
        self.user: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}
        self.error = ""
        self.silent = False
        self.curve: PrivateKey | None = None

    def user_token(self, request: dict[str, Any]) -> str:
        inner = {"type": "user", "version": 2, **UNLIMITED, **self.user.get("nats", {})}
        outer = {key: value for key, value in self.user.items() if key not in ("nats", "signer")}
        claims = {"sub": request["nats"]["user_nkey"], "aud": "APP", "name": "ann", **outer, "nats": inner}
        return token(self.user.get("signer", self.issuer), claims)

    async def serve(self, message: Msg) -> None:
        data = message.data
        self.headers.append(message.headers)
        server_key = b""
        if self.curve is not None:
            server_key = base64.b32decode(message.headers["Nats-Server-Xkey"])[1:33]
            assert data[:4] == b"xkv1"
            data = Box(self.curve, PublicKey(server_key)).decrypt(data[4:])
        request = claims_of(data.decode())
        self.requests.append(request)
        if self.silent:
            return
        inner = {"type": "authorization_response", "version": 2}
        inner |= {"error": self.error} if self.error else {"jwt": self.user_token(request)}
        claims = {"sub": request["nats"]["user_nkey"], "aud": request["nats"]["server_id"]["id"], "nats": inner}
        told = token(self.issuer, claims | self.answer).encode()
        if self.curve is not None:
            told = b"xkv1" + bytes(Box(self.curve, PublicKey(server_key)).encrypt(told))
        await message.respond(told)


def curve_text(key: PrivateKey) -> str:
    """The public key of a curve key as NATS writes it."""
    raw = bytes([23 << 3]) + bytes(key.public_key)
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


@contextmanager
def servers(
    directory: Path, issuer: Key, xkey: str = "", only_app: bool = False, seconds: int = LOGIN_SECONDS
) -> Iterator[list[Peer]]:
    """Both, with an account AUTH where the service is, an account APP, and one that is not left to the service."""
    more = 'allowed_accounts: ["APP"] ' if only_app else ""
    more += f"xkey: {xkey}" if xkey else ""
    theirs = f"""
    accounts {{
      AUTH {{ users: [ {{ user: auth, password: secret }} ] }}
      APP {{ users: [ {{ user: known, password: secret }} ] }}
      OWN {{ users: [ {{ user: own, password: secret }}, {{ nkey: {SIGNER.public} }} ] }}
      SYS {{}}
    }}
    system_account: SYS
    authorization {{
      timeout: {seconds}
      auth_callout {{ issuer: {issuer.public}, account: AUTH, auth_users: [ auth ], {more} }}
    }}
    """
    ours = f"""
    [authentication]
    timeout-seconds = {seconds}
    system-account = "SYS"
    [authentication.callout]
    issuer = "{issuer.public}"
    account = "AUTH"
    users = ["auth"]
    xkey = "{xkey}"
    allowed-accounts = {'["APP"]' if only_app else "[]"}
    """
    for name in ("AUTH", "APP", "OWN", "SYS"):
        ours += f'[[accounts]]\nname = "{name}"\n'
    for name, account in (("auth", "AUTH"), ("known", "APP"), ("own", "OWN")):
        ours += f'[[users]]\nname = "{name}"\npassword = "secret"\naccount = "{account}"\n'
    ours += f'[[users]]\nnkey = "{SIGNER.public}"\naccount = "OWN"\n'
    with nats_server(directory / "nats", theirs) as other, gateway(directory / "edge", config=ours) as edge:
        yield [other, edge]


async def asked(server: Peer, service: Service, act: Callable[[], Any]) -> Any:
    """What comes of something that blocks, while the service is there."""
    connection = await nats.connect(
        server.url(), user="auth", password="secret", allow_reconnect=False, error_cb=ignore_error
    )
    try:
        await connection.subscribe(SUBJECT, cb=service.serve)
        await connection.flush()
        return await asyncio.to_thread(act)
    finally:
        await connection.close()


def login(server: Peer, user: str = "ann", password: str = "pw", **more: Any) -> str:
    return log_in(server, "", None, **{"user": user, "pass": password, **more})


@pytest.fixture(scope="module")
def issuer() -> Key:
    return Key("A")


@pytest.fixture(scope="module")
def both(issuer: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    with servers(tmp_path_factory.mktemp("callout"), issuer) as peers:
        yield peers


@pytest.fixture(scope="module")
def hasty(issuer: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    """Both, where whoever waits in vain does not do so for long."""
    with servers(tmp_path_factory.mktemp("hasty"), issuer, seconds=1) as peers:
        yield peers


def at_both(
    both: list[Peer], issuer: Key, act: Callable[[Peer], Any], **settings: Any
) -> tuple[list[Any], list[Service]]:
    """What comes of the same at both, each with a service of its own of these `settings`."""
    services = [Service(issuer) for _ in both]

    async def test() -> None:
        for server, service in zip(both, services, strict=True):
            for name, value in settings.items():
                setattr(service, name, value)
            ends.append(await asked(server, service, lambda server=server: act(server)))

    ends: list[Any] = []
    run(test)
    return ends, services


def comparable(request: dict[str, Any]) -> dict[str, Any]:
    """A request without what is another one each time."""
    body = dict(request["nats"])
    server, client, options = dict(body["server_id"]), dict(body["client_info"]), dict(body["connect_opts"])
    for fields, names in ((server, ("id", "name")), (client, ("id",))):
        for name in names:
            assert fields.pop(name)
    if "nonce" in client:
        client["nonce"] = len(client["nonce"])
    body |= {"server_id": server, "client_info": client, "connect_opts": options, "user_nkey": body["user_nkey"][0]}
    return {"aud": request["aud"], "sub": request["sub"], "nats": body}


LOGINS: dict[str, dict[str, Any]] = {
    "a password": {"user": "ann", "pass": "pw", "name": "n", "lang": "python", "version": "1.0"},
    "a token": {"auth_token": "t0ken"},
    "nothing": {"protocol": 0},
    "a user of ours": {"user": "known", "pass": "secret"},
    "an nkey": {"nkey": SIGNER.public, "sig": "AAAA"},
}


@pytest.mark.parametrize("name", LOGINS)
def test_the_service_is_asked_in_the_words_of_nats_server(name: str, both: list[Peer], issuer: Key) -> None:
    ends, services = at_both(both, issuer, lambda server: log_in(server, "", None, **LOGINS[name]))
    assert ends == [IN, IN]
    theirs, ours = (comparable(service.requests[0]) for service in services)
    assert ours == theirs
    for service in services:
        request = service.requests[0]
        assert request["iss"] == request["nats"]["server_id"]["id"]
        assert 0 < request["exp"] - request["iat"] <= LOGIN_SECONDS + 1


ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "the user": (IN, {}),
    "an error": (REFUSED, {"error": "secret reason"}),
    "nothing": (REFUSED, {"silent": True}),
    "a user of another issuer": (REFUSED, {"user": {"signer": Key("A")}}),
    "another user": (REFUSED, {"user": {"sub": Key("U").public}}),
    "a user of no account": (REFUSED, {"user": {"aud": "NONE"}}),
    "a user that expired": (REFUSED, {"user": {"exp": 5}}),
    "a user of a signing key": (REFUSED, {"user": {"nats": {"issuer_account": Key("A").public}}}),
    "an answer for another request": (REFUSED, {"answer": {"sub": Key("U").public}}),
    "an answer for another server": (REFUSED, {"answer": {"aud": Key("A").public}}),
    "an answer that expired": (REFUSED, {"answer": {"exp": 5}}),
    "a user with damaged permissions": (REFUSED, {"user": {"nats": {"pub": {"allow": ["a..b"]}}}}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_decides_as_at_nats_server(name: str, issuer: Key, request: pytest.FixtureRequest) -> None:
    expected, settings = ANSWERS[name]
    both: list[Peer] = request.getfixturevalue("hasty" if settings.get("silent") else "both")
    ends, _ = at_both(both, issuer, login, **settings)
    # A client that waited in vain hears of it from both, in other words where its time to log in was over first.
    assert [end if end != "-ERR 'Authentication Timeout'" else REFUSED for end in ends] == [expected] * 2
    assert "eyJ" not in both[1].log()


def test_without_a_service_nobody_comes_in_but_who_is_not_asked_about(hasty: list[Peer]) -> None:
    for server in hasty:
        assert login(server, "auth", "secret") == IN
        assert login(server, "auth", "wrong") == REFUSED
        assert login(server) in (REFUSED, "-ERR 'Authentication Timeout'")


def test_who_the_service_names_has_the_account_and_rights_that_it_says(both: list[Peer], issuer: Key) -> None:
    def act(server: Peer) -> list[str]:
        with (
            socket.create_connection(server.address("nats"), timeout=PATIENCE_SECONDS) as sock,
            sock.makefile("rb") as stream,
        ):
            nats_line(stream)
            connect = {"verbose": False, "pedantic": False, "protocol": 0, "user": "x", "pass": "y"}
            sock.sendall(b"CONNECT " + json.dumps(connect).encode() + b"\r\nPUB no 0\r\n\r\nPUB yes 0\r\n\r\nPING\r\n")
            return [nats_line(stream).decode().strip() for _ in range(2)]

    ends, _ = at_both(both, issuer, act, user={"nats": {"pub": {"allow": ["yes"]}}})
    assert ends == [["-ERR 'Permissions Violation for Publish to \"no\"'", IN]] * 2


def test_nobody_in_the_service_s_account_asks_it(both: list[Peer], issuer: Key) -> None:
    def act(server: Peer) -> str:
        with (
            socket.create_connection(server.address("nats"), timeout=PATIENCE_SECONDS) as sock,
            sock.makefile("rb") as stream,
        ):
            nats_line(stream)
            connect = {"verbose": False, "pedantic": False, "user": "x", "pass": "y"}
            sock.sendall(b"CONNECT " + json.dumps(connect).encode() + f"\r\nPUB {SUBJECT} 0\r\n\r\nPING\r\n".encode())
            return nats_line(stream).decode().strip()

    ends, _ = at_both(both, issuer, act, user={"aud": "AUTH"})
    assert ends == [f"-ERR 'Permissions Violation for Publish to \"{SUBJECT}\"'"] * 2


def test_requests_and_answers_are_sealed_where_the_service_has_a_key(issuer: Key, tmp_path: Path) -> None:
    curve = PrivateKey.generate()
    with servers(tmp_path, issuer, xkey=curve_text(curve)) as both:
        ends, services = at_both(both, issuer, login, curve=curve)
        assert ends == [IN, IN]
        theirs, ours = (dict(service.requests[0]["nats"]["server_id"]) for service in services)
        for service in services:
            headers = service.headers[0]
            assert headers is not None
            assert headers["Nats-Server-Xkey"] == service.requests[0]["nats"]["server_id"]["xkey"]
        assert theirs.keys() == ours.keys()


def test_users_of_other_accounts_are_not_left_to_the_service(issuer: Key, tmp_path: Path) -> None:
    with servers(tmp_path, issuer, only_app=True) as both:
        ends, services = at_both(both, issuer, lambda server: login(server, "own", "secret"))
        assert ends == [IN, IN]
        assert [service.requests for service in services] == [[], []]
        ends, services = at_both(both, issuer, lambda server: login(server, "known", "secret"))
        assert ends == [IN, IN]
        assert [len(service.requests) for service in services] == [1, 1]


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with jwt_maker() as make:
        yield make


def test_an_account_of_an_operator_has_a_service_of_its_own(maker: Maker, tmp_path: Path) -> None:
    house = House(maker)
    service_key, sentinel, account, app = Key("U"), Key("U"), Key("A"), Key("A")
    house.account("app", key=app)
    system = house.account("SYS")  # Without one nats-server cannot ask.
    house.account(
        "auth", key=account, authorization={"auth_users": [service_key.public], "allowed_accounts": [app.public]}
    )
    creds = tmp_path / "service.creds"
    creds.write_text(maker.credentials(maker("user", "service", seed=service_key, issuer=account), service_key))
    guest = maker("user", "guest", seed=sentinel, issuer=account, claims={"bearer_token": True})
    ends: list[list[str]] = []

    async def test(server: Peer) -> list[str]:
        connection = await nats.connect(
            server.url(), user_credentials=str(creds), allow_reconnect=False, error_cb=ignore_error
        )
        service = Service(account)
        await connection.subscribe(SUBJECT, cb=service.serve)
        await connection.flush()
        told = []
        for signer in (app, account, Key("A")):
            service.user = {"signer": signer, "aud": ""}
            told.append(await asyncio.to_thread(log_in, server, guest, None))
        assert service.requests[0]["sub"] == account.public
        assert service.requests[0]["nats"]["connect_opts"]["jwt"] == guest
        await connection.close()
        return told

    async def everywhere() -> None:
        ends.extend([await asyncio.wait_for(test(server), 2 * PATIENCE_SECONDS) for server in (theirs, ours)])

    with (
        nats_server(tmp_path / "nats", house.nats_config(system.public)) as theirs,
        gateway(tmp_path / "edge", config=house.gateway_config()) as ours,
    ):
        run(everywhere)
    assert ends == [[IN, IN, REFUSED]] * 2


def test_service_of_the_configuration_comes_and_goes_at_run_time(issuer: Key, tmp_path: Path) -> None:
    users = '[[accounts]]\nname = "APP"\n[[users]]\nname = "auth"\npassword = "secret"\n'
    callout = f'[authentication.callout]\nissuer = "{issuer.public}"\nusers = ["auth"]\n'
    with gateway(tmp_path / "edge", config=users) as edge:
        file = edge.directory / "leafgate.toml"
        before = file.read_text()

        async def test() -> None:
            service = Service(issuer)

            def reload(text: str, count: int) -> str:
                file.write_text(text)
                edge.send_signal(signal.SIGHUP)
                edge.wait_for_log("event=reloaded changed='authentication'", count=count)
                return login(edge)

            assert await asked(edge, service, lambda: login(edge)) == REFUSED
            assert service.requests == []
            assert await asked(edge, service, lambda: reload(before + callout, 1)) == IN
            assert len(service.requests) == 1
            # Of another issuer.
            other = callout.replace(issuer.public, Key("A").public)
            assert await asked(edge, service, lambda: reload(before + other, 2)) == REFUSED
            assert len(service.requests) == 2
            assert await asked(edge, service, lambda: reload(before, 3)) == REFUSED
            assert len(service.requests) == 2

        run(test)
