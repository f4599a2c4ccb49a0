"""A mosquitto that bridges to the server: both protocol versions, both directions, restarts of either side.

With `try_private` mosquitto sets bit 0x80 of the protocol level first, to say that it is a bridge; where that is
refused as an unsupported version it connects again without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.mqtt5_peers import paho5_client
from tests.integration.mqtt_peers import PahoClient, paho_client
from tests.integration.mqtt_servers import mqtt_server, restart
from tests.integration.peers import Peer, mosquitto, require_peer

STATE = "bridges/kitchen"
READY = "ready"
CONNECTED, GONE = b"1", b"0"
KEPT = 20


@dataclass(frozen=True)
class Form:
    """How the bridge introduces itself."""

    version: str
    private: bool

    def config(self, remote: Peer, directory: Path, topics: tuple[str, ...]) -> str:
        lines = [
            "connection kitchen",
            f"address 127.0.0.1:{remote.ports['mqtt']}",
            f"bridge_protocol_version {self.version}",
            f"try_private {str(self.private).lower()}",
            "cleansession false",
            "remote_clientid kitchen bridge",
            "restart_timeout 1",
            f"notification_topic {STATE}",
            *(f"topic {topic}" for topic in topics),
            f"topic {READY} in 1",
            "persistence true",
            f"persistence_location {directory}/",
        ]
        return "\n".join(lines)


PLAIN = Form("mqttv311", private=False)
PRIVATE = Form("mqttv311", private=True)
NEW = Form("mqttv50", private=False)
NEW_PRIVATE = Form("mqttv50", private=True)

forms = pytest.mark.parametrize(
    "form", [PLAIN, PRIVATE, NEW, NEW_PRIVATE], ids=["3.1.1", "3.1.1 private", "5.0", "5.0 private"]
)


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Peer]:
    require_peer("mosquitto")
    with mqtt_server(tmp_path / "remote", ("mqtt",)) as peer:
        yield peer


@contextmanager
def bridge(remote: Peer, directory: Path, form: Form, *topics: str) -> Iterator[Peer]:
    """A mosquitto whose bridge has subscribed; `topics`: pattern, direction, QoS, local and remote prefix of each."""
    with paho_client(remote) as far:
        far.publish(READY, b"yes", 1, retain=True)
    local = directory / "local"
    with mosquitto(local, form.config(remote, local, topics)) as peer:
        wait_for(peer, READY, b"yes")
        yield peer


def wait_for(server: Peer, topic: str, payload: bytes) -> None:
    """Return once a topic has had this payload, which is retained."""
    with paho_client(server) as watcher:
        watcher.subscribe(topic, 1)
        while watcher.next_message().payload != payload:
            pass


def persistent(server: Peer, topic_filter: str, client_id: str = "listener") -> PahoClient:
    """A client with a session; it has subscribed."""
    client = PahoClient(client_id, clean_session=False)
    assert client.connect(server) == 0
    client.subscribe(topic_filter, 2)
    return client


@forms
def test_messages_pass_in_both_directions(remote: Peer, tmp_path: Path, form: Form) -> None:
    topics = ("# out 2 up/ house/", "# in 2 down/ orders/")
    with (
        bridge(remote, tmp_path, form, *topics) as local,
        paho_client(remote) as far,
        paho_client(local) as near,
    ):
        far.subscribe("house/#", 2)
        near.subscribe("down/#", 2)
        for qos in (0, 1, 2):
            near.publish("up/kitchen/temp", b"21.5", qos)
            message = far.next_message()
            assert (message.topic, message.payload, message.qos) == ("house/kitchen/temp", b"21.5", qos)
            far.publish("orders/kitchen/lamp 1", b"on", qos)
            message = near.next_message()
            assert (message.topic, message.payload, message.qos) == ("down/kitchen/lamp 1", b"on", qos)


@forms
def test_retained_messages_pass(remote: Peer, tmp_path: Path, form: Form) -> None:
    with paho_client(remote) as far:
        far.publish("orders/mode", b"night", 1, retain=True)
        with bridge(remote, tmp_path, form, "# out 1 up/ house/", "# in 1 down/ orders/") as local:
            with paho_client(local) as near:
                near.publish("up/state", b"ok", 1, retain=True)
                near.subscribe("down/#", 1)
                assert near.next_pair() == ("down/mode", b"night")
            far.subscribe("house/#", 1)
            message = far.next_message()
            assert (message.topic, message.payload) == ("house/state", b"ok")
    with paho_client(remote) as late:
        late.subscribe("house/#", 1)
        message = late.next_message()
        assert (message.topic, message.payload, message.retain) == ("house/state", b"ok", True)


@pytest.mark.parametrize("form", [NEW, PRIVATE], ids=["5.0", "3.1.1 private"])
def test_message_does_not_come_back_over_a_bridge_of_both_directions(remote: Peer, tmp_path: Path, form: Form) -> None:
    """In 5.0 the bridge subscribes with no-local; in 3.1.1 the server must know that it is a bridge."""
    with (
        bridge(remote, tmp_path, form, "# both 1 site/ site/") as local,
        paho_client(remote) as far,
        paho_client(local) as near,
    ):
        far.subscribe("site/#", 1)
        near.subscribe("site/#", 1)
        near.publish("site/near", b"1", 1)
        far.publish("site/far", b"2", 1)
        far.publish("site/last", b"3", 1)
        assert [near.next_pair() for _ in range(3)] == [("site/near", b"1"), ("site/far", b"2"), ("site/last", b"3")]
        assert sorted(far.next_pair() for _ in range(3)) == [
            ("site/far", b"2"),
            ("site/last", b"3"),
            ("site/near", b"1"),
        ]
        near.nothing_more()
        far.nothing_more()


@pytest.mark.parametrize("form", [NEW, PRIVATE], ids=["5.0", "3.1.1 private"])
def test_retain_flag_stays_so_that_the_other_side_keeps_the_message(remote: Peer, tmp_path: Path, form: Form) -> None:
    """In 5.0 the bridge subscribes with retain-as-published; in 3.1.1 the server must know that it is a bridge."""
    with bridge(remote, tmp_path, form, "# in 1 down/ orders/") as local:
        with paho_client(remote) as far, paho_client(local) as near:
            near.subscribe("down/#", 1)
            far.publish("orders/mode", b"day", 1, retain=True)
            assert near.next_pair() == ("down/mode", b"day")
        with paho_client(local) as late:
            late.subscribe("down/#", 1)
            assert late.next_message().retain


def test_properties_pass_a_bridge_of_5_0(remote: Peer, tmp_path: Path) -> None:
    with (
        bridge(remote, tmp_path, NEW, "# out 1 up/ house/") as local,
        paho5_client(remote) as far,
        paho5_client(local) as near,
    ):
        far.ask("house/#", qos=1)
        near.tell("up/temp", b"21.5", 1, ContentType="text/plain", UserProperty=[("unit", "C")])
        message = far.next_message()
        assert (message.payload, message.properties.ContentType) == (b"21.5", "text/plain")
        assert message.properties.UserProperty == [("unit", "C")]


def test_nothing_is_lost_while_the_bridge_is_away(remote: Peer, tmp_path: Path) -> None:
    """With 5.0 mosquitto asks for no session expiry, so its session ends with the connection."""
    with bridge(remote, tmp_path, PLAIN, "# in 1 down/ orders/") as local:
        near = persistent(local, "down/#")
        near.close()
        local.stop()
        with paho_client(remote) as far:
            for number in range(KEPT):
                far.publish("orders/step", b"%d" % number, 1)
        local.start()
        local.wait_ports()
        near = persistent(local, "down/#")
        assert [near.next_message().payload for _ in range(KEPT)] == [b"%d" % number for number in range(KEPT)]
        near.close()


@pytest.mark.parametrize("form", [PLAIN, NEW], ids=["3.1.1", "5.0"])
def test_nothing_is_lost_while_the_server_is_away(remote: Peer, tmp_path: Path, form: Form) -> None:
    with bridge(remote, tmp_path, form, "# out 1 up/ house/", "# in 1 down/ orders/") as local:
        far = persistent(remote, "house/#")
        far.close()
        with paho_client(local) as near:
            near.subscribe("down/#", 1)
            remote.stop()
            for number in range(KEPT):
                near.publish("up/temp", b"%d" % number, 1)
            restart(remote)
            far = persistent(remote, "house/#")
            received = list(dict.fromkeys(next_payloads(far, KEPT)))
            assert received == [b"%d" % number for number in range(KEPT)]
            far.publish("orders/mode", b"night", 1)
            assert near.next_pair() == ("down/mode", b"night")
            far.close()


def next_payloads(client: PahoClient, distinct: int) -> list[bytes]:
    """Payloads until so many different ones have come: QoS 1 may repeat some."""
    payloads: list[bytes] = []
    while len(set(payloads)) < distinct:
        payloads.append(client.next_message().payload)
    return payloads


def test_will_of_a_killed_bridge_tells_that_it_is_gone(remote: Peer, tmp_path: Path) -> None:
    with bridge(remote, tmp_path, NEW, "# out 1 up/ house/") as local:
        wait_for(remote, STATE, CONNECTED)
        local.kill()
        wait_for(remote, STATE, GONE)
