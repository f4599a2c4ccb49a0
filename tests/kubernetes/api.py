"""A client of the API of Kubernetes, for tests."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from gateway.operator.kinds import SECRET, Kind
from tests.patience import PATIENCE_SECONDS

Document = dict[str, Any]
EVENT = Kind("Event", "events")


class RefusedError(Exception):
    """The API said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """As the bearer of a token, where there is one."""

    def __init__(self, url: str, token: str = "", authority: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.authority = authority
        context = ssl.create_default_context(cafile=authority) if authority else None
        handlers = [urllib.request.HTTPSHandler(context=context)] if context else []
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Document:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=PATIENCE_SECONDS) as answer:
                told: Document = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                content = error.read().decode(errors="replace")
            raise RefusedError(error.code, content) from None
        return told

    def get(self, kind: Kind, namespace: str, name: str) -> Document | None:
        try:
            return self.ask("GET", kind.path(namespace, name))
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def create(self, kind: Kind, namespace: str, name: str, **parts: object) -> Document:
        document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}}
        return self.ask("POST", kind.path(namespace), document | parts)

    def patch(self, kind: Kind, namespace: str, name: str, change: Document, sub: str = "") -> Document:
        path = kind.path(namespace, name) + (f"/{sub}" if sub else "")
        return self.ask("PATCH", path, change, "application/merge-patch+json")

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        self.ask("DELETE", kind.path(namespace, name))

    def items(self, kind: Kind, namespace: str) -> list[Document]:
        found: list[Document] = self.ask("GET", kind.path(namespace))["items"]
        return found

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """The values of a Secret; empty where there is none."""
        data = (self.get(SECRET, namespace, name) or {}).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def put_secret(self, namespace: str, name: str, **values: str) -> None:
        data = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()}
        if self.get(SECRET, namespace, name) is None:
            self.create(SECRET, namespace, name, data=data)
        else:
            self.patch(SECRET, namespace, name, {"data": data})

    def condition(self, kind: Kind, namespace: str, name: str) -> tuple[str, str, str]:
        """Status, reason and message of the condition Ready."""
        status = (self.get(kind, namespace, name) or {}).get("status") or {}
        found = next(iter(status.get("conditions") or ()), {})
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def events(self, namespace: str, name: str) -> list[tuple[str, str]]:
        """Reasons and messages of the events of objects of a name."""
        found = self.items(EVENT, namespace)
        return [(one["reason"], one["message"]) for one in found if one["involvedObject"]["name"] == name]
