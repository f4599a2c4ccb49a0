"""nats-top and prometheus-nats-exporter, made for nats-server, read the gateway as they read that."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.integration.peers import Peer, free_port, gateway, nats_server, require_peer, running, wait_until
from tests.integration.raw_peer import RawPeer
from tests.integration.test_prometheus import make_streams

pytestmark = pytest.mark.one_form

SECONDS = 60
# Every page that the exporter knows.
PAGES = (
    *("-varz", "-connz_detailed", "-subz", "-leafz", "-accountz", "-accstatz", "-healthz", "-routez", "-gatewayz"),
    *("-jsz", "all"),
)
# It asks so soon again where nobody answered.
RETRY = ("-ri", "1")
# nats-server's own queue before its disk; and that it tells how long a handshake may take where there is no TLS.
ITS_OWN = ("gnatsd_varz_disk_io_wait_stats_", "gnatsd_varz_tls_timeout")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Peer]]:
    """The gateway and a nats-server, each with a stream that is read and a client called `busy`."""
    place = tmp_path_factory.mktemp("servers")
    port = free_port()
    config = f'http: "127.0.0.1:{port}"\nserver_name: edge\njetstream {{ store_dir: "{place / "store"}" }}'
    with (
        gateway(place / "edge", data_directory=place / "data", monitoring=True, config="[streams]\n") as ours,
        nats_server(place / "nats", config) as theirs,
        RawPeer(ours.address("nats")) as one,
        RawPeer(theirs.address("nats")) as other,
    ):
        theirs.ports["monitoring"] = port
        for peer, client in ((ours, one), (theirs, other)):
            make_streams(peer)
            client.send(b'CONNECT {"name":"busy","lang":"c","version":"3.8","verbose":false}\r\n')
            client.send(b"SUB a 1\r\nSUB b 2\r\nPUB a 2\r\nhi\r\nPING\r\n")
            client.read_through(b"PONG\r\n")
        yield {"leafgate": ours, "nats-server": theirs}


@contextmanager
def exporter(peer: Peer, folder: Path) -> Iterator[str]:
    """Reads a server's monitoring; gives where it can be read itself."""
    folder.mkdir()
    port = free_port()
    program = [require_peer("prometheus-nats-exporter"), "-a", "127.0.0.1", "-p", str(port), *RETRY, *PAGES]
    process = Peer("exporter", folder, [*program, peer.url("monitoring", "http")], {"http": port})
    process.start()
    with running(process):
        process.wait_ports()
        yield process.url("http", "http") + "/metrics"


def exported(peer: Peer, folder: Path) -> dict[str, dict[str, float]]:
    """What the exporter has found: values by their labels, by metric. Its second look knows that of the first."""
    with exporter(peer, folder) as url:
        for _ in range(2):
            with urlopen(url, timeout=SECONDS) as answer:
                lines = answer.read().decode().splitlines()
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, {})[labels] = float(line.rpartition(" ")[2])
    return {name: values for name, values in found.items() if name.startswith(("gnatsd_", "jetstream_"))}


def test_exporter_finds_all_that_it_finds_at_nats_server(servers: dict[str, Peer], tmp_path: Path) -> None:
    ours, theirs = (exported(peer, tmp_path / name) for name, peer in servers.items())
    missing = sorted(set(theirs) - set(ours))
    assert [name for name in missing if not name.startswith(ITS_OWN)] == []
    assert any(name.startswith("gnatsd_connz_") for name in theirs)
    for name in ("gnatsd_varz_connections", "gnatsd_varz_in_msgs", "gnatsd_varz_in_bytes", "gnatsd_varz_subscriptions"):
        assert sum(ours[name].values()) > 0
    for name in (
        *("jetstream_stream_total_messages", "jetstream_stream_first_seq", "jetstream_stream_last_seq"),
        *("jetstream_consumer_num_ack_pending", "jetstream_consumer_num_pending", "jetstream_server_total_streams"),
        *("gnatsd_varz_stalled_clients", "gnatsd_varz_slow_consumers", "gnatsd_varz_max_payload"),
        "gnatsd_connz_total",
    ):
        assert sorted(ours[name].values()) == sorted(theirs[name].values()), name
    asked = {name: list(values.values()) for name, values in ours.items() if "http_req_stats" in name}
    assert {f"gnatsd_varz_http_req_stats_{page}" for page in ("varz", "connz", "leafz", "jsz", "accstatz")} <= set(
        asked
    )
    assert all(values[0] >= 1 for values in asked.values())


def top(peer: Peer, folder: Path) -> list[str]:
    """What nats-top writes of a server into a file, without what differs from run to run."""
    host, port = peer.address("monitoring")
    file = folder / "top"
    words = ["-s", host, "-m", str(port), "-d", "1", "-r", "2", "-o", str(file)]
    command = [require_peer("nats-top"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return file.read_text().splitlines()


def test_top_shows_the_same_as_of_nats_server(servers: dict[str, Peer], tmp_path: Path) -> None:
    shown = {}
    for name, peer in servers.items():
        lines = top(peer, tmp_path)
        assert lines[0].startswith("NATS server version 2.15.")
        assert lines[1].split() == ["Server:", "edge" if name != "leafgate" else peer_name(peer)]
        (client,) = [line.split() for line in lines if line.strip().startswith("127.0.0.1:")]
        # Host, connection, subscriptions, pending, messages to and from, bytes to and from, language, version.
        shown[name] = client[2:10]
    assert shown["leafgate"] == shown["nats-server"]


def peer_name(peer: Peer) -> str:
    with urlopen(peer.url("monitoring", "http") + "/varz", timeout=SECONDS) as answer:
        return str(json.load(answer)["server_name"])


def test_top_looks_on_in_a_terminal(servers: dict[str, Peer], tmp_path: Path) -> None:
    host, port = servers["leafgate"].address("monitoring")
    screen = tmp_path / "screen"
    command = f"stty rows 40 cols 150; {require_peer('nats-top')} -s {host} -m {port} -d 1"
    with screen.open("wb") as written:
        process = subprocess.Popen(
            [require_peer("script"), "-qec", command, "/dev/null"], stdin=subprocess.PIPE, stdout=written
        )
        try:
            assert process.stdin is not None
            wait_until(lambda: b"2.15." in screen.read_bytes(), "the screen of nats-top")
            process.stdin.write(b"q")
            process.stdin.flush()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
