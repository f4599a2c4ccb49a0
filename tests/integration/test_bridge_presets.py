"""Bridges with the preset of a broker in the cloud, at one that ends the connection for what it does not take."""

import base64
import json
from pathlib import Path

import pytest

from tests.integration.certificates import Site
from tests.integration.cloud_broker import CloudBroker, Rules, cloud_broker
from tests.integration.mqtt_peers import paho_client
from tests.integration.peers import Peer, gateway, wait_until

pytestmark = pytest.mark.one_form

AWS = Rules(most_qos=1, most_payload=128 * 1024, most_slashes=7, filters_at_once=8, alpn="x-amzn-mqtt-ca")
GRID = Rules(most_qos=1, takes_user_properties=False, most_payload=512 * 1024)
EVENTS = "devices/edge-7/messages/events/"
HUB = Rules(versions=(4,), most_qos=1, takes_retained=False, most_payload=256 * 1024, out_prefix=EVENTS)
KEY = base64.b64encode(b"key of a device").decode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


def bridge(site: Site, broker: CloudBroker, preset: str, port: int, topics: str, *more: str) -> str:
    own = f'certificate = "{site.path("sensor1.pem")}", key = "{site.path("sensor1.key")}"'
    lines = [
        "[[bridges]]",
        'name = "cloud"',
        f'urls = ["mqtts://cloud.example:{port}"]',
        'client-id = "edge-7"',
        f'proxy = "http://127.0.0.1:{broker.port}"',
        f'tls = {{ ca = "{site.path("ca.pem")}", server-name = "localhost", {own} }}',
        "reconnect-min-seconds = 0.05",
        "reconnect-max-seconds = 0.2",
        f"topics = [{topics}]",
        *([f'preset = "{preset}"'] if preset else []),
        *more,
    ]
    return "\n".join(lines) + "\n"


def wait_up(edge: Peer) -> None:
    edge.wait_for_log("event=up url=")


MANY = ", ".join(f'{{ filter = "in/{one}", direction = "in" }}' for one in range(20))


def test_aws_iot_gets_nothing_that_it_does_not_take(site: Site, tmp_path: Path) -> None:
    with cloud_broker(site, AWS) as broker:
        config = bridge(site, broker, "aws-iot", 443, f'{{ filter = "up/#", remote-prefix = "site/" }}, {MANY}')
        with gateway(tmp_path, protocols=("mqtt",), config=config) as edge:
            wait_up(edge)
            assert broker.subscribed == [8, 8, 4]
            (who,) = broker.introduced
            assert (who.place, who.alpn, who.client_id) == ("cloud.example:443", "x-amzn-mqtt-ca", "edge-7")
            with paho_client(edge) as client:
                client.publish("up/2/3/4/5/6/7/8", b"too deep", 1)
                client.publish("up/large", b"x" * 140_000, 1)
                client.publish("up/2/3/4/5/6/7", b"twice", 2, retain=True)
                wait_until(lambda: bool(broker.published), "a message")
            assert broker.published == [("site/up/2/3/4/5/6/7", b"twice", 1)]
            edge.wait_for_log(
                "event=topic-not-passed topic='site/up/2/3/4/5/6/7/8' reason='AWS IoT Core takes 7 slashes"
            )
            assert broker.refused == []


def test_azure_iot_hub_hears_a_device_with_a_token(site: Site, tmp_path: Path) -> None:
    topics = f'{{ filter = "", local-prefix = "up/report", remote-prefix = "{EVENTS}" }}'
    with cloud_broker(site, HUB) as broker:
        config = bridge(site, broker, "azure-iot-hub", 8883, topics, f'shared-access-key = "{KEY}"')
        with gateway(tmp_path, protocols=("mqtt",), config=config) as edge:
            wait_up(edge)
            (who,) = broker.introduced
            assert (who.version, who.client_id) == (4, "edge-7")
            assert who.user == "cloud.example/edge-7/?api-version=2021-04-12"
            assert who.password.startswith("SharedAccessSignature sr=cloud.example%2Fdevices%2Fedge-7&sig=")
            assert KEY not in edge.log()
            with paho_client(edge) as client:
                client.publish("up/report", b"1", 1, retain=True)
                wait_until(lambda: bool(broker.published), "a message")
            assert broker.published == [(EVENTS, b"1", 1)]
            assert broker.refused == []


def test_azure_event_grid_is_told_nothing_in_the_connect(site: Site, tmp_path: Path) -> None:
    with cloud_broker(site, GRID) as broker:
        config = bridge(site, broker, "azure-event-grid", 8883, '{ filter = "up/#" }', 'user = "client-1"')
        with gateway(tmp_path, protocols=("mqtt",), config=config) as edge:
            wait_up(edge)
            (who,) = broker.introduced
            assert (who.version, who.user) == (5, "client-1")
            with paho_client(edge) as client:
                client.publish("up/large", b"x" * 600_000, 1)
                client.publish("up/small", b"1", 2)
                wait_until(lambda: bool(broker.published), "a message")
            assert broker.published == [("up/small", b"1", 1)]
            assert broker.refused == []


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (Rules(filters_at_once=8), "20 filters in a SUBSCRIBE"),
        (Rules(alpn="x-amzn-mqtt-ca"), "ALPN None"),
        (Rules(takes_user_properties=False), "user properties in the CONNECT"),
    ],
)
def test_without_the_preset_the_same_broker_refuses(site: Site, tmp_path: Path, rules: Rules, words: str) -> None:
    with cloud_broker(site, rules) as broker:
        config = bridge(site, broker, "", 8883, MANY, 'version = "5"')
        with gateway(tmp_path, config=config):
            wait_until(lambda: words in broker.refused, json.dumps(words))
