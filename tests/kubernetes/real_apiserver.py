"""What only a real kube-apiserver tells: schemas and rights. `make operator-real` runs this and test_operator.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.operator.kinds import BRIDGE, GATEWAY, SECRET, STATEFUL_SET, STREAM, USER, Kind
from tests.kubernetes.api import Api, Document, RefusedError
from tests.kubernetes.clusters import NAMESPACE, Cluster, operator, wait_until
from tests.kubernetes.real import PATHS, as_operator, real_cluster

ROLE_BINDING = Kind("RoleBinding", "rolebindings", "rbac.authorization.k8s.io")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with real_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.mark.parametrize(
    ("kind", "spec", "complaint"),
    [
        (GATEWAY, {"limits": {"maxPayloadBytes": 0}}, "should be greater than or equal to 1"),
        (GATEWAY, {"limits": {"maxPayloadBytes": "much"}}, "must be of type integer"),
        (GATEWAY, {"serviceType": "Public"}, "Unsupported value"),
        (GATEWAY, {"tls": {}}, "spec.tls.secretName: Required value"),
        (USER, {}, "spec.gateway: Required value"),
        (USER, {"gateway": "edge", "connectionTypes": ["pigeon"]}, "Unsupported value"),
        (BRIDGE, {"gateway": "edge", "urls": ["mqtt://a"]}, "spec.topics: Required value"),
        (STREAM, {"gateway": "edge", "maxBytes": -2}, "should be greater than or equal to -1"),
        (STREAM, {"gateway": "edge", "subjects": "a"}, "must be of type array"),
    ],
)
def test_wrong_specs_are_refused_at_once(cluster: Cluster, kind: Kind, spec: Document, complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint) as refusal:
        cluster.api.create(kind, NAMESPACE, "wrong", spec=spec)
    assert refusal.value.status == 422


def test_names_of_gateways_leave_room_for_those_of_their_objects(cluster: Cluster) -> None:
    with pytest.raises(RefusedError, match=r"metadata\.name.*52"):
        cluster.api.create(GATEWAY, NAMESPACE, "x" * 53, spec={})


def refused(api: Api, method: str, path: str, body: object = None) -> bool:
    try:
        api.ask(method, path, body)
    except RefusedError as error:
        return error.status == 403
    return False


def test_operator_may_do_what_it_needs_and_no_more(cluster: Cluster) -> None:
    api = as_operator(cluster.api)
    cluster.api.put_secret(NAMESPACE, "somebodys", password="x")
    assert api.secret(NAMESPACE, "somebodys") == {"password": "x"}
    assert refused(api, "GET", SECRET.path(NAMESPACE))
    assert refused(api, "GET", f"{SECRET.path('')}?watch=true")
    assert refused(api, "DELETE", SECRET.path(NAMESPACE, "somebodys"))
    assert refused(api, "DELETE", STATEFUL_SET.path(NAMESPACE, "any"))
    assert refused(api, "DELETE", GATEWAY.path(NAMESPACE, "any"))
    assert refused(api, "POST", "/api/v1/namespaces/plant/pods", {})
    assert refused(api, "GET", "/api/v1/nodes")
    assert refused(api, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {})


def test_operator_of_one_namespace_needs_no_rights_in_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """As rbac.yaml says that it may be bound."""
    account = "leafgate-operator-here"
    cluster.api.create(PATHS["Namespace"], "", "here")
    cluster.api.create(PATHS["ServiceAccount"], "leafgate-operator", account)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "leafgate-operator"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "leafgate-operator"}
    cluster.api.create(ROLE_BINDING, "here", account, roleRef=role, subjects=[subject])
    with operator(tmp_path, as_operator(cluster.api, account), "--namespace", "here"):
        cluster.api.create(GATEWAY, "here", "own", spec={})
        wait_until(lambda: cluster.api.get(STATEFUL_SET, "here", "own") is not None, "a StatefulSet")


def test_operator_makes_no_complaint_about_its_rights(cluster: Cluster) -> None:
    cluster.api.create(GATEWAY, NAMESPACE, "seen", spec={})
    cluster.api.create(USER, NAMESPACE, "guest", spec={"gateway": "seen"})
    with cluster.kubelet("seen"):
        cluster.wait_for(USER, "guest", "True")
        cluster.wait_for_event("guest", "InForce")
        cluster.api.delete(GATEWAY, NAMESPACE, "seen")
        cluster.wait_gone(GATEWAY, "seen")
    log = cluster.operator.log()
    assert "orbidden" not in log
    assert "403" not in log
