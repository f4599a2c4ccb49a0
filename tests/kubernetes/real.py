"""A real kube-apiserver with etcd, as tests/kubernetes/build_apiserver.sh builds them: schemas, rights and watches are
those of clusters. There are no controllers, no scheduler and no kubelet but ours.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from gateway.operator.kinds import Kind
from tests.integration.certificates import Site
from tests.integration.peers import Peer, free_port, running
from tests.kubernetes.api import Api, RefusedError
from tests.kubernetes.clusters import NAMESPACE, Cluster, operator, wait_until

MANIFESTS = Path(__file__).parents[2] / "configs/operator"
# The folder of the programs; without it the tests use the API in memory.
FOLDER = os.environ.get("LEAFGATE_APISERVER", "")
# Services have addresses of the loopback interface, where gateways can be.
ADDRESSES = "127.88.0.0/16"
PATHS = {
    "Namespace": Kind("Namespace", "namespaces"),
    "ServiceAccount": Kind("ServiceAccount", "serviceaccounts"),
    "ClusterRole": Kind("ClusterRole", "clusterroles", "rbac.authorization.k8s.io"),
    "ClusterRoleBinding": Kind("ClusterRoleBinding", "clusterrolebindings", "rbac.authorization.k8s.io"),
    "CustomResourceDefinition": Kind("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io"),
    "Deployment": Kind("Deployment", "deployments", "apps"),
}


@contextmanager
def etcd(folder: Path) -> Iterator[str]:
    folder.mkdir()
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    options = {"data-dir": folder / "data", "listen-client-urls": clients, "advertise-client-urls": clients}
    options |= {"listen-peer-urls": peers, "initial-advertise-peer-urls": peers, "initial-cluster": f"default={peers}"}
    command = [f"{FOLDER}/etcd", *(f"--{key}={value}" for key, value in options.items())]
    peer = Peer("etcd", folder, command, {"http": int(clients.rpartition(":")[2])})
    peer.start()
    with running(peer):
        peer.wait_ports()
        yield clients


@contextmanager
def apiserver(folder: Path) -> Iterator[Api]:
    """The API, as somebody who may do anything."""
    folder.mkdir()
    site = Site(folder / "tls")
    (folder / "tokens.csv").write_text("admin-token,admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
    port = free_port()
    with etcd(folder / "etcd") as storage:
        options = {
            "etcd-servers": storage,
            "bind-address": "127.0.0.1",
            "secure-port": port,
            "tls-cert-file": site.path("server.pem"),
            "tls-private-key-file": site.path("server.key"),
            "token-auth-file": folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": folder / "sa.key",
            "service-account-signing-key-file": folder / "sa.key",
            "service-cluster-ip-range": ADDRESSES,
            "endpoint-reconciler-type": "none",
            # As strict as it can be made about who may name a controller.
            "enable-admission-plugins": "OwnerReferencesPermissionEnforcement",
        }
        command = [f"{FOLDER}/kube-apiserver", *(f"--{key}={value}" for key, value in options.items())]
        peer = Peer("kube-apiserver", folder, command, {"https": port})
        peer.start()
        with running(peer):
            api = Api(f"https://127.0.0.1:{port}", "admin-token", site.path("ca.pem"))
            peer.wait_ready(lambda: is_ready(api))
            yield api


def is_ready(api: Api) -> bool:
    try:
        return api.ask("GET", "/api/v1/namespaces/default")["kind"] == "Namespace"
    except (OSError, RefusedError):
        return False


def put(api: Api, file: Path) -> None:
    """As `kubectl create -f` does it."""
    for document in yaml.safe_load_all(file.read_text()):
        kind = PATHS[document["kind"]]
        api.ask("POST", kind.path(document["metadata"].get("namespace", "")), document)


@contextmanager
def real_cluster(folder: Path) -> Iterator[Cluster]:
    """The operator comes with the rights of its service account, and no others."""
    with apiserver(folder / "api") as api:
        for name in ("crds", "rbac", "deployment"):
            put(api, MANIFESTS / f"{name}.yaml")
        api.create(PATHS["Namespace"], "", NAMESPACE)
        definition = PATHS["CustomResourceDefinition"]

        def are_served() -> bool:
            found = api.items(definition, "")
            return all(
                {"type": "Established", "status": "True"}.items() <= condition.items()
                for one in found
                for condition in (one.get("status") or {}).get("conditions") or [{}]
                if condition.get("type") in (None, "Established")
            )

        wait_until(are_served, "service of the resources")
        (folder / "operator").mkdir()
        with operator(folder / "operator", as_operator(api)) as process:
            yield Cluster(api, process, folder / "nodes")


def as_operator(api: Api, account: str = "leafgate-operator") -> Api:
    """The API, as the service account of the operator."""
    path = PATHS["ServiceAccount"].path("leafgate-operator", account)
    token = api.ask("POST", f"{path}/token", {"spec": {"expirationSeconds": 7200}})["status"]["token"]
    return Api(api.url, token, api.authority)
