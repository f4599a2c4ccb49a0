"""An API of Kubernetes in memory, as a process of its own: `python -m tests.kubernetes.emulator FILE` writes its URL
into a file. It is PyPI's kmock, with what clusters add to objects by themselves.

It validates nothing, lets everybody do anything, and has no controllers.
"""

import asyncio
import itertools
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonpatch
import kmock

from gateway.operator.kinds import CONFIG_MAP, GATEWAY, PARTS, SECRET, SERVICE, STATEFUL_SET, STREAM, Kind

VERBS = {"get", "list", "watch", "create", "patch", "delete"}
OTHERS = (
    Kind("Namespace", "namespaces"),
    Kind("Event", "events"),
    Kind("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io"),
)
DECLARED = (GATEWAY, *PARTS, STREAM, CONFIG_MAP, SECRET, SERVICE, STATEFUL_SET, *OTHERS)
# Addresses of this machine's loopback interface; every emulator has its own.
NETWORK = f"127.{64 + os.getpid() // 250 % 64}.{os.getpid() % 250}"
CLUSTER_WIDE = ("Namespace", "CustomResourceDefinition")


class Emulator(kmock.KubernetesEmulator):
    """Gives objects what they get in a cluster: an identity, generations, addresses."""

    numbers = itertools.count(2)
    versions = itertools.count(1)

    async def _handle(self, request: Any) -> Any:
        if request.resource is not None and request.action == kmock.action.CREATE:
            self._complete(request)
        elif request.resource is not None and request.action == kmock.action.UPDATE:
            self._number(request)
        # It keeps all requests, and looks through them at each.
        for one in (self, *self._payloads):
            one._requests[:-1] = []
        try:
            return await super()._handle(request)
        except jsonpatch.JsonPatchTestFailed as error:
            raise kmock.KubernetesError(status=422, reason="Invalid", message=str(error)) from None

    def _number(self, request: Any) -> None:
        """A change has a version of its own, and one of the spec a generation."""
        version = str(next(self.versions))
        if isinstance(request.data, list):
            request.data.append({"op": "add", "path": "/metadata/resourceVersion", "value": version})
            return
        metadata = request.data.setdefault("metadata", {})
        metadata["resourceVersion"] = version
        key = (request.resource, request.namespace, request.name)
        if "spec" in request.data and key in self.objects:
            there = self.objects[key]
            metadata["generation"] = there["metadata"].get("generation", 1) + 1

    def _complete(self, request: Any) -> None:
        metadata = request.data.setdefault("metadata", {})
        metadata.setdefault("name", f"{metadata.get('generateName', '')}{uuid.uuid4().hex[:8]}")
        metadata |= {"uid": str(uuid.uuid4()), "generation": 1, "resourceVersion": str(next(self.versions))}
        metadata["creationTimestamp"] = datetime.now(UTC).isoformat()
        if request.namespace:
            metadata["namespace"] = request.namespace
        if request.resource.plural == "services":
            request.data["spec"].setdefault("clusterIP", f"{NETWORK}.{next(self.numbers)}")


async def serve(file: Path) -> None:
    """Until the process ends."""
    emulator = Emulator()
    for kind in DECLARED:
        group = f"{kind.group}/" if kind.group else ""
        emulator.resources[f"{group}{kind.version}/{kind.plural}"] = kmock.ResourceInfo(
            namespaced=kind.name not in CLUSTER_WIDE,
            kind=kind.name,
            singular=kind.name.lower(),
            verbs=VERBS,
            subresources={"status"} if kind.group == GATEWAY.group else set(),
        )
    async with emulator, kmock.Server(emulator) as server:
        file.with_suffix(".new").write_text(str(server.url))
        file.with_suffix(".new").rename(file)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
