"""Limits of JWTs, of which -1 is none and 0 lets nothing be: what a client sees of them at nats-server and here."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.jwt_peers import UNLIMITED, House, Key, jwt_maker, logged_in
from tests.integration.peers import Peer, gateway, nats_server
from tests.integration.raw_peer import nats_line

# What the account's token says, and what the user's does.
CASES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "none": ({}, {}),
    "no connections": ({"conn": 0}, {}),
    "fewer connections than none": ({"conn": -2}, {}),
    "one connection": ({"conn": 1}, {}),
    "no subscriptions of the account": ({"subs": 0}, {}),
    "no subscriptions of the user": ({}, {"subs": 0}),
    "fewer subscriptions than none": ({}, {"subs": -2}),
    "one subscription of the account": ({"subs": 1}, {}),
    "one subscription of the user": ({}, {"subs": 1}),
    "the account's subscriptions are fewer": ({"subs": 1}, {"subs": 2}),
    "the user's subscriptions are fewer": ({"subs": 2}, {"subs": 1}),
    "no subscriptions of an account whose user has one": ({"subs": 0}, {"subs": 1}),
    "nothing but empty messages of the account": ({"payload": 0}, {}),
    "nothing but empty messages of the user": ({}, {"payload": 0}),
    "nothing but empty messages of a user whose account has more": ({"payload": 2}, {"payload": 0}),
    "one byte": ({"payload": 1}, {}),
    "what nobody counts": ({"data": 0, "leaf": 0, "imports": 0, "exports": 0}, {"data": 0}),
}
STEPS = (b"SUB a 1\r\n", b"SUB b 2\r\n", b"PUB a 0\r\n\r\n", b"PUB a 1\r\nx\r\n")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Peer], dict[str, tuple[str, Key]]]]:
    directory = tmp_path_factory.mktemp("limits")
    users: dict[str, tuple[str, Key]] = {}
    with jwt_maker() as maker:
        house = House(maker)
        system = house.account("SYS")
        for name, (account, user) in CASES.items():
            key, issuer = Key("U"), house.account(name, limits=UNLIMITED | account)
            users[name] = maker("user", "ann", seed=key, issuer=issuer, claims=user), key
        with (
            nats_server(directory / "nats", house.nats_config(system.public)) as theirs,
            gateway(directory / "edge", config=house.gateway_config()) as ours,
        ):
            yield {"nats-server": theirs, "gateway": ours}, users


def told(server: Peer, token: str, key: Key) -> list[str]:
    """What a server says to the steps, each followed by a PING. A complaint that is repeated stands there once, and
    none where nobody has subscribed: nats-server may complain at any time of what it subscribes to for the connection.
    """
    heard: list[str] = []
    with logged_in(server, token, key, protocol=1) as stream:
        for step in (b"", *STEPS):
            if step:
                stream.raw._sock.sendall(step + b"PING\r\n")  # type: ignore[attr-defined]
            while (line := nats_line(stream).decode().strip()) != "PONG":
                if line.startswith("INFO"):
                    line = f"INFO {json.loads(line[5:])['max_payload']}"
                of_its_own = "subscriptions" in line and not step.startswith(b"SUB")
                if heard[-1:] != [line] and line != "PING" and not of_its_own:
                    heard.append(line)
                if line.startswith("-ERR") and "subscriptions" not in line:
                    assert stream.read() == b""
                    return heard
            heard.append("PONG")
    return heard


@pytest.mark.parametrize("name", CASES)
def test_limits_hold_as_at_nats_server(servers: tuple[dict[str, Peer], dict[str, tuple[str, Key]]], name: str) -> None:
    peers, users = servers
    theirs, ours = (told(peers[kind], *users[name]) for kind in ("nats-server", "gateway"))
    assert ours == theirs
