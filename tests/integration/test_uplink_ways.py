"""Ways to a hub: by WebSocket, through HTTP proxies, with every login, to real nats-servers."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.certificates import Site
from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    answer_with,
    clients,
    run,
    settled_both_ways,
)
from tests.integration.peers import Peer, free_port, gateway, missing_peer, nats_server, running, uplink


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Peer]:
    """A hub that takes leafnodes on its own port; and by WebSocket with TLS, as on 443."""
    port = free_port()
    files = f'cert_file: "{site.path("server.pem")}", key_file: "{site.path("server.key")}"'
    config = f'server_name: hub\nwebsocket {{ listen: "127.0.0.1:{port}", tls {{ {files} }} }}\n'
    with nats_server(tmp_path_factory.mktemp("hub"), config, leafnodes=LEAF_AUTHORIZATION) as peer:
        peer.ports["wss"] = port
        yield peer


@contextmanager
def http_proxy(directory: Path, *arguments: str, port: int | None = None) -> Iterator[Peer]:
    """proxy.py, which takes CONNECT."""
    if not (Path(sys.executable).parent / "proxy").exists():
        missing_peer("proxy.py is not installed (PyPI: proxy.py)")
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port() if port is None else port
    command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1"]
    peer = Peer("proxy", directory, [*command, "--num-acceptors", "1", *arguments], {"http": port})
    peer.start()
    with running(peer):
        peer.wait_ports()
        yield peer


def traffic_crosses(hub: Peer, edge: Peer) -> None:
    async def test() -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            await at_hub.subscribe("echo", cb=answer_with(b"hub "))
            inbox = await at_edge.subscribe("down")
            await settled_both_ways(at_hub, at_edge)
            for size in (0, 100, 70_000, 500_000):
                payload = b"x" * size
                assert (await at_edge.request("echo", payload, PATIENCE_SECONDS)).data == b"hub " + payload
                await at_hub.publish("down", payload)
                assert (await inbox.next_msg(PATIENCE_SECONDS)).data == payload

    run(test)


def trusting(site: Site) -> str:
    return f"tls = {{ ca = {json.dumps(site.path('ca.pem'))} }}\n"


def test_a_link_inside_a_websocket_with_tls(hub: Peer, site: Site, tmp_path: Path) -> None:
    config = uplink(f"wss://leaf:secret@localhost:{hub.ports['wss']}", **IMPATIENT) + trusting(site)
    with gateway(tmp_path, config=config) as edge:
        edge.wait_for_log(LINK_UP)
        assert "kind=leafnode-websocket" in edge.log()
        traffic_crosses(hub, edge)
        hub.wait_for_log("Leafnode connection created")


def test_a_link_inside_a_plain_websocket(tmp_path: Path) -> None:
    port = free_port()
    config = f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}\n'
    with (
        nats_server(tmp_path / "hub", config, leafnodes=LEAF_AUTHORIZATION) as hub,
        gateway(tmp_path / "edge", config=uplink(f"ws://leaf:secret@127.0.0.1:{port}", **IMPATIENT)) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        traffic_crosses(hub, edge)
        hub.kill()
        edge.wait_for_log("event=down")


def test_what_is_no_websocket_is_said_and_asked_again(hub: Peer, tmp_path: Path) -> None:
    config = uplink(f"ws://leaf:secret@127.0.0.1:{hub.ports['nats']}", **IMPATIENT)
    with gateway(tmp_path, config=config) as edge:
        edge.wait_for_log("the server does not speak HTTP", count=2)


def test_a_websocket_without_leafnodes_behind_it_is_no_hub(tmp_path: Path) -> None:
    port = free_port()
    config = f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}\n'
    with (
        nats_server(tmp_path / "hub", config),
        gateway(tmp_path / "edge", config=uplink(f"ws://127.0.0.1:{port}", **IMPATIENT)) as edge,
    ):
        edge.wait_for_log("event=down", count=2)
        assert LINK_UP not in edge.log()


def test_links_go_through_a_proxy_that_asks_for_a_login(hub: Peer, site: Site, tmp_path: Path) -> None:
    with http_proxy(tmp_path / "proxy", "--basic-auth", "site:pr0xy") as proxy:
        here = f"127.0.0.1:{proxy.ports['http']}"
        for number, (url, more) in enumerate(
            (
                (f"wss://leaf:secret@localhost:{hub.ports['wss']}", trusting(site)),
                (f"nats-leaf://leaf:secret@127.0.0.1:{hub.ports['leafnode']}", ""),
            )
        ):
            config = uplink(url, proxy=f"http://site:pr0xy@{here}", **IMPATIENT) + more
            with gateway(tmp_path / f"edge-{number}", config=config) as edge:
                edge.wait_for_log(LINK_UP)
                assert f"peer={here}" in edge.log()
                traffic_crosses(hub, edge)
                assert "pr0xy" not in edge.log()
        config = uplink(url, proxy=f"http://site:wrong-1@{here}", **IMPATIENT)
        with gateway(tmp_path / "stranger", config=config) as edge:
            edge.wait_for_log("refuses the connection: 407", count=2)
            assert "wrong-1" not in edge.log()


@pytest.mark.parametrize(
    ("authorization", "keys"),
    [
        ("authorization { token: s3cret }", {"token": "s3cret"}),
        ("authorization { user: edge, password: s3cret }", {"user": "edge", "password": "s3cret"}),
    ],
    ids=["token", "password"],
)
def test_logins_that_stand_in_keys(authorization: str, keys: dict[str, str], tmp_path: Path) -> None:
    with nats_server(tmp_path / "hub", authorization, leafnodes="") as hub:
        url = f"nats-leaf://127.0.0.1:{hub.ports['leafnode']}"
        with gateway(tmp_path / "edge", config=uplink(url, **keys, **IMPATIENT)) as edge:
            edge.wait_for_log(LINK_UP)
            assert "s3cret" not in edge.log()
        wrong = keys | {key: "wrong-1" for key in ("token", "password") if key in keys}
        with gateway(tmp_path / "stranger", config=uplink(url, **wrong, **IMPATIENT)) as edge:
            edge.wait_for_log("Authorization Violation", count=2)
            assert "wrong-1" not in edge.log()
