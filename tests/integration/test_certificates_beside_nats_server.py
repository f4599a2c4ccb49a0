"""Whom a certificate names, by nats-server and by the gateway, through TLS listeners of both: the same bytes."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.certificates import Site, listener, named
from tests.integration.peers import Peer, gateway, nats_server
from tests.integration.raw_peer import RawPeer

USERS = ("anna@example.org", "anna.example", "spiffe://example/anna", "CN=anna,OU=plant,O=Example")
# File, subject, alternative names, what CONNECT says, and whether it comes in.
CASES = {
    "email": ("CN=x", ("email:anna@example.org",), {}, True),
    "dns": ("CN=x", ("dns:anna.example",), {}, True),
    "uri": ("CN=x", ("uri:spiffe://example/anna",), {}, True),
    "subject": ("CN=anna,OU=plant,O=Example", (), {}, True),
    "reordered": ("O=Example,OU=plant,CN=anna", (), {}, True),
    "common-name-alone": ("CN=anna", (), {}, False),
    "other-email-first": ("CN=x", ("email:eve@example.org", "email:anna@example.org"), {}, True),
    "subject-and-strange-names": ("CN=anna,OU=plant,O=Example", ("dns:eve.example",), {}, True),
    "nobody": ("CN=eve", ("dns:eve.example",), {}, False),
    "claims-another": ("CN=eve", (), {"user": "anna.example"}, False),
    "claims-itself": ("CN=x", ("dns:anna.example",), {"user": "anna.example"}, True),
    "claims-nobody": ("CN=x", ("dns:anna.example",), {"user": "nobody"}, True),
    "password-where-none-is": ("CN=x", ("dns:anna.example",), {"pass": "x"}, False),
    "more-parts": ("CN=anna,OU=plant,OU=hall,O=Example", (), {}, False),
    "with-password": ("CN=x", ("dns:guarded.example",), {"pass": "in-the-tunnel"}, True),
    "with-wrong-password": ("CN=x", ("dns:guarded.example",), {"pass": "another"}, False),
    "without-its-password": ("CN=x", ("dns:guarded.example",), {}, False),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    found = Site(tmp_path_factory.mktemp("site") / "tls")
    for name, (subject, names, _, _) in CASES.items():
        named(found.directory, name, subject, *names)
    return found


@pytest.fixture(scope="module")
def servers(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    listed = "".join(f'[[users]]\nname = "{name}"\n' for name in USERS)
    listed += '[[users]]\nname = "guarded.example"\npassword = "in-the-tunnel"\n'
    theirs = ", ".join(f'{{ user: "{name}" }}' for name in USERS)
    config = f"""
    tls {{ cert_file: "{site.path("server.pem")}", key_file: "{site.path("server.key")}", timeout: 5
      ca_file: "{site.path("ca.pem")}", verify_and_map: true }}
    authorization {{ timeout: 5, users: [{theirs}, {{ user: "guarded.example", password: "in-the-tunnel" }}] }}
    """
    with (
        nats_server(tmp_path_factory.mktemp("nats"), config) as nats,
        gateway(
            tmp_path_factory.mktemp("edge"), protocols=(), config=listed + listener("nats", site.tls("map"))
        ) as ours,
    ):
        yield nats, ours


def told(server: Peer, site: Site, name: str, connect: dict[str, str]) -> bytes:
    """All that a server says to CONNECT and PING behind its INFO, until the answer or the end."""
    with RawPeer(server.address("nats")) as peer:
        peer.read_line()
        peer.start_tls(site.context(name))
        fields = {"verbose": False, "pedantic": False} | connect
        peer.send(b"CONNECT " + json.dumps(fields).encode() + b"\r\nPING\r\n")
        return peer.read_line()


@pytest.mark.parametrize("name", CASES)
def test_who_comes_in_by_a_certificate(servers: tuple[Peer, Peer], site: Site, name: str) -> None:
    _, _, connect, comes_in = CASES[name]
    theirs, ours = (told(server, site, name, connect) for server in servers)
    assert ours == (b"PONG\r\n" if comes_in else b"-ERR 'Authorization Violation'\r\n")
    assert ours == theirs
