"""Workload: the objects that run a gateway, as documents."""

import base64

from gateway.operator.kinds import CONFIG_MAP, SECRET, SERVICE, STATEFUL_SET, Kind
from gateway.operator.objects import Document, Resource
from gateway.operator.rendering import CONTROL_SOCKET, DATA, DRAIN_SECONDS, FILE, FOLDER, MONITORING_PORT, ports_of

USER_ID = 65532
SIZE = "1Gi"
# Behind the last client: connections flushed, databases closed.
END_SECONDS = 15
NAME_LABEL, INSTANCE_LABEL, MANAGER_LABEL = (f"app.kubernetes.io/{word}" for word in ("name", "instance", "managed-by"))


def configuration_name(gateway: str) -> str:
    return f"{gateway}-configuration"


def monitoring_name(gateway: str) -> str:
    return f"{gateway}-monitoring"


def _document(kind: Kind, gateway: Resource, name: str, **parts: object) -> Document:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {
            "name": name,
            "namespace": gateway.namespace,
            "labels": _selector(gateway) | {MANAGER_LABEL: "leafgate-operator"},
            "ownerReferences": [gateway.owner_reference()],
        },
    } | parts


def _selector(gateway: Resource) -> Document:
    return {NAME_LABEL: "leafgate", INSTANCE_LABEL: gateway.name}


def secret(owner: Resource, name: str, values: dict[str, bytes]) -> Document:
    """A Secret that goes with its owner."""
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    return _document(SECRET, owner, name, type="Opaque", data=data)


def configuration(gateway: Resource, text: str, files: dict[str, bytes]) -> list[Document]:
    """The two parts of the folder that the gateway reads: the file, and what is secret."""
    name = configuration_name(gateway.name)
    return [_document(CONFIG_MAP, gateway, name, data={FILE: text}), secret(gateway, name, files)]


def services(gateway: Resource) -> list[Document]:
    """One for clients, and one for those who watch, which is never shown to the world."""
    doors = [{"name": name, "port": port, "targetPort": port} for name, port in ports_of(gateway).items()]
    watch = [{"name": "monitoring", "port": MONITORING_PORT, "targetPort": MONITORING_PORT}]
    kind = gateway.spec.get("serviceType") or "ClusterIP"
    spec: Document = {"selector": _selector(gateway)}
    clients = _document(SERVICE, gateway, gateway.name, spec=spec | {"type": kind, "ports": doors})
    if gateway.spec.get("serviceAnnotations"):
        clients["metadata"]["annotations"] = gateway.spec["serviceAnnotations"]
    return [
        clients,
        _document(SERVICE, gateway, monitoring_name(gateway.name), spec=spec | {"type": "ClusterIP", "ports": watch}),
    ]


def stateful_set(gateway: Resource, image: str, *, stopped: bool) -> Document:
    """One pod, or none where it is `stopped`. Its template has nothing of the configuration, which is read again."""
    storage = gateway.spec.get("storage") or {}
    claim: Document = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.get("size") or SIZE}},
    }
    if storage.get("storageClassName"):
        claim["storageClassName"] = storage["storageClassName"]
    deleted = "Retain" if storage.get("keep", True) else "Delete"
    spec = {
        "replicas": 0 if stopped else 1,
        "serviceName": monitoring_name(gateway.name),
        "selector": {"matchLabels": _selector(gateway)},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": "Retain"},
        "template": _pod(gateway, image),
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    return _document(STATEFUL_SET, gateway, gateway.name, spec=spec)


def _pod(gateway: Resource, image: str) -> Document:
    spec = gateway.spec
    metadata: Document = {"labels": (spec.get("podLabels") or {}) | _selector(gateway)}
    if spec.get("podAnnotations"):
        metadata["annotations"] = spec["podAnnotations"]
    pod: Document = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": int(spec.get("drainSeconds") or DRAIN_SECONDS) + END_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(gateway, spec.get("image") or image)],
        "volumes": _volumes(gateway),
    }
    for key in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity"):
        if spec.get(key):
            pod[key] = spec[key]
    return {"metadata": metadata, "spec": pod}


def _container(gateway: Resource, image: str) -> Document:
    spec = gateway.spec
    devices = spec.get("devices") or []
    file = f"{FOLDER}/{FILE}"
    folders = (("configuration", FOLDER), ("data", DATA), ("run", CONTROL_SOCKET.rpartition("/")[0]), ("tmp", "/tmp"))  # noqa: S108
    mounts: list[Document] = [{"name": name, "mountPath": path} for name, path in folders]
    mounts[0]["readOnly"] = True
    mounts += [{"name": f"device-{index}", "mountPath": path} for index, path in enumerate(devices)]
    bounds = {"privileged": True} if devices else {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container: Document = {
        "name": "leafgate",
        "image": image,
        "command": ["leafgate", "run", "-c", file],
        "ports": [{"name": "monitoring", "containerPort": MONITORING_PORT}],
        "livenessProbe": _probe("/healthz?js-enabled-only=true", 10, 3),
        "readinessProbe": _probe("/healthz", 5, 2),
        "startupProbe": _probe("/healthz", 2, 150),
        "lifecycle": {"preStop": {"exec": {"command": ["leafgate", "drain", "-c", file]}}},
        "securityContext": {"readOnlyRootFilesystem": True} | bounds,
        "volumeMounts": mounts,
    }
    for key in ("imagePullPolicy", "resources"):
        if spec.get(key):
            container[key] = spec[key]
    return container


def _probe(path: str, period: int, failures: int) -> Document:
    get = {"path": path, "port": "monitoring"}
    return {"httpGet": get, "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures}


def _volumes(gateway: Resource) -> list[Document]:
    name = configuration_name(gateway.name)
    sources = [{"configMap": {"name": name}}, {"secret": {"name": name}}]
    volumes: list[Document] = [
        # The gateway takes no secret that everybody could read.
        {"name": "configuration", "projected": {"defaultMode": 0o440, "sources": sources}},
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    devices = gateway.spec.get("devices") or []
    volumes += [
        {"name": f"device-{index}", "hostPath": {"path": path, "type": "CharDevice"}}
        for index, path in enumerate(devices)
    ]
    return volumes
