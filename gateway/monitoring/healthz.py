"""/healthz: whether the gateway lives, and whether it is ready; what is wrong, and what to do about it.

Who restarts what hangs asks `?js-enabled-only=1`: only what a restart can mend is told there. Who sends clients here
asks without it: what is degraded is still ready.
"""

from gateway.monitoring.parameters import boolean
from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import Fault, SnapshotProvider, StreamFault

OK, BAD_REQUEST, NOT_FOUND, UNAVAILABLE = 200, 400, 404, 503
# Those of nats-server that say how much is looked at; `js-enabled` is the old name.
LIVE = ("js-enabled-only", "js-enabled")
SERVING = "js-server-only"
# Of a cluster: elsewhere nats-server looks at the streams all the same.
READY = (SERVING, "js-meta-only")


def healthz(provider: SnapshotProvider, query: dict[str, str]) -> tuple[int, Fields]:
    """Status and body. Raises ParameterError."""
    asked = {name for name in (*LIVE, *READY) if boolean(query, name)}
    live, serving = not asked.isdisjoint(LIVE), not asked.isdisjoint(READY)
    details = boolean(query, "details")
    bad = _fault_in(query)
    if bad:
        return BAD_REQUEST, _told(Fault(bad), "error", "BAD_REQUEST", details)
    fault = provider.stalled() if live else provider.health()
    if fault is not None:
        return UNAVAILABLE, _told(fault, "unavailable", "CONNECTION", details)
    if not live and SERVING not in asked:
        faults = provider.stream_faults(*(query.get(name, "") for name in ("account", "stream", "consumer")))
        if faults:
            return _of_streams(faults, details)
    # What makes the gateway itself no less available is told all the same.
    told = {} if live or serving or details else provider.degradations()
    remarks = {} if live or serving or details else provider.remarks()
    return OK, {"status": "degraded" if told else "ok"} | told | remarks


def _fault_in(query: dict[str, str]) -> str:
    """What cannot be asked about streams, if anything."""
    if query.get("stream") and not query.get("account"):
        return '"account" must not be empty when checking stream health'
    if query.get("consumer") and not query.get("stream"):
        return '"stream" must not be empty when checking consumer health'
    return ""


def _of_streams(faults: list[StreamFault], details: bool) -> tuple[int, Fields]:
    """The first of them, or all; what is not there at all goes before what is not well."""
    missing = [one for one in faults if one.is_missing]
    status, faults = (NOT_FOUND, missing) if missing else (UNAVAILABLE, faults)
    if not details:
        return status, {"status": "unavailable", "error": faults[0].error}
    return status, {"status": "error", "errors": [_entry(one) for one in faults]}


def _entry(fault: StreamFault) -> Fields:
    whose: Fields = {"account": fault.account, "stream": fault.stream, "consumer": fault.consumer}
    kind: Fields = {"type": fault.kind}
    return kind | {name: value for name, value in whose.items() if value} | {"error": fault.error}


def _told(fault: Fault, status: str, kind: str, details: bool) -> Fields:
    hint: Fields = {"hint": fault.hint} if fault.hint else {}
    if details:
        return {"status": "error", "errors": [{"type": kind, "error": fault.error} | hint]}
    return {"status": status, "error": fault.error} | hint
