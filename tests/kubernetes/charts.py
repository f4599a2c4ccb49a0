"""The chart, rendered by the real helm, and what is made of it: objects that a cluster would take, and a configuration
that the gateway would.
"""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.integration.certificates import Site
from tests.integration.peers import require_peer

CHART = Path(__file__).parents[2] / "configs/helm/leafgate"
# The oldest version that Chart.yaml lets in, and a new one.
VERSIONS = ("1.25", "1.37")
# Of the Prometheus operator, of which no version of Kubernetes has a schema.
FOREIGN = "monitoring.coreos.com/v1"

Document = dict[str, Any]


def helm(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run it; what it prints is in the result."""
    return subprocess.run([require_peer("helm"), *arguments], capture_output=True, text=True, check=check, timeout=120)


def render(values: Document, folder: Path) -> list[Document]:
    """The objects that a release would have."""
    file = folder / "values.yaml"
    file.write_text(json.dumps(values))
    done = helm("template", "edge", str(CHART), "--namespace", "plant", "-f", str(file), check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def validate(documents: list[Document]) -> None:
    """As clusters do it, with unknown fields refused."""
    for document in documents:
        if document["apiVersion"] != FOREIGN:
            for version in VERSIONS:
                kubernetes_validate.validate(document, version, strict=True)


def by_kind(documents: list[Document], kind: str) -> Document:
    """The only one of a kind, or the first."""
    return next(one for one in documents if one["kind"] == kind)


def lay_out(documents: list[Document], folder: Path) -> Path:
    """The configuration as the pod would find it, with all files that it names, below a folder; its path."""
    pod = next(one for one in documents if one["kind"] in ("StatefulSet", "Deployment"))["spec"]["template"]["spec"]
    text = by_kind(documents, "ConfigMap")["data"]["leafgate.toml"]
    made = {one["metadata"]["name"]: one["data"] for one in documents if one["kind"] == "Secret"}
    site = Site(folder / "authority")
    given = {"tls.crt": site.path("server.pem"), "tls.key": site.path("server.key"), "ca.crt": site.path("ca.pem")}
    volumes = {one["name"]: one for one in pod["volumes"]}
    for mount in pod["containers"][0]["volumeMounts"]:
        source = volumes.get(mount["name"], {}).get("secret")
        if source is None:
            continue
        assert source["defaultMode"] & 0o007 == 0
        place = folder / mount["mountPath"].lstrip("/")
        place.mkdir(parents=True)
        values = {key: base64.b64decode(value) for key, value in made.get(source["secretName"], {}).items()}
        for key, value in (values or {key: Path(path).read_bytes() for key, path in given.items()}).items():
            (place / key).write_bytes(value)
            (place / key).chmod(source["defaultMode"])
    for path in ("/etc/leafgate", "/var/lib/leafgate", "/run/leafgate"):
        text = text.replace(f'"{path}', f'"{folder}{path}')
    file = folder / "leafgate.toml"
    file.write_text(text)
    return file


def check(file: Path) -> subprocess.CompletedProcess[str]:
    """What `leafgate check` says."""
    command = [sys.executable, "-m", "gateway", "check", "-c", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
