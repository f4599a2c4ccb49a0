"""/healthz: whether the gateway lives, and whether it is ready; what is wrong, and what to do about it.

Who restarts what hangs asks `?js-enabled-only=1`: only what a restart can mend is told there. Who sends clients here
asks without it: what is degraded is still ready.
"""

from gateway.monitoring.parameters import boolean
from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import Fault, SnapshotProvider

OK, BAD_REQUEST, NOT_FOUND, UNAVAILABLE = 200, 400, 404, 503
# Those of nats-server that say how much is looked at; `js-enabled` is the old name.
LIVE = ("js-enabled-only", "js-enabled")
READY = ("js-server-only", "js-meta-only")
NO_STREAMS = "JetStream is not enabled: there are no streams here"


def healthz(provider: SnapshotProvider, query: dict[str, str]) -> tuple[int, Fields]:
    """Status and body. Raises ParameterError."""
    asked = {name for name in (*LIVE, *READY) if boolean(query, name)}
    live, serving = not asked.isdisjoint(LIVE), not asked.isdisjoint(READY)
    details = boolean(query, "details")
    bad = _fault_in(query)
    if bad is not None:
        return _refusal(*bad, details)
    fault = provider.stalled() if live else provider.health()
    if fault is not None:
        return UNAVAILABLE, _told(fault, details)
    # What makes the gateway itself no less available is told all the same.
    faults = {} if live or serving or details else provider.degradations()
    remarks = {} if live or serving or details else provider.remarks()
    return OK, {"status": "degraded" if faults else "ok"} | faults | remarks


def _fault_in(query: dict[str, str]) -> tuple[int, str, str] | None:
    """Status, kind and text of what cannot be answered about streams."""
    if query.get("stream") and not query.get("account"):
        return BAD_REQUEST, "BAD_REQUEST", '"account" must not be empty when checking stream health'
    if query.get("consumer") and not query.get("stream"):
        return BAD_REQUEST, "BAD_REQUEST", '"stream" must not be empty when checking consumer health'
    if query.get("account"):
        return NOT_FOUND, "JETSTREAM", NO_STREAMS
    return None


def _refusal(status: int, kind: str, text: str, details: bool) -> tuple[int, Fields]:
    if details:
        return status, {"status": "error", "errors": [{"type": kind, "error": text}]}
    return status, {"status": "error", "error": text}


def _told(fault: Fault, details: bool) -> Fields:
    hint: Fields = {"hint": fault.hint} if fault.hint else {}
    if details:
        return {"status": "error", "errors": [{"type": "CONNECTION", "error": fault.error} | hint]}
    return {"status": "unavailable", "error": fault.error} | hint
