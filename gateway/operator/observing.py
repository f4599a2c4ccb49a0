"""Observing: what a running gateway tells of itself, and what that means for each resource that made it."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gateway.operator.gateway_peer import PeerError, Place, ask_monitoring
from gateway.operator.kinds import BRIDGE, UPLINK
from gateway.operator.objects import Document, Resource, Verdict

# Of resources, in one sentence.
MOST_NAMES = 5
WAITING = Verdict(None, "Waiting", "it is in the configuration, which the gateway has not read yet")


class Observation(NamedTuple):
    """`fault` says why the gateway cannot be reached, or what it says is wrong with itself; `reads` since when it has
    the configuration that it has, by the operator's clock; `refusal` why it did not take another.
    """

    fault: str = ""
    version: str = ""
    reads: float = 0.0
    refusal: str = ""
    uplinks: dict[str, Document] = {}  # noqa: RUF012 -- nobody writes into it
    bridges: dict[str, Document] = {}  # noqa: RUF012
    waiting_messages: int = 0


def observe(place: Place) -> Observation:
    """Blocks for the network."""
    try:
        before = time.time()
        told = ask_monitoring(place, "varz")
        health = ask_monitoring(place, "healthz")
    except PeerError as error:
        return Observation(fault=str(error))
    fault = health.get("error") if health.get("status") == "unavailable" else ""
    return Observation(
        fault=f"the gateway says: {fault}" if fault else "",
        version=str(told.get("leafgate_version", "")),
        # By its clock it was so long ago.
        reads=before - max(_seconds(told, "now") - _seconds(told, "config_load_time"), 0.0),
        refusal=str(health.get("configuration", "")),
        uplinks=_by_name(told.get("uplinks")),
        bridges=_by_name(told.get("bridges")),
        waiting_messages=sum(int(one.get("messages", 0)) for one in told.get("store_and_forward") or ()),
    )


def _seconds(told: Document, key: str) -> float:
    try:
        return datetime.fromisoformat(str(told.get(key))).timestamp()
    except ValueError:
        return 0.0


def _by_name(found: Any) -> dict[str, Document]:
    return {str(one.get("name")): one for one in found or () if isinstance(one, dict)}


def verdict_of_part(part: Resource, seen: Observation, changed: float) -> Verdict:
    """What holds of a resource that is in the configuration, which has been as it is since `changed`."""
    if seen.fault:
        return Verdict(None, "GatewayAway", f"it is in the configuration; {seen.fault}")
    if seen.refusal:
        return Verdict(False, "NotTaken", f"the gateway has not taken the configuration: {seen.refusal}")
    if seen.reads < changed:
        return WAITING
    if part.kind not in (UPLINK, BRIDGE):
        return Verdict(True, "InForce", "it is in force")
    link = (seen.uplinks if part.kind is UPLINK else seen.bridges).get(part.title)
    if link is None:
        return WAITING
    if link.get("up"):
        return Verdict(True, "Up", f"the link is up: {link.get('url', '')}")
    if link.get("state") == "standby":
        return Verdict(True, "Standby", f"it stands by for {link.get('standing_by_for', '')}")
    return Verdict(False, "Down", f"the link is down: {link.get('last_error') or 'no attempt has ended yet'}")


def verdict_of_gateway(seen: Observation, changed: float, refused: Sequence[Resource]) -> Verdict:
    if seen.fault:
        return Verdict(False, "Away", seen.fault)
    if seen.refusal:
        return Verdict(False, "NotTaken", f"it has not taken the configuration: {seen.refusal}")
    if seen.reads < changed:
        return Verdict(None, "Waiting", "it runs, and has not read the last configuration yet")
    names = [f"{one.kind.name} {one.name}" for one in refused[:MOST_NAMES]]
    if len(refused) > MOST_NAMES:
        names.append(f"and {len(refused) - MOST_NAMES} more")
    return Verdict(True, "Running", "it runs" + (f"; left out is what is wrong: {', '.join(names)}" if names else ""))
