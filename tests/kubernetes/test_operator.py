"""The operator as a process, against an API of Kubernetes in memory, with real gateways behind it; `make operator-real`
runs the same on a real kube-apiserver.
"""

import base64
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.command.certificates import make_authority, make_server
from gateway.command.clients.link import Outgoing, Target, TlsFiles
from gateway.command.clients.opening import open_link
from gateway.command.streams.api import Api as JetStream
from gateway.errors import ClientError
from gateway.operator.kinds import (
    ACCOUNT,
    BRIDGE,
    CONFIG_MAP,
    GATEWAY,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    STREAM,
    UPLINK,
    USER,
)
from gateway.settings.addresses import ServerUrl
from tests.integration.peers import mosquitto, nats_server
from tests.kubernetes.charts import validate
from tests.kubernetes.clusters import NAMESPACE, Cluster, emulated_cluster, wait_until
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.real import FOLDER, real_cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    make = real_cluster if FOLDER else emulated_cluster
    with make(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def edge(cluster: Cluster) -> Iterator[Kubelet]:
    """The pod of the Gateway edge, which most of these tests use."""
    cluster.api.create(GATEWAY, NAMESPACE, "edge", spec={"streams": {}, "drainSeconds": 2})
    with cluster.kubelet("edge") as kubelet:
        cluster.wait_for(GATEWAY, "edge", "True")
        yield kubelet


def address(cluster: Cluster, gateway: str) -> str:
    service = cluster.api.get(SERVICE, NAMESPACE, gateway)
    assert service is not None
    return str(service["spec"]["clusterIP"])


def target(cluster: Cluster, gateway: str, secret: str) -> Target:
    """How a client comes in that has a Secret with credentials."""
    login = cluster.api.secret(NAMESPACE, secret)
    return Target(ServerUrl("nats", address(cluster, gateway), 4222, login["username"], login["password"]))


def lets_in(one: Target) -> bool:
    try:
        open_link(one).close()
    except ClientError:
        return False
    return True


def test_client_comes_in_with_the_credentials_that_were_made(cluster: Cluster, edge: Kubelet) -> None:
    starts = edge.starts
    rules = {"publish": {"allow": ["sensors.>", "$JS.API.>"]}, "subscribe": {"allow": ["_INBOX.>"]}}
    cluster.api.create(ACCOUNT, NAMESPACE, "plant", spec={"gateway": "edge", "maxConnections": 5})
    cluster.api.create(USER, NAMESPACE, "sensor-1", spec={"gateway": "edge", "account": "plant", "permissions": rules})
    spec = {"gateway": "edge", "account": "plant", "subjects": ["sensors.>"], "maxAgeSeconds": 3600, "keep": False}
    cluster.api.create(STREAM, NAMESPACE, "readings", spec=spec)
    assert cluster.wait_for(USER, "sensor-1", "True") == "it is in force"
    assert cluster.wait_for(STREAM, "readings", "True") == "the gateway has it"
    cluster.wait_for_event("readings", "Made", "the stream readings was made in the gateway")
    one = target(cluster, "edge", "sensor-1-credentials")
    with open_link(one) as link:
        link.publish([Outgoing(b"sensors.1", b"21")])
        link.settle()
    with JetStream(one) as api:
        info = api.ask("STREAM.INFO.readings")
    assert (info["state"]["messages"], info["config"]["max_age"]) == (1, 3_600_000_000_000)
    cluster.api.patch(STREAM, NAMESPACE, "readings", {"spec": {"maxAgeSeconds": 60}})
    cluster.wait_for_event("readings", "Changed")
    cluster.api.delete(STREAM, NAMESPACE, "readings")
    cluster.wait_gone(STREAM, "readings")
    with JetStream(one) as api:
        assert api.find("STREAM.INFO.readings") is None
    assert edge.starts == starts


def test_what_is_made_is_what_a_cluster_takes(cluster: Cluster, edge: Kubelet) -> None:
    made = [(STATEFUL_SET, "edge"), (SERVICE, "edge"), (SERVICE, "edge-monitoring")]
    made += [(CONFIG_MAP, "edge-configuration"), (SECRET, "edge-configuration"), (SECRET, "edge-operator")]
    owner = cluster.api.get(GATEWAY, NAMESPACE, "edge")
    assert owner is not None
    for kind, name in made:
        document = cluster.api.get(kind, NAMESPACE, name)
        assert document is not None
        (reference,) = document["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["uid"]) == ("Gateway", owner["metadata"]["uid"])
        document.pop("status", None)
        validate([document])


def test_wrong_resources_are_left_out_and_the_rest_goes_on(cluster: Cluster, edge: Kubelet) -> None:
    starts = edge.starts
    cluster.api.create(USER, NAMESPACE, "lost", spec={"gateway": "edge", "account": "nowhere"})
    cluster.api.create(
        USER, NAMESPACE, "odd", spec={"gateway": "edge", "permissions": {"publish": {"allow": ["a..b"]}}}
    )
    cluster.api.create(USER, NAMESPACE, "early", spec={"gateway": "edge", "passwordSecret": {"name": "later"}})
    cluster.api.create(USER, NAMESPACE, "stray", spec={"gateway": "none"})
    cluster.api.create(USER, NAMESPACE, "fine", spec={"gateway": "edge"})
    assert cluster.wait_for(USER, "lost", "False") == "account: there is no account nowhere"
    assert "'a..b' is no subject" in cluster.wait_for(USER, "odd", "False")
    assert cluster.wait_for(USER, "early", "False") == "there is no Secret later"
    assert cluster.wait_for(USER, "stray", "False") == "there is no Gateway none in this namespace"
    cluster.wait_for_event("lost", "Refused", "there is no account nowhere")
    cluster.wait_for(USER, "fine", "True")
    assert lets_in(target(cluster, "edge", "fine-credentials"))
    cluster.api.put_secret(NAMESPACE, "later", password="open sesame", username="early")
    cluster.wait_for(USER, "early", "True")
    assert lets_in(target(cluster, "edge", "later"))
    for name in ("lost", "odd", "stray", "early"):
        cluster.api.delete(USER, NAMESPACE, name)
        cluster.wait_gone(USER, name)
    wait_until(lambda: not lets_in(target(cluster, "edge", "later")), "end of the user early")
    cluster.wait_for(GATEWAY, "edge", "True", "it runs")
    assert edge.starts == starts


def test_new_password_holds_without_a_restart(cluster: Cluster, edge: Kubelet) -> None:
    starts = edge.starts
    cluster.api.create(USER, NAMESPACE, "turning", spec={"gateway": "edge"})
    cluster.wait_for(USER, "turning", "True")
    before = target(cluster, "edge", "turning-credentials")
    assert lets_in(before)
    cluster.api.patch(USER, NAMESPACE, "turning", {"metadata": {"annotations": {"leafgate.io/rotate": "1"}}})
    cluster.wait_for_event("turning", "Rotated")
    wait_until(lambda: target(cluster, "edge", "turning-credentials") != before, "another password")
    wait_until(lambda: lets_in(target(cluster, "edge", "turning-credentials")), "the new password")
    assert not lets_in(before)
    assert edge.starts == starts


def test_links_say_how_they_are(cluster: Cluster, edge: Kubelet, tmp_path: Path) -> None:
    starts = edge.starts
    with ExitStack() as stack:
        hub = stack.enter_context(
            nats_server(tmp_path / "hub", leafnodes='authorization { user: "edge", password: "right" }')
        )
        broker = stack.enter_context(mosquitto(tmp_path / "broker"))
        cluster.api.put_secret(NAMESPACE, "hub-login", password="wrong")
        spec = {
            "gateway": "edge",
            "urls": [hub.url("leafnode", "nats-leaf")],
            "user": "edge",
            "passwordSecret": {"name": "hub-login"},
            "reconnectMaxSeconds": 0.5,
            "storeAndForward": [{"subjects": ["out.>"]}],
        }
        cluster.api.create(UPLINK, NAMESPACE, "hub", spec=spec)
        topics = [{"filter": "sensors/#", "direction": "out", "remotePrefix": "site/"}]
        spec = {"gateway": "edge", "urls": [broker.url("mqtt", "mqtt")], "topics": topics}
        cluster.api.create(BRIDGE, NAMESPACE, "broker", spec=spec)
        assert cluster.wait_for(UPLINK, "hub", "False", "uthoriz").startswith("the link is down: ")
        cluster.wait_for(BRIDGE, "broker", "True", "the link is up")
        cluster.api.put_secret(NAMESPACE, "hub-login", password="right")
        cluster.wait_for(UPLINK, "hub", "True", "the link is up")
    cluster.wait_for(BRIDGE, "broker", "False", "the link is down")
    for kind, name in ((UPLINK, "hub"), (BRIDGE, "broker")):
        cluster.api.delete(kind, NAMESPACE, name)
        cluster.wait_gone(kind, name)
    assert edge.starts == starts


def certificate(folder: Path, name: str) -> dict[str, str]:
    """What a Secret of the type kubernetes.io/tls has, signed by an authority of its own."""
    make_authority(folder, "site")
    make_server(folder, [name])
    parts = {"tls_crt": "server.pem", "tls_key": "server.key", "ca_crt": "ca.pem"}
    return {key: (folder / file).read_text() for key, file in parts.items()}


def test_certificate_changes_without_a_restart(cluster: Cluster, tmp_path: Path) -> None:
    name = f"safe.{NAMESPACE}.svc"
    cluster.api.put_secret(NAMESPACE, "safe-tls", **certificate(tmp_path / "first", name))
    spec = {"tls": {"secretName": "safe-tls"}, "streams": {}, "listeners": {"websocket": False}}
    cluster.api.create(GATEWAY, NAMESPACE, "safe", spec=spec)
    cluster.api.create(USER, NAMESPACE, "lock", spec={"gateway": "safe"})
    cluster.api.create(STREAM, NAMESPACE, "vault", spec={"gateway": "safe", "subjects": ["vault.>"]})
    with cluster.kubelet("safe") as kubelet:
        cluster.wait_for(USER, "lock", "True")
        cluster.wait_for(STREAM, "vault", "True")
        login = cluster.api.secret(NAMESPACE, "lock-credentials")
        assert login["url"] == f"tls://{name}:4222"
        url = ServerUrl("tls", address(cluster, "safe"), 4222, login["username"], login["password"])
        first = Target(url, TlsFiles(ca=str(tmp_path / "first/ca.pem"), server_name=name))
        second = Target(url, TlsFiles(ca=str(tmp_path / "second/ca.pem"), server_name=name))
        assert lets_in(first)
        cluster.api.put_secret(NAMESPACE, "safe-tls", **certificate(tmp_path / "second", name))
        wait_until(lambda: lets_in(second), "the new certificate")
        assert not lets_in(first)
        assert kubelet.starts == 1


def test_gateway_that_is_away_is_told_and_comes_back(cluster: Cluster, edge: Kubelet) -> None:
    with edge.away():
        cluster.wait_for(GATEWAY, "edge", "False", "the gateway does not answer")
        cluster.api.create(STREAM, NAMESPACE, "late", spec={"gateway": "edge", "subjects": ["late.>"]})
        cluster.wait_for(STREAM, "late", "False", "refused")
    cluster.wait_for(GATEWAY, "edge", "True")
    cluster.wait_for(STREAM, "late", "True")


def test_hand_made_changes_are_undone_and_what_others_own_is_left(cluster: Cluster, edge: Kubelet) -> None:
    label = "app.kubernetes.io/instance"
    cluster.api.patch(SERVICE, NAMESPACE, "edge", {"spec": {"selector": {label: "other"}}})

    def is_right_again() -> bool:
        service = cluster.api.get(SERVICE, NAMESPACE, "edge") or {}
        return bool(service["spec"]["selector"][label] == "edge")

    wait_until(is_right_again, "the selector again")
    cluster.api.create(CONFIG_MAP, NAMESPACE, "taken-configuration", data={"mine": "yes"})
    cluster.api.create(GATEWAY, NAMESPACE, "taken", spec={})
    message = cluster.wait_for(GATEWAY, "taken", "False")
    assert message.endswith("there is a ConfigMap taken-configuration already that is not the operator's")
    assert (cluster.api.get(CONFIG_MAP, NAMESPACE, "taken-configuration") or {})["data"] == {"mine": "yes"}
    cluster.api.delete(GATEWAY, NAMESPACE, "taken")
    cluster.wait_gone(GATEWAY, "taken")


def test_gateway_is_drained_before_it_goes(cluster: Cluster, tmp_path: Path) -> None:
    cluster.api.create(GATEWAY, NAMESPACE, "short", spec={"drainSeconds": 3, "listeners": {"mqtt": False}})
    cluster.api.create(USER, NAMESPACE, "guest", spec={"gateway": "short"})
    spec = {
        "gateway": "short",
        "urls": ["nats-leaf://127.0.0.1:9"],
        "storeAndForward": [{"subjects": ["out.>"]}],
    }
    cluster.api.create(UPLINK, NAMESPACE, "away", spec=spec)
    with cluster.kubelet("short") as kubelet:
        cluster.wait_for(USER, "guest", "True")
        cluster.wait_for(UPLINK, "away", "False", "the link is down")
        with open_link(target(cluster, "short", "guest-credentials")) as link:
            link.publish([Outgoing(b"out.1", b"waits")])
            link.settle()
            cluster.api.delete(GATEWAY, NAMESPACE, "short")
            cluster.wait_for_event("short", "Undelivered", "messages that wait for a hub: 1; what waits stays on")
            with pytest.raises(ClientError, match="closed the connection"):
                link.next_message(time.monotonic() + 120)
        cluster.wait_gone(GATEWAY, "short")
        assert kubelet.drained
        assert cluster.wait_for(USER, "guest", "False") == "there is no Gateway short in this namespace"


def test_operator_that_was_killed_goes_on_where_it_was(cluster: Cluster, edge: Kubelet) -> None:
    starts = edge.starts
    for name in ("stays", "goes"):
        cluster.api.create(USER, NAMESPACE, name, spec={"gateway": "edge"})
    for name in ("stays", "goes"):
        cluster.wait_for(USER, name, "True")
    gone = target(cluster, "edge", "goes-credentials")
    with open_link(target(cluster, "edge", "stays-credentials")) as link:
        cluster.operator.kill()
        cluster.api.delete(USER, NAMESPACE, "goes")
        assert lets_in(gone)
        cluster.operator.start()
        cluster.wait_gone(USER, "goes")
        wait_until(lambda: not lets_in(gone), "end of the user")
        link.settle()
    assert edge.starts == starts


def test_operator_says_that_it_lives(cluster: Cluster) -> None:
    with urllib.request.urlopen(cluster.operator.url("healthz", "http") + "/healthz", timeout=60) as answer:
        assert answer.status == 200


def test_secrets_hold_no_password_in_clear_for_the_gateway(cluster: Cluster, edge: Kubelet) -> None:
    document = cluster.api.get(SECRET, NAMESPACE, "edge-configuration")
    assert document is not None
    values = {key: base64.b64decode(value) for key, value in document["data"].items()}
    assert values["operator.password"].startswith(b"$2b$")
    assert {value[:4] for key, value in values.items() if key.startswith("user.")} == {b"$2b$"}
