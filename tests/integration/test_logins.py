"""Clients that say who they are: nats-py by password, token and NKey, and what the gateway tells of them."""

import asyncio
import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import nats
import nats.errors
import nkeys
import pytest

from tests.integration.node_peers import HERE, require_node
from tests.integration.peers import Peer, gateway
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
KEY = nkeys.from_seed(SEED).public_key.decode()
# bcrypt of "wonderland", at the lowest cost.
HASH = "$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu"
CONFIG = f"""
[authentication]
token = "a-long-token"
timeout-seconds = 5
[[accounts]]
name = "plant"
max-payload-bytes = 1000
max-subscriptions = 2
[[users]]
name = "anna"
password = "{HASH}"
account = "plant"
[[users]]
name = "robot"
nkey = "{KEY}"
[[users]]
name = "neighbour"
password = "secret-of-the-neighbour"
addresses = ["10.0.0.0/8"]
[[users]]
name = "browser"
password = "in-a-page"
connection-types = ["websocket"]
[[users]]
name = "robots-only"
password = "over-tcp"
connection-types = ["nats"]
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(
        tmp_path_factory.mktemp("logins"), protocols=("nats", "websocket"), config=CONFIG, monitoring=True
    ) as peer:
        yield peer


def connections(peer: Peer, **query: str) -> list[dict]:
    question = "&".join(f"{name}={value}" for name, value in query.items())
    with urlopen(f"{peer.url('monitoring', 'http')}/connz?{question}") as answer:
        return json.load(answer)["connections"]


async def connect(peer: Peer, **options: object) -> nats.NATS:
    async def quiet(error: Exception) -> None:
        """What is refused is raised, too."""

    client = nats.NATS()
    try:
        await client.connect(
            peer.url(), allow_reconnect=False, connect_timeout=PATIENCE_SECONDS, error_cb=quiet, **options
        )
    except nats.errors.Error:
        await client.close()
        if client._transport is not None:
            client._transport.close()  # It leaves that open, and a warning is an error here.
            await client._transport.wait_closed()
        raise
    return client


def info_of(client: RawPeer) -> dict:
    return json.loads(client.read_line().removeprefix(b"INFO "))


def login(**fields: object) -> bytes:
    return b"CONNECT " + json.dumps({"verbose": False, "pedantic": False} | fields).encode() + b"\r\nPING\r\n"


def signature(nonce: str) -> str:
    return base64.urlsafe_b64encode(nkeys.from_seed(SEED).sign(nonce.encode())).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("options", "user", "account"),
    [
        ({"user": "anna", "password": "wonderland"}, "anna", "plant"),
        ({"token": "a-long-token"}, "", "$G"),
        ({"nkeys_seed_str": SEED.decode()}, "robot", "$G"),
    ],
    ids=["password", "token", "nkey"],
)
def test_client_comes_in_by_its_login(guarded: Peer, options: dict, user: str, account: str):
    async def talk() -> None:
        name = f"by {next(iter(options))}"
        client = await connect(guarded, name=name, **options)
        inbox = await client.subscribe("greetings")
        await client.publish("greetings", b"hi")
        assert (await inbox.next_msg(PATIENCE_SECONDS)).data == b"hi"
        (found,) = [one for one in connections(guarded, auth="1") if one.get("name", "") == name]
        assert (found.get("authorized_user", ""), found["account"]) == (user, account)
        (found,) = [one for one in connections(guarded) if one.get("name", "") == name]
        assert not {"authorized_user", "account"} & found.keys()
        await client.close()

    asyncio.run(talk())


@pytest.mark.parametrize(
    "options",
    [
        {"user": "anna", "password": "Wonderland"},
        {"user": "nobody", "password": "wonderland"},
        {"token": "a-long-toke"},
        {"nkeys_seed_str": nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER).decode()},
        {"user": "neighbour", "password": "secret-of-the-neighbour"},
        {},
    ],
    ids=["password", "user", "token", "nkey", "network", "nothing"],
)
def test_client_with_another_login_does_not(guarded: Peer, options: dict):
    async def talk() -> None:
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization violation"):
            await connect(guarded, **options)
        other = await connect(guarded, token="a-long-token")  # Nobody else is kept out.
        await other.close()

    asyncio.run(talk())
    for secret in ("Wonderland", "a-long-toke", "secret-of-the-neighbour"):
        assert secret not in guarded.log()


def test_refusal_is_a_line_of_the_log_that_names_no_secret(guarded: Peer):
    with RawPeer(guarded.address("nats")) as client:
        cid = info_of(client)["client_id"]
        client.send(login(user="anna", **{"pass": "tea-party"}))
        assert client.read_to_end() == b"-ERR 'Authorization Violation'\r\n"
    guarded.wait_for_log(f"cid={cid} event=refused kind=nats peer=127.0.0.1:{client.port} user='anna'")
    assert "reason='a wrong password'" in guarded.log()
    with RawPeer(guarded.address("nats")) as client:
        cid = info_of(client)["client_id"]
        client.send(login(user="hearts", auth_token="hearts"))  # As who takes a token for a user sends it.
        assert client.read_to_end() == b"-ERR 'Authorization Violation'\r\n"
    guarded.wait_for_log(f"cid={cid} event=refused")
    assert not {"tea-party", "hearts", "a-long-token", HASH} & set(guarded.log().replace("'", " ").split())


def test_signature_of_another_connections_challenge_is_worth_nothing(guarded: Peer):
    with RawPeer(guarded.address("nats")) as client, RawPeer(guarded.address("nats")) as thief:
        nonce, other = info_of(client)["nonce"], info_of(thief)["nonce"]
        assert nonce != other
        thief.send(login(nkey=KEY, sig=signature(nonce)))
        assert thief.read_to_end() == b"-ERR 'Authorization Violation'\r\n"
        client.send(login(nkey=KEY, sig=signature(nonce)))
        assert client.read_line() == b"PONG\r\n"


def test_challenge_is_answered_once(guarded: Peer):
    with RawPeer(guarded.address("nats")) as client:
        nonce = info_of(client)["nonce"]
        client.send(login(nkey=KEY, sig=signature(nonce)))
        assert client.read_line() == b"PONG\r\n"
        client.send(login(nkey=KEY, sig=signature(nonce)))
        assert client.read_to_end() == b"-ERR 'Authorization Violation'\r\n"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_signature_may_be_in_either_alphabet_and_padded(guarded: Peer, encode):
    with RawPeer(guarded.address("nats")) as client:
        signed = nkeys.from_seed(SEED).sign(info_of(client)["nonce"].encode())
        client.send(login(nkey=KEY, sig=encode(signed).decode()))
        assert client.read_line() == b"PONG\r\n"


def test_limits_of_the_account_are_told_and_hold(guarded: Peer):
    with RawPeer(guarded.address("nats")) as client:
        assert info_of(client)["max_payload"] == 1 << 20
        client.send(login(user="anna", protocol=1, **{"pass": "wonderland"}))
        assert client.read_line() == b"PONG\r\n"
        told = info_of(client)
        assert (told["max_payload"], told["remote_account"]) == (1000, "plant")
        client.send(b"SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nPUB a 1000\r\n" + bytes(1000) + b"\r\n")
        assert client.read_line() == b"-ERR 'maximum subscriptions exceeded'\r\n"
        assert client.read_line() == b"MSG a 1 1000\r\n"
        client.read(1002)
        client.send(b"PUB a 1001\r\n")
        assert client.read_to_end() == b"-ERR 'Maximum Payload Violation'\r\n"


@pytest.mark.parametrize(
    ("said", "user"),
    [
        ({"user": "anna", "pass": "wonderland"}, "anna"),
        ({"user": "browser", "pass": "in-a-page"}, "browser"),
        ({"token": "a-long-token"}, ""),
        ({"seed": SEED.decode()}, "robot"),
        ({"user": "anna", "pass": "Wonderland"}, None),
        ({"token": "a-long-toke"}, None),
        ({"seed": nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER).decode()}, None),
        ({"user": "robots-only", "pass": "over-tcp"}, None),
    ],
    ids=["password", "type", "token", "nkey", "wrong password", "wrong token", "wrong nkey", "wrong type"],
)
def test_nats_js_comes_in_by_its_login(guarded: Peer, said: dict, user: str | None):
    program = require_node("ws", "@nats-io/nats-core")
    url = guarded.url("websocket", "ws")
    script = str(HERE / "node" / "nats_login.mjs")
    told = subprocess.run(
        [program, script, url, json.dumps(said)], capture_output=True, timeout=PATIENCE_SECONDS, check=True
    )
    answer = json.loads(told.stdout)
    if user is None:
        assert "authorization violation" in answer["error"].lower()
    else:
        assert answer == {"result": user}


def test_client_is_told_who_it_is(guarded: Peer):
    async def ask() -> None:
        client = await connect(guarded, user="anna", password="wonderland")
        answer = json.loads((await client.request("$SYS.REQ.USER.INFO", b"", PATIENCE_SECONDS)).data)
        assert (answer["data"]["user"], answer["data"]["account"]) == ("anna", "plant")
        await client.close()

    asyncio.run(ask())


def test_who_guesses_is_slowed_and_who_knows_comes_in(tmp_path: Path):
    with gateway(tmp_path, config='[[users]]\nname = "anna"\npassword = "wonderland"\n') as peer:
        with RawPeer(peer.address("nats")) as client:
            client.send(login(user="anna", **{"pass": "wonderland"}))
            client.read_through(b"PONG\r\n")
        for number in range(30):
            with RawPeer(peer.address("nats")) as client:
                client.send(login(user=f"user-{number}", **{"pass": "wrong"}))
                assert client.read_to_end().endswith(b"-ERR 'Authorization Violation'\r\n")
        with RawPeer(peer.address("nats")) as client:
            client.send(login(user="anna", **{"pass": "wonderland"}))
            client.read_through(b"PONG\r\n")
        assert "reason='too many failures before it'" in peer.log()
