"""Bounds of a link: what does not pass it, and paths that swallow everything without a word."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    client,
    clients,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.peers import Peer, gateway, nats_server, uplink


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("hub")
    with nats_server(directory, "server_name: hub\n", leafnodes=LEAF_AUTHORIZATION) as peer:
        yield peer


def waiting(subscription: Any) -> list[str]:
    """The subjects of what has arrived and nobody took."""
    queue = subscription._pending_queue
    return [queue.get_nowait().subject for _ in range(queue.qsize())]


def test_denied_subjects_pass_in_neither_direction_and_cost_no_link(hub: Peer, tmp_path: Path) -> None:
    config = uplink(leaf_url(hub), deny_imports=["in.secret", "cmd.>"], deny_exports=["out.secret"], **IMPATIENT)

    async def test(edge: Peer) -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            down = [await at_edge.subscribe(subject) for subject in ("in.secret", "cmd.go", "cmd.*", ">")]
            up = await at_hub.subscribe("out.>")
            await settled_both_ways(at_hub, at_edge)
            for subject in ("in.secret", "cmd.go", "in.open"):
                await at_hub.publish(subject, b"")
            for subject in ("out.secret", "out.open"):
                await at_edge.publish(subject, b"")
            await settled_both_ways(at_hub, at_edge)
            assert [[name for name in waiting(one) if name.startswith(("in.", "cmd."))] for one in down] == [
                [],
                [],
                [],
                ["in.open"],
            ]
            assert waiting(up) == ["out.open"]
            assert "event=down" not in edge.log()

    with gateway(tmp_path, config=config) as edge:
        edge.wait_for_log(LINK_UP)
        run(lambda: test(edge))
        hub.wait_for_log("Leafnode connection created")


def test_an_isolated_link_is_told_nothing_of_other_leafnodes(hub: Peer, tmp_path: Path) -> None:
    async def test(alone: Peer, other: Peer) -> None:
        async with clients(hub, alone, other) as (at_hub, at_alone, at_other):
            inbox, clients_inbox = await at_other.subscribe("wide"), await at_hub.subscribe("near")
            await settled_both_ways(at_hub, at_alone)
            await settled_both_ways(at_hub, at_other)
            await at_alone.publish("wide", b"")
            await at_alone.publish("near", b"")
            await clients_inbox.next_msg(PATIENCE_SECONDS)
            await settled_both_ways(at_hub, at_other)
            assert waiting(inbox) == []
            await at_hub.publish("wide", b"")
            await inbox.next_msg(PATIENCE_SECONDS)

    with (
        gateway(tmp_path / "alone", name="alone", config=uplink(leaf_url(hub), isolate=True, **IMPATIENT)) as alone,
        gateway(tmp_path / "other", name="other", config=uplink(leaf_url(hub), **IMPATIENT)) as other,
    ):
        alone.wait_for_log(LINK_UP)
        other.wait_for_log(LINK_UP)
        run(lambda: test(alone, other))


class SwallowingPath:
    """A path to a server that swallows everything once it is told to, and says nothing: no FIN, no RST."""

    def __init__(self, port: int) -> None:
        self._there = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._swallows = threading.Event()
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """From now on, on the connections that there are; the next ones work."""
        self._swallows.set()
        self._swallows = threading.Event()

    def close(self) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(self._there)
                self._sockets += [here, there]
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=(source, target, self._swallows), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, swallows: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not swallows.is_set():
                    target.sendall(data)
            if not swallows.is_set():
                target.shutdown(socket.SHUT_WR)


@contextmanager
def dead_path(port: int) -> Iterator[SwallowingPath]:
    path = SwallowingPath(port)
    try:
        yield path
    finally:
        path.close()


def test_a_path_that_swallows_everything_is_noticed_and_another_taken(hub: Peer, tmp_path: Path) -> None:
    async def traffic(edge: Peer) -> None:
        async with clients(hub, edge) as (at_hub, at_edge):
            await settled_both_ways(at_hub, at_edge)

    with dead_path(hub.ports["leafnode"]) as path:
        config = uplink(
            f"nats-leaf://leaf:secret@127.0.0.1:{path.port}",
            ping_interval_seconds=0.3,
            ignore_discovered_servers=True,
            **IMPATIENT,
        )
        with gateway(tmp_path, name="mobile", config=config, monitoring=True) as edge:
            edge.wait_for_log(LINK_UP)
            run(lambda: traffic(edge))
            path.swallow()
            edge.wait_for_log("event=down reason='Stale Connection'")
            edge.wait_for_log(LINK_UP, count=2)
            run(lambda: traffic(edge))


def test_a_hub_that_takes_calls_and_says_nothing_is_given_up_and_called_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"nats-leaf://127.0.0.1:{mute.getsockname()[1]}"
        for number, given in enumerate((url, url.replace("nats-leaf", "ws"))):
            config = uplink(given, handshake_timeout_seconds=0.2, **IMPATIENT)
            with gateway(tmp_path / str(number), config=config) as edge:
                edge.wait_for_log("event=down reason='Authentication Timeout'", count=3)


def test_credentials_of_a_proxy_that_is_no_proxy_stay_secret(hub: Peer, tmp_path: Path) -> None:
    """What answers as something else than a proxy is told of, and asked again."""
    config = uplink(leaf_url(hub), proxy=f"http://a:pr0xy@127.0.0.1:{hub.ports['nats']}", **IMPATIENT)
    with gateway(tmp_path, config=config) as edge:
        edge.wait_for_log("event=dial-failed", count=3)
        assert "pr0xy" not in edge.log()


def test_an_account_that_a_reload_adds_has_its_link(hub: Peer, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        async with client(hub) as at_hub, client(edge, user="late", password="pw") as at_edge:
            await settled_both_ways(at_hub, at_edge)

    with gateway(tmp_path, config='[[users]]\nname = "first"\npassword = "pw"\n') as edge:
        file = tmp_path / "leafgate.toml"
        late = '[[accounts]]\nname = "late"\n[[users]]\nname = "late"\npassword = "pw"\naccount = "late"\n'
        file.write_text(file.read_text() + late + uplink(leaf_url(hub), account="late", **IMPATIENT))
        edge.wait_for_log("event=reloaded")
        edge.wait_for_log(LINK_UP)
        run(lambda: test(edge))
