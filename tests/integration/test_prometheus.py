"""A real Prometheus that scrapes the gateway, with the alert rules and the dashboard that come with it."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import paho.mqtt.client as paho
import pytest
from nats.js.api import ConsumerConfig

from tests.integration.certificates import Site
from tests.integration.leafnode_pair import client, run
from tests.integration.peers import (
    PROMETHEUS,
    Peer,
    free_port,
    gateway,
    require_peer,
    running,
    uplink,
    wait_until,
)
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

CONFIGS = Path(__file__).parents[2] / "configs"
ALERTS = CONFIGS / "prometheus" / "alerts.yml"
DASHBOARD = CONFIGS / "grafana" / "leafgate.json"
# It scrapes and looks at its rules so often.
EVERY = "200ms"
# What fires where the machine is too busy to be scraped in that time.
BUSY = {"LeafgateDown", "LeafgateLoopSlow"}
PROMETHEUS_CONFIG = """
global: {{ scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every} }}
rule_files: [{rules}]
scrape_configs:
  - job_name: leafgate
    static_configs: [{{ targets: ["127.0.0.1:{port}"] }}]
"""


MORE = """
[streams]
[[store-and-forward]]
subjects = ["forwarded.>"]
[[bridges]]
name = "cloud"
urls = ["mqtt://127.0.0.1:{port}"]
topics = [{{ filter = "bridged/#", direction = "out" }}]
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """A gateway with something of everything; its hub is not there."""
    directory = tmp_path_factory.mktemp("edge")
    site = Site(directory / "tls")
    with (
        gateway(
            directory,
            protocols=("nats", "mqtt"),
            listener=f"tls = {site.tls()}",
            data_directory=directory / "data",
            monitoring=True,
            config="\n".join((uplink(f"nats-leaf://127.0.0.1:{free_port()}"), MORE.format(port=free_port()))),
        ) as peer,
        RawPeer(peer.address("nats")) as client,
    ):
        connect = b'CONNECT {"verbose":false,"presence":"boards.one"}\r\n'
        client.send(connect + b"SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n")
        client.read_through(b"PONG\r\n")
        make_streams(peer)
        mqtt = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="keeper", clean_session=False)
        mqtt.tls_set_context(site.context())
        mqtt.connect("127.0.0.1", peer.ports["mqtt"])
        mqtt.loop_start()
        mqtt.subscribe("kept/#", 1)
        mqtt.publish("kept/one", "1", 1, retain=True).wait_for_publish(PATIENCE_SECONDS)
        yield peer
        mqtt.disconnect()
        mqtt.loop_stop()


def make_streams(peer: Peer) -> None:
    """One with two messages, of which a consumer has fetched one and not acknowledged it."""

    async def make() -> None:
        async with client(peer) as connection:
            js = connection.jetstream()
            await js.add_stream(name="S", subjects=["s.>"])
            for payload in (b"one", b"two"):
                await js.publish("s.a", payload)
            # It stays unacknowledged, however long the tests take.
            config = ConsumerConfig(ack_wait=3600)
            pulled = await js.pull_subscribe("s.>", durable="reader", config=config)
            await pulled.fetch(1)

    run(make)


def metrics(peer: Peer) -> str:
    with urlopen(peer.url("monitoring", "http") + "/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text: str = answer.read().decode()
        return text


@pytest.fixture(scope="module")
def prometheus(edge: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    program = require_peer(PROMETHEUS)
    directory = tmp_path_factory.mktemp("prometheus")
    rules = directory / "alerts.yml"
    # Nobody waits for minutes here.
    rules.write_text(re.sub(r"for: \d+m", "for: 0s", ALERTS.read_text()))
    file = directory / "prometheus.yml"
    file.write_text(PROMETHEUS_CONFIG.format(every=EVERY, rules=rules, port=edge.ports["monitoring"]))
    port = free_port()
    command = [program, f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"]
    peer = Peer(PROMETHEUS, directory, [*command, f"--web.listen-address=127.0.0.1:{port}"], {"http": port})
    peer.start()
    with running(peer):
        peer.wait_for_log("Server is ready")
        wait_until(lambda: len(values(peer, "count_over_time(leafgate_ready[1m]) > 3")) == 1, "four scrapes")
        yield peer


def asked(peer: Peer, path: str, **query: str) -> dict[str, object]:
    with urlopen(f"{peer.url('http', 'http')}/api/v1/{path}?{urlencode(query)}") as answer:
        told = json.loads(answer.read())
    assert told["status"] == "success"
    data: dict[str, object] = told["data"]
    return data


def values(peer: Peer, expression: str) -> list[dict[str, object]]:
    found = asked(peer, "query", query=expression)["result"]
    assert isinstance(found, list)
    return found


def test_metrics_are_well_formed(edge: Peer):
    program = require_peer("promtool")
    done = subprocess.run(
        [program, "check", "metrics"], input=metrics(edge), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_rules_are_well_formed():
    program = require_peer("promtool")
    done = subprocess.run([program, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_metrics_tell_what_happened(edge: Peer):
    lines = {
        'leafgate_connections{account="$G",protocol="mqtt"} 1.0',
        'leafgate_connections{account="$G",protocol="nats"} 1.0',
        'leafgate_messages_received_total{account="$G",protocol="mqtt"} 1.0',
        'leafgate_boards{account="$G"} 1.0',
        'leafgate_mqtt_sessions{state="connected"} 1.0',
        'leafgate_tls_handshakes_total{result="done"} 1.0',
        "leafgate_ready 1.0",
        "leafgate_storage_fault 0.0",
        'leafgate_stream_messages{account="$G",stream="S"} 2.0',
        'leafgate_stream_last_sequence_total{account="$G",stream="S"} 2.0',
        'leafgate_consumer_pending_messages{account="$G",consumer="reader",stream="S"} 1.0',
        'leafgate_consumer_unacknowledged_messages{account="$G",consumer="reader",stream="S"} 1.0',
        "leafgate_streams_fault 0.0",
    }
    # The client that made the streams may still be on its way out.
    wait_until(lambda: lines <= {*metrics(edge).splitlines()}, f"all of {lines}")
    text = metrics(edge)
    for direction in ("received", "sent"):
        assert re.search(rf'leafgate_messages_{direction}_total\{{account="\$G",protocol="nats"\}} [1-9]', text)
    assert re.search(r'leafgate_uplink_up\{account="\$G",uplink="nats-leaf://[^"]*"\} 0\.0', text)
    assert re.search(r"leafgate_storage_commit_seconds_count [1-9]", text)
    assert re.search(r'leafgate_certificate_expiry_time_seconds\{listener="[^"]+"\} ', text)


def test_probe_is_measured_while_somebody_looks(edge: Peer):
    metrics(edge)
    wait_until(lambda: bool(re.search(r"leafgate_probe_seconds_count [2-9]", metrics(edge))), "two probes")
    assert re.search(r"leafgate_loop_delay_seconds_count [1-9]", metrics(edge))


def test_every_expression_of_the_dashboard_has_a_series(prometheus: Peer):
    board = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) > 30
    silent = [one.replace("$__rate_interval", "1m").replace("$instance", ".*") for one in expressions]

    def all_have_had_one() -> bool:
        # One scrape that a busy machine is late with takes all away for a moment.
        silent[:] = [one for one in silent if not values(prometheus, one)]
        return not silent

    wait_until(all_have_had_one, "a series for each")


def test_dashboard_and_rules_name_only_metrics_that_are_there(edge: Peer):
    there = set(re.findall(r"^# TYPE (\w+) ", metrics(edge), re.MULTILINE))
    for text in (ALERTS.read_text(), DASHBOARD.read_text()):
        named = set(re.findall(r"\bleafgate_\w+", re.sub(r"label_values\(.*?\)", "", text)))
        unknown = {one for one in named if re.sub(r"_(bucket|sum|count)$", "", one) not in there}
        assert unknown == set()


def test_alert_fires_where_the_hub_is_not_there(prometheus: Peer):
    def firing() -> set[str]:
        alerts = asked(prometheus, "alerts")["alerts"]
        assert isinstance(alerts, list)
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    expected = {"LeafgateUplinkDown", "LeafgateBridgeDown"}
    wait_until(lambda: expected <= firing(), "the alerts")
    assert firing() - {"LeafgateConsumerStands"} - BUSY == expected


# By alert: what is scraped each minute, as promtool writes it, and the labels that it has beside those of its rule.
FIRING: dict[str, tuple[dict[str, str], str]] = {
    "LeafgateDown": ({'up{job="leafgate", instance="a"}': "0x40"}, "job: leafgate"),
    "LeafgateNotReady": ({'leafgate_ready{instance="a"}': "0x40"}, ""),
    "LeafgateStorageFault": ({'leafgate_storage_fault{instance="a"}': "1x40"}, ""),
    "LeafgateUplinkDown": ({'leafgate_uplink_up{instance="a", uplink="u"}': "0x40"}, "uplink: u"),
    "LeafgateUplinkUnstable": ({'leafgate_uplink_losses_total{instance="a", uplink="u"}': "0+1x40"}, "uplink: u"),
    "LeafgateMessagesDropped": (
        {'leafgate_dropped_messages_total{instance="a", reason="uplink"}': "0+9x40"},
        "reason: uplink",
    ),
    "LeafgateSlowConsumers": ({'leafgate_slow_consumers_total{instance="a", account="p"}': "0+1x40"}, "account: p"),
    "LeafgateLoopSlow": (
        {
            'leafgate_loop_delay_seconds_bucket{instance="a", le="0.25"}': "0x40",
            'leafgate_loop_delay_seconds_bucket{instance="a", le="0.5"}': "0+60x40",
            'leafgate_loop_delay_seconds_bucket{instance="a", le="+Inf"}': "0+60x40",
        },
        "",
    ),
    "LeafgateMemoryShort": (
        {
            'leafgate_kept_bytes{instance="a", kind="queues"}': "95x40",
            'leafgate_kept_bytes_limit{instance="a"}': "100x40",
        },
        "",
    ),
    "LeafgateCertificateExpires": (
        {'leafgate_certificate_expiry_time_seconds{instance="a", listener="l"}': "1000000x40"},
        "listener: l",
    ),
    "LeafgateStreamsFault": ({'leafgate_streams_fault{instance="a"}': "1x40"}, ""),
    "LeafgateStreamsDamaged": ({'leafgate_streams_damaged_chunks_total{instance="a"}': "0x30 1x10"}, ""),
    "LeafgateConsumerStands": (
        {
            'leafgate_consumer_pending_messages{instance="a", stream="S", consumer="c"}': "5x40",
            'leafgate_consumer_deliveries_total{instance="a", stream="S", consumer="c"}': "7x40",
        },
        "stream: S, consumer: c",
    ),
    "LeafgateBufferOld": ({'leafgate_buffer_oldest_seconds{instance="a", buffer="b"}': "4000x40"}, "buffer: b"),
    "LeafgateBridgeDown": ({'leafgate_bridge_up{instance="a", bridge="b"}': "0x40"}, "bridge: b"),
    "LeafgateConfigurationRefused": (
        {'leafgate_degraded{instance="a", part="configuration"}': "1x40"},
        "part: configuration",
    ),
}


def test_every_rule_fires(tmp_path: Path):
    """All of them, with the times that they wait, in a time that promtool makes."""
    text = ALERTS.read_text()
    severities = dict(re.findall(r"alert: (\w+)\n.*?severity: (\w+)", text, re.DOTALL))
    assert severities.keys() == FIRING.keys()
    tests = []
    for alert, (series, labels) in FIRING.items():
        own = ", ".join(filter(None, ("instance: a", f"severity: {severities[alert]}", labels)))
        lines = "".join(f"      - {{ series: '{name}', values: '{scraped}' }}\n" for name, scraped in series.items())
        tests.append(
            f"  - interval: 1m\n    name: {alert}\n    input_series:\n{lines}"
            f"    promql_expr_test:\n"
            f'      - expr: \'ALERTS{{alertname="{alert}", alertstate="firing"}}\'\n        eval_time: 35m\n'
            f"        exp_samples: [{{ labels: '{alert_labels(alert, own)}', value: 1 }}]\n"
        )
    file = tmp_path / "test.yml"
    file.write_text(f"rule_files: [{ALERTS}]\nevaluation_interval: 1m\ntests:\n{''.join(tests)}")
    command = [require_peer("promtool"), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def alert_labels(alert: str, own: str) -> str:
    """The labels of the series that tells of an alert."""
    pairs = [one.split(": ") for one in own.split(", ")]
    told = ", ".join(f'{name}="{value}"' for name, value in pairs)
    return f'ALERTS{{alertname="{alert}", alertstate="firing", {told}}}'
