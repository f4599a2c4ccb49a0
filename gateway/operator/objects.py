"""Objects of the cluster as the operator handles them: documents as the API gives them, and what is read from them."""

from typing import Any, NamedTuple

from gateway.operator.kinds import Kind

Document = dict[str, Any]


class Resource(NamedTuple):
    """One of our custom resources, as it was read."""

    kind: Kind
    document: Document

    @property
    def metadata(self) -> Document:
        found: Document = self.document.get("metadata") or {}
        return found

    @property
    def name(self) -> str:
        return str(self.metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        return str(self.metadata.get("namespace", ""))

    @property
    def spec(self) -> Document:
        found = self.document.get("spec")
        return found if isinstance(found, dict) else {}

    @property
    def status(self) -> Document:
        found: Document = self.document.get("status") or {}
        return found

    @property
    def generation(self) -> int:
        return int(self.metadata.get("generation") or 0)

    @property
    def uid(self) -> str:
        return str(self.metadata.get("uid", ""))

    @property
    def gateway(self) -> str:
        """The name of the Gateway that it belongs to."""
        return str(self.spec.get("gateway", ""))

    @property
    def title(self) -> str:
        """What it is called in the gateway: by its spec, else as the object."""
        return str(self.spec.get("name") or self.name)

    @property
    def is_leaving(self) -> bool:
        return bool(self.metadata.get("deletionTimestamp"))

    @property
    def rotation(self) -> str:
        """What stands in the annotation by which a new password is asked for."""
        return str((self.metadata.get("annotations") or {}).get(ROTATE, ""))

    @property
    def age_order(self) -> tuple[str, str]:
        """Of two that exclude each other the older one holds."""
        return str(self.metadata.get("creationTimestamp", "")), self.name

    def owner_reference(self) -> Document:
        """By which the cluster deletes with it what was made for it."""
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.name,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
        }

    def event_target(self) -> Document:
        """The body that an event is about."""
        return {"apiVersion": self.kind.api_version, "kind": self.kind.name} | self.document


ROTATE = "leafgate.io/rotate"
READY = "Ready"


class Verdict(NamedTuple):
    """Whether an object holds: True, False, or None while that is not known yet; a word, and a sentence."""

    holds: bool | None
    reason: str
    message: str

    @property
    def status(self) -> str:
        return "Unknown" if self.holds is None else str(self.holds)


def condition_in(status: Document) -> Document:
    """The condition Ready of a status; empty where there is none."""
    conditions = status.get("conditions") or []
    return next((dict(one) for one in conditions if one.get("type") == READY), {})


def with_verdict(status: Document, verdict: Verdict, generation: int, now: str) -> Document | None:
    """The condition that a status gets; None where it says all that already."""
    before = condition_in(status)
    after = {
        "type": READY,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message,
        "observedGeneration": generation,
        "lastTransitionTime": before.get("lastTransitionTime", now),
    }
    if after == before:
        return None
    return after if after["status"] == before.get("status") else after | {"lastTransitionTime": now}
