"""The Helm chart: what it makes is what clusters take, and its configuration is one that the gateway takes."""

import base64
import itertools
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from gateway.command.clients.link import Target
from gateway.command.clients.opening import open_link
from gateway.errors import ClientError
from gateway.operator.kinds import Kind
from gateway.settings.addresses import ServerUrl
from tests.integration.peers import wait_until
from tests.kubernetes.charts import CHART, Document, by_kind, check, helm, lay_out, render, validate
from tests.kubernetes.kubelet import Kubelet
from tests.patience import PATIENCE_SECONDS

# What a chart is used with, by name: the values that differ from the default ones.
FORMS = {
    "stateful": {},
    "deployment": {"kind": "Deployment"},
}
DISKS = {"disk": {}, "no-disk": {"persistence": {"enabled": False}}}
LOGINS = {
    "password": {},
    "anonymous": {"auth": {"enabled": False}},
    "own-secret": {"auth": {"existingSecret": "people", "user": "operator", "passwordKey": "tls.key"}},
}
DOORS = {
    "plain": {},
    "tls": {
        "tls": {"secretName": "certificate", "verify": "ask"},
        "listeners": {
            "nats": {"enabled": True, "port": 4222, "tls": True},
            "mqtt": {"enabled": True, "port": 8883, "tls": True, "nodePort": 30883},
            "websocket": {"enabled": True, "port": 8443, "tls": True, "options": {"compression": True}},
            "leafnode": {"enabled": True, "port": 7422, "tls": True, "options": {"isolate": True}},
        },
        "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "annotations": {"a": "b"}},
    },
}
WATCHED = {
    "watched": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podDisruptionBudget": {"enabled": True, "minAvailable": "50%"},
        "networkPolicy": {
            "enabled": True,
            "clients": [{"podSelector": {"matchLabels": {"role": "client"}}}],
            "monitoring": [{"namespaceSelector": {}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
    },
    "unwatched": {"monitoring": {"enabled": False}, "podDisruptionBudget": {"enabled": True}},
}
MORE = {
    "bare": {},
    "site": {
        "secrets": [{"name": "hub", "secretName": "hub-login"}],
        "config": {
            "limits": {"max-payload-bytes": 1048576, "max-memory-bytes": 0},
            "uplinks": [
                {
                    "urls": ["nats-leaf://hub.example:7422"],
                    "user": "edge",
                    "password": {"file": "/etc/leafgate/secrets/hub/tls.key"},
                    "reconnect-min-seconds": 0.5,
                }
            ],
            "serial": [{"port": "/dev/ttyUSB0", "protocol": "lines", "pattern": "(?P<subject>[^=]+)=(?P<payload>.*)"}],
            "streams": {"domain": "edge"},
        },
        "devices": {"enabled": True},
        "serviceAccount": {"create": True},
        "restartOnChange": True,
        "drain": {"enabled": True, "seconds": 5, "graceSeconds": 5},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "podLabels": {"site": "plant"},
        "podAnnotations": {"note": "here"},
        "imagePullSecrets": [{"name": "registry"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
    },
}
FACTORS = (FORMS, DISKS, LOGINS, DOORS, WATCHED, MORE)


def pairs(row: tuple[str, ...]) -> set[tuple[str, str]]:
    return set(itertools.combinations(row, 2))


def covering_rows() -> list[tuple[str, ...]]:
    """Rows that have every two values of different factors together in one of them."""
    rows = list(itertools.product(*FACTORS))
    found: list[tuple[str, ...]] = []
    left = set().union(*map(pairs, rows))
    while left:
        found.append(max(rows, key=lambda one: len(pairs(one) & left)))
        left -= pairs(found[-1])
    return found


@pytest.mark.parametrize("row", covering_rows(), ids="-".join)
def test_what_a_cluster_and_the_gateway_get_is_right(row: tuple[str, ...], tmp_path: Path) -> None:
    values: Document = {}
    for factor, name in zip(FACTORS, row, strict=True):
        values |= factor[name]
    documents = render(values, tmp_path)
    validate(documents)
    file = lay_out(documents, tmp_path / "pod")
    done = check(file)
    assert (done.returncode, done.stderr) == (0, "")


def test_validation_sees_what_a_cluster_would_refuse(tmp_path: Path) -> None:
    document = by_kind(render({}, tmp_path), "StatefulSet")
    document["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolice"):
        validate([document])


def test_chart_passes_lint_and_can_be_packaged(tmp_path: Path) -> None:
    linted = helm("lint", "--strict", str(CHART))
    assert "0 chart(s) failed" in linted.stdout
    helm("package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("leafgate-*.tgz")
    packaged = helm("template", "edge", str(package))
    assert "kind: StatefulSet" in packaged.stdout


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicas": "two"}, "/replicas"),
        ({"imge": {}}, "imge"),
        ({"kind": "DaemonSet"}, "/kind"),
        ({"listeners": {"mqtt": {"enabled": True, "port": 0}}}, "/listeners/mqtt/port"),
        ({"kind": "Deployment", "replicas": 2}, "would share one data directory"),
        ({"listeners": {"mqtt": {"enabled": True, "port": 8883, "tls": True}}}, "tls.secretName has to name"),
        ({"config": {"listeners": []}}, "config.listeners: made from the other values"),
        ({"serviceMonitor": {"enabled": True}, "monitoring": {"enabled": False}}, "there are no metrics"),
    ],
)
def test_values_that_are_wrong_are_refused(values: Document, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    done = helm("template", "edge", str(CHART), "-f", str(file), check=False)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_pods_come_to_nodes_with_serial_ports(tmp_path: Path) -> None:
    pod = by_kind(render({"devices": {"enabled": True}}, tmp_path), "StatefulSet")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"leafgate.io/serial": "true"}
    assert {"name": "device-0", "hostPath": {"path": "/dev/ttyUSB0", "type": "CharDevice"}} in pod["volumes"]
    assert pod["securityContext"]["supplementalGroups"] == [20]
    assert pod["containers"][0]["securityContext"]["privileged"] is True


def test_pods_may_take_as_long_as_their_clients(tmp_path: Path) -> None:
    documents = render({"config": {"timeouts": {"lame-duck-seconds": 7.5}}}, tmp_path)
    pod = by_kind(documents, "StatefulSet")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 8 + 15
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][:2] == ["leafgate", "drain"]


class Release:
    """The objects of a release, as an API would have them."""

    def __init__(self, documents: list[Document]) -> None:
        self._objects = {(one["kind"], one["metadata"]["name"]): one for one in documents}
        network = f"127.{128 + os.getpid() // 250 % 64}.{os.getpid() % 250}"
        self._objects["Service", "edge-leafgate"]["spec"]["clusterIP"] = f"{network}.2"

    def get(self, kind: Kind, namespace: str, name: str) -> Document | None:
        return self._objects.get((kind.name, name))

    def patch(self, kind: Kind, namespace: str, name: str, change: Document, sub: str = "") -> Document:
        return self._objects[kind.name, name] | change

    @property
    def address(self) -> str:
        return str(self._objects["Service", "edge-leafgate"]["spec"]["clusterIP"])

    def set_password(self, password: str) -> None:
        data = {"password": base64.b64encode(password.encode()).decode()}
        self._objects["Secret", "edge-leafgate-user"]["data"] = data

    def stop(self) -> None:
        self._objects["StatefulSet", "edge-leafgate"]["spec"]["replicas"] = 0

    def probe(self, name: str) -> bool:
        container = self._objects["StatefulSet", "edge-leafgate"]["spec"]["template"]["spec"]["containers"][0]
        (port,) = (one["containerPort"] for one in container["ports"] if one["name"] == "monitoring")
        get = container[name]["httpGet"]
        assert get["port"] == "monitoring"
        try:
            with urllib.request.urlopen(
                f"http://{self.address}:{port}{get['path']}", timeout=PATIENCE_SECONDS
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def lets_in(self, password: str) -> bool:
        try:
            open_link(Target(ServerUrl("nats", self.address, 4222, "admin", password))).close()
        except ClientError:
            return False
        return True


def test_gateway_of_the_chart_runs_reads_secrets_again_and_drains(tmp_path: Path) -> None:
    release = Release(render({"drain": {"seconds": 1}}, tmp_path))
    release.set_password("first")
    with Kubelet(release, "plant", "edge-leafgate", tmp_path) as kubelet:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            wait_until(lambda: release.probe(probe), probe, 60)  # noqa: B023
        assert release.lets_in("first")
        release.set_password("second")
        wait_until(lambda: release.lets_in("second"), "the new password", 60)
        assert not release.lets_in("first")
        release.stop()
        wait_until(lambda: kubelet.drained, "the end", 60)
        assert (kubelet.starts, kubelet.faults) == (1, [])


def described(schema: Document, path: str = "") -> Iterator[tuple[str, bool]]:
    for key, part in schema.get("properties", {}).items():
        yield f"{path}{key}", bool(part.get("description"))
        yield from described(part, f"{path}{key}.")


def leaves(values: Document, path: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{path}{key}"
        if isinstance(value, dict) and not key.endswith("Probe"):
            yield from leaves(value, f"{path}{key}.")


def test_every_value_is_described_and_has_a_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    told = dict(described(schema))
    assert [name for name, is_told in told.items() if not is_told] == []
    defaults = set(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    free = ("resources.", "global", "imagePullSecrets", "secrets")
    assert {name for name in defaults - told.keys() if not name.startswith(free)} == set()
    assert {name for name in told.keys() - defaults if not name.startswith(free)} == set()


def test_chart_is_of_this_version() -> None:
    from gateway.version import VERSION

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
