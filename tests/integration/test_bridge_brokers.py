"""Brokers that a bridge meets: with passwords and TLS, of an older version, and other gateways."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.certificates import Site
from tests.integration.mqtt_peers import PahoClient, paho_client
from tests.integration.peers import Peer, free_port, gateway, mosquitto, nats_server, require_peer
from tests.integration.test_bridges import UP, bridge, broker_url, edge_of, status
from tests.integration.test_uplink_ways import http_proxy

OUT = (("up/#", "out", 1, "", ""),)
BOTH = (("site/#", "both", 1, "", ""),)
USER, PASSWORD = "edge 7", "s3cret words"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


@contextmanager
def guarded_broker(directory: Path, site: Site) -> Iterator[Peer]:
    """A mosquitto that wants TLS, a certificate and a password."""
    directory.mkdir()
    passwords = directory / "passwords"
    passwords.touch()
    program = require_peer("mosquitto_passwd")
    subprocess.run([program, "-b", str(passwords), USER, PASSWORD], check=True, capture_output=True)
    lines = [f"cafile {site.path('ca.pem')}", f"certfile {site.path('server.pem')}"]
    lines += [f"keyfile {site.path('server.key')}", "require_certificate true", f"password_file {passwords}"]
    with mosquitto(directory / "broker", "\n".join([*lines, "allow_anonymous false"])) as peer:
        yield peer


def tls(site: Site, name: str = "sensor1") -> str:
    own = f', certificate = "{site.path(f"{name}.pem")}", key = "{site.path(f"{name}.key")}"' if name else ""
    return f'tls = {{ ca = "{site.path("ca.pem")}"{own} }}'


def test_broker_with_tls_and_password(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    who = f'user = "{USER}"\npassword = {{ file = "{secret}" }}'
    with guarded_broker(tmp_path / "far", site) as broker:
        url = broker_url(broker, "mqtts", "localhost")
        with edge_of(tmp_path / "edge", bridge(url, tls(site), who, entries=BOTH)) as edge:
            far = PahoClient()
            far.paho.username_pw_set(USER, PASSWORD)
            far.paho.tls_set_context(site.context("sensor1"))
            assert far.connect(broker) == 0
            with paho_client(edge) as near:
                far.subscribe("site/#", 1)
                near.publish("site/a", b"x" * 200_000, 1)
                assert far.next_pair() == ("site/a", b"x" * 200_000)
                near.subscribe("site/#", 1)
                far.publish("site/b", b"y", 1)
                assert near.next_pair() == ("site/b", b"y")
            far.close()
        wrong = f'user = "{USER}"\npassword = "guessed"'
        with gateway(tmp_path / "wrong", config=bridge(url, tls(site), wrong, entries=OUT), monitoring=True) as edge:
            edge.wait_for_log("the broker says: not authorized")
            (told,) = status(edge, "varz")["bridges"]
            assert not told["up"]
            assert "not authorized" in told["last_error"]
            health = status(edge, "healthz")
            assert health["status"] == "degraded"
            assert "not authorized" in health["bridges"]["cloud"]
            assert "guessed" not in edge.log()
        with gateway(tmp_path / "nameless", config=bridge(url, tls(site, ""), who, entries=OUT)) as edge:
            edge.wait_for_log("event=refused")
            assert UP not in edge.log()
        pinned = tls(site).replace("}", f', pinned-certificates = ["{"0" * 64}"] }}')
        with gateway(tmp_path / "pinned", config=bridge(url, pinned, who, entries=OUT)) as edge:
            edge.wait_for_log("is none of pinned-certificates")
        elsewhere = broker_url(broker, "mqtts", "127.0.0.2")
        with gateway(tmp_path / "other", config=bridge(elsewhere, tls(site), who, entries=OUT)) as edge:
            edge.wait_for_log("event=dial-failed")
            assert UP not in edge.log()


def test_a_broker_that_knows_only_3_1_1(tmp_path: Path) -> None:
    port = free_port()
    config = (
        f'server_name: "far"\njetstream {{ store_dir: "{tmp_path / "jetstream"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{port}" }}'
    )
    with nats_server(tmp_path / "far", config) as far:
        far.ports["mqtt"] = port
        with edge_of(tmp_path / "edge", bridge(broker_url(far), entries=BOTH), monitoring=True) as edge:
            assert status(edge, "varz")["bridges"][0]["version"] == "3.1.1"
            with paho_client(far) as listener, paho_client(edge) as near:
                listener.subscribe("site/#", 1)
                near.publish("site/a", b"x", 1)
                assert listener.next_pair() == ("site/a", b"x")


def test_bridge_through_a_proxy(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path / "far") as broker,
        http_proxy(tmp_path / "proxy", "--basic-auth", "site:pr0xy") as proxy,
    ):
        more = f'proxy = "http://site:pr0xy@127.0.0.1:{proxy.ports["http"]}"'
        config = bridge(broker_url(broker), more, entries=OUT)
        with edge_of(tmp_path / "edge", config) as edge, paho_client(broker) as far, paho_client(edge) as near:
            far.subscribe("up/#", 1)
            near.publish("up/a", b"x", 1)
            assert far.next_pair() == ("up/a", b"x")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_bridge_over_websocket(site: Site, tmp_path: Path, scheme: str) -> None:
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", "protocol websockets"]
    if scheme == "wss":
        lines += [f"certfile {site.path('server.pem')}", f"keyfile {site.path('server.key')}"]
    more = [tls(site, "")] if scheme == "wss" else []
    with mosquitto(tmp_path / "far", "\n".join(lines)) as broker:
        config = bridge(f"{scheme}://localhost:{port}", *more, entries=BOTH)
        with edge_of(tmp_path / "edge", config) as edge, paho_client(broker) as far, paho_client(edge) as near:
            for payload in (b"x", b"x" * 200_000):
                far.subscribe("site/#", 1)
                near.publish("site/a", payload, 1)
                assert far.next_pair() == ("site/a", payload)
                near.subscribe("site/#", 1)
                far.unsubscribe("site/#")
                far.publish("site/b", payload, 1)
                assert near.next_pair() == ("site/b", payload)
                near.unsubscribe("site/#")


def test_bridge_fails_over_to_the_next_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "first") as first, mosquitto(tmp_path / "second") as second:
        urls = f'urls = ["{broker_url(first)}", "{broker_url(second)}"]'
        config = bridge(broker_url(first), entries=OUT).replace(f'urls = ["{broker_url(first)}"]', urls)
        with edge_of(tmp_path / "edge", config) as edge:
            edge.wait_for_log(f"{UP}{broker_url(first)}")
            first.kill()
            edge.wait_for_log(f"{UP}{broker_url(second)}")
            with paho_client(second) as far, paho_client(edge) as near:
                far.subscribe("up/#", 1)
                near.publish("up/a", b"x", 1)
                assert far.next_pair() == ("up/a", b"x")


def test_state_topic_tells_whether_the_bridge_is_there(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "far") as broker, paho_client(broker) as watcher:
        watcher.subscribe("state/site-7", 1)
        for version in ("5", "3.1.1"):
            more = ('state-topic = "state/site-7"', f'version = "{version}"')
            with edge_of(tmp_path / "edge", bridge(broker_url(broker), *more, entries=OUT)) as edge:
                assert watcher.next_pair() == ("state/site-7", b"1")
                edge.kill() if version == "5" else edge.stop()
            assert watcher.next_pair() == ("state/site-7", b"0")


def test_another_client_with_the_same_id_is_told_of(tmp_path: Path) -> None:
    with gateway(tmp_path / "far", protocols=("mqtt",)) as far:
        config = bridge(broker_url(far), 'client-id = "twin"', entries=OUT)
        with edge_of(tmp_path / "edge", config) as edge, paho_client(far, "twin"):
            edge.wait_for_log("another client has the client id")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_one_bridge_between_gateways_echoes_nothing(tmp_path: Path, version: str) -> None:
    with gateway(tmp_path / "far", protocols=("mqtt",), name="far") as far:
        config = bridge(broker_url(far), f'version = "{version}"', entries=BOTH)
        with edge_of(tmp_path / "edge", config) as edge, paho_client(far) as there, paho_client(edge) as here:
            there.subscribe("site/#", 1)
            here.subscribe("site/#", 1)
            here.publish("site/a", b"1", 1, retain=True)
            assert there.next_pair() == ("site/a", b"1")
            there.publish("site/b", b"2", 1)
            assert [here.next_pair() for _ in range(2)] == [("site/a", b"1"), ("site/b", b"2")]
            assert there.next_pair() == ("site/b", b"2")
            here.nothing_more()
            there.nothing_more()


def test_bridges_of_two_gateways_to_each_other_do_not_go_round_for_ever(tmp_path: Path) -> None:
    """Each message passes both bridges once, so it comes twice to the other side, and never back."""
    port = free_port()
    listener = f'[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:{port}"\n'
    with gateway(tmp_path / "far", protocols=("mqtt",), name="far") as far:
        config = bridge(broker_url(far), entries=BOTH) + listener
        with edge_of(tmp_path / "edge", config, name="edge") as edge:
            file = far.directory / "leafgate.toml"
            file.write_text(file.read_text() + bridge(f"mqtt://127.0.0.1:{port}", entries=BOTH))
            far.wait_for_log(UP)
            with paho_client(far) as there, paho_client(edge) as here:
                there.subscribe("site/#", 1)
                here.subscribe("site/#", 1)
                for number in range(20):
                    here.publish("site/a", b"%d" % number, number % 2)
                    there.publish("site/b", b"%d" % number, number % 2)
                wanted = {("site/a", b"%d" % number): 1 for number in range(20)}
                wanted |= {("site/b", b"%d" % number): 2 for number in range(20)}
                assert received(here, wanted) == wanted
                others = {key: 3 - count for key, count in wanted.items()}
                assert received(there, others) == others
                here.nothing_more()
                there.nothing_more()


def received(client: PahoClient, wanted: dict[tuple[str, bytes], int]) -> dict[tuple[str, bytes], int]:
    """How often each message came, once as many have come as are wanted."""
    found: dict[tuple[str, bytes], int] = {}
    for _ in range(sum(wanted.values())):
        pair = client.next_pair()
        found[pair] = found.get(pair, 0) + 1
    return found
