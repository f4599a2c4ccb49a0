"""Cluster: the few requests to the API of Kubernetes that the operator makes itself, as whoever kopf is logged in as.

Needs kopf and aiohttp, which it brings (pip install 'leafgate[operator]').
"""

import base64
import json
from typing import Any

import aiohttp
import kopf

from gateway.errors import GatewayError
from gateway.operator.kinds import SECRET, Kind
from gateway.operator.objects import Document, Resource

MERGE_PATCH = "application/merge-patch+json"
SECONDS = 20.0
FORBIDDEN = 403
# What of an object cannot be changed once it is there.
FIXED = {"StatefulSet": ("serviceName", "selector", "volumeClaimTemplates")}


class ClusterError(GatewayError):
    """The API has refused something, or cannot be reached. `status` is HTTP's, 0 for no answer."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status

    @property
    def is_outage(self) -> bool:
        """Whether another try may go better, with nothing changed."""
        return self.status in (0, 401, 409, 429) or self.status >= 500


class Cluster:
    """Everything raises ClusterError."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._server = ""

    async def login(self, info: kopf.ConnectionInfo) -> None:
        """Go on as this one."""
        await self.close()
        self._server = info.server.rstrip("/")
        connector = aiohttp.TCPConnector(ssl=info.as_ssl_context()) if self._server.startswith("https") else None
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, headers=info.as_http_headers(), timeout=timeout)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, kind: Kind, namespace: str, name: str) -> Document | None:
        """None where there is no such object."""
        try:
            return await self._request("GET", kind.path(namespace, name))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    async def resource(self, kind: Kind, namespace: str, name: str) -> Resource | None:
        found = await self.get(kind, namespace, name)
        return None if found is None else Resource(kind, found)

    async def resources(self, kind: Kind, namespace: str) -> list[Resource]:
        """All in a namespace, the oldest first."""
        listed = await self._request("GET", kind.path(namespace))
        return sorted((Resource(kind, one) for one in listed.get("items") or ()), key=lambda one: one.age_order)

    async def secret_values(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """None where there is no such Secret."""
        found = await self.get(SECRET, namespace, name)
        return None if found is None else values_of(found)

    async def apply(self, kind: Kind, wanted: Document) -> Document:
        """Make an object, or bring it to what is wanted of it; returns it. What others have added stays, but for keys
        in `data`.
        """
        return await self.change(kind, await self.get(kind, *_place(wanted)), wanted)

    async def change(self, kind: Kind, there: Document | None, wanted: Document) -> Document:
        """The same, of an object that was just read."""
        namespace, name = _place(wanted)
        if there is None:
            return await self._request("POST", kind.path(namespace), wanted)
        _check_owner(kind, there, wanted)
        change = {key: value for key, value in wanted.items() if key in ("metadata", "data", "spec")}
        if "spec" in change:
            fixed = FIXED.get(kind.name, ())
            change["spec"] = {key: value for key, value in change["spec"].items() if key not in fixed}
        if "data" in change:
            gone = (there.get("data") or {}).keys() - change["data"].keys()
            change["data"] = change["data"] | dict.fromkeys(gone)
        if _holds(there, change):
            return there
        return await self._request("PATCH", kind.path(namespace, name), change, MERGE_PATCH)

    async def scale(self, kind: Kind, namespace: str, name: str, replicas: int) -> None:
        await self._request("PATCH", kind.path(namespace, name), {"spec": {"replicas": replicas}}, MERGE_PATCH)

    async def set_status(self, resource: Resource, status: Document) -> None:
        """Keys of the status that are None go."""
        path = f"{resource.kind.path(resource.namespace, resource.name)}/status"
        await self._request("PATCH", path, {"status": status}, MERGE_PATCH)

    async def _request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Document:
        if self._session is None:
            raise ClusterError("the operator is not logged in at the cluster yet")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind} if data else {}
        try:
            async with self._session.request(method, self._server + path, data=data, headers=headers) as answer:
                told: Any = await answer.json(content_type=None)
                if answer.status >= 400:
                    message = told.get("message") if isinstance(told, dict) else ""
                    raise ClusterError(message or f"{method} {path}: status {answer.status}", answer.status)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ClusterError(f"the API of the cluster cannot be used: {str(error) or 'no answer in time'}") from None
        return told if isinstance(told, dict) else {}


def values_of(secret: Document) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def _place(document: Document) -> tuple[str, str]:
    return document["metadata"]["namespace"], document["metadata"]["name"]


def _check_owner(kind: Kind, there: Document, wanted: Document) -> None:
    """What somebody else has made under the name that is needed is left alone."""
    ours = {one.get("uid") for one in wanted["metadata"]["ownerReferences"]}
    owners = {one.get("uid") for one in there["metadata"].get("ownerReferences") or ()}
    if not ours & owners:
        sentence = f"there is a {kind.name} {wanted['metadata']['name']} already that is not the operator's"
        raise ClusterError(sentence, FORBIDDEN)


def _holds(there: Any, wanted: Any) -> bool:
    """Whether what is wanted is there, with whatever else; in lists, place by place."""
    if isinstance(wanted, dict):
        there = there if isinstance(there, dict) else {}
        return all(_holds(there.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(there, list):
        return len(wanted) == len(there) and all(map(_holds, there, wanted))
    return bool(there == wanted)
