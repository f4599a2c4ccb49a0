"""Uplinks inside TLS, to a real nats-server: upgrade after INFO, at once, with certificates on both sides."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.command.certificates import make_authority
from tests.integration.certificates import Site
from tests.integration.leafnode_pair import LINK_UP, client, interest_settled
from tests.integration.peers import Peer, gateway, nats_server, uplink
from tests.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


@contextmanager
def hub_in_tls(site: Site, directory: Path, more: str = "") -> Iterator[Peer]:
    files = f'cert_file: "{site.path("server.pem")}", key_file: "{site.path("server.key")}"'
    with nats_server(directory, leafnodes=f'tls {{ {files}, ca_file: "{site.path("ca.pem")}" {more} }}') as hub:
        yield hub


def link(hub: Peer, site: Site, scheme: str = "tls", **tls: object) -> str:
    values = {"ca": site.path("ca.pem")} | tls
    table = ", ".join(
        f"{key.replace('_', '-')} = {'true' if value is True else repr(value)}" for key, value in values.items()
    )
    return (
        uplink(f"{scheme}://localhost:{hub.ports['leafnode']}", reconnect_min_seconds=0.05) + f"tls = {{ {table} }}\n"
    )


async def messages_pass(hub: Peer, edge: Peer) -> None:
    async with client(hub) as above, client(edge) as below:
        inbox = await below.subscribe("down")
        await below.flush()
        await interest_settled(above, below)
        for payload in (b"hello", b"x" * 500_000):
            await above.publish("down", payload)
            assert (await inbox.next_msg(PATIENCE_SECONDS)).data == payload


@pytest.mark.parametrize("scheme", ["tls", "nats-leaf"])
@pytest.mark.parametrize(
    ("hub_says", "edge_says"),
    [
        ("", {}),
        (", handshake_first: true", {"handshake_first": True}),
        (", verify: true", {"certificate": "sensor1.pem", "key": "sensor1.key"}),
    ],
    ids=["upgrade", "handshake-first", "mutual"],
)
def test_link_comes_up(site: Site, tmp_path: Path, scheme: str, hub_says: str, edge_says: dict[str, object]) -> None:
    said = {key: site.path(value) if isinstance(value, str) else value for key, value in edge_says.items()}
    with (
        hub_in_tls(site, tmp_path / "hub", hub_says) as hub,
        gateway(tmp_path / "edge", config=link(hub, site, scheme, **said)) as edge,
    ):
        edge.wait_for_log(LINK_UP)
        asyncio.run(messages_pass(hub, edge))


def test_a_hub_that_is_not_known_gets_nothing(site: Site, tmp_path: Path) -> None:
    make_authority(tmp_path / "other", "other authority")
    with hub_in_tls(site, tmp_path / "hub") as hub:
        config = link(hub, site, ca=str(tmp_path / "other" / "ca.pem"))
        with gateway(tmp_path / "edge", config=config) as edge:
            edge.wait_for_log("self-signed certificate in certificate chain")
            assert LINK_UP not in edge.log()


def test_a_hub_of_another_name_gets_nothing(site: Site, tmp_path: Path) -> None:
    with (
        hub_in_tls(site, tmp_path / "hub") as hub,
        gateway(tmp_path / "edge", config=link(hub, site, server_name="hub.example")) as edge,
    ):
        edge.wait_for_log("Hostname mismatch")
        assert LINK_UP not in edge.log()


def test_the_machines_authorities_do_not_know_a_sites_hub(site: Site, tmp_path: Path) -> None:
    with (
        hub_in_tls(site, tmp_path / "hub") as hub,
        gateway(tmp_path / "edge", config=uplink(f"nats-leaf://localhost:{hub.ports['leafnode']}")) as edge,
    ):
        edge.wait_for_log("event=down reason='TLS Handshake Failure'")
        assert LINK_UP not in edge.log()


def test_a_hub_without_tls_is_told_no_password(site: Site, tmp_path: Path) -> None:
    with (
        nats_server(tmp_path / "hub", leafnodes="") as hub,
        gateway(tmp_path / "edge", config=uplink(f"tls://a:secret@localhost:{hub.ports['leafnode']}")) as edge,
    ):
        edge.wait_for_log("the hub does not speak TLS")
        assert LINK_UP not in edge.log()


def test_a_hub_that_wants_a_certificate_says_so(site: Site, tmp_path: Path) -> None:
    with (
        hub_in_tls(site, tmp_path / "hub", ", verify: true") as hub,
        gateway(tmp_path / "edge", config=link(hub, site)) as edge,
    ):
        edge.wait_for_log("event=down")
        assert "certificate" in edge.log().partition("event=down")[2]
