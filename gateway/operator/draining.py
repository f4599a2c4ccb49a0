"""Draining: how a gateway ends when its Gateway is deleted. What waits for a hub may go there, then clients are asked
to move, and the pod ends by itself; only then the rest is let go.
"""

import asyncio

from gateway.operator.kinds import PARTS, STATEFUL_SET
from gateway.operator.objects import Resource
from gateway.operator.observing import observe
from gateway.operator.reconciler import Reconciler, missing_gateway
from gateway.operator.rendering import DRAIN_SECONDS


async def drain(reconciler: Reconciler, gateway: Resource, since: float) -> str:
    """Take the next step, `since` so many seconds from the first; returns what is still waited for, "" at the end."""
    cluster = reconciler.cluster
    there = await cluster.get(STATEFUL_SET, gateway.namespace, gateway.name)
    if there is None:
        return ""
    if (there.get("spec") or {}).get("replicas"):
        waiting = await _waiting(reconciler, gateway)
        if waiting and since < int(gateway.spec.get("drainSeconds") or DRAIN_SECONDS):
            return waiting
        if waiting:
            reconciler.note(gateway, "Undelivered", f"{waiting}; what waits stays on the volume", is_fault=True)
        reconciler.note(gateway, "Draining", "its clients are asked to go elsewhere")
        await cluster.scale(STATEFUL_SET, gateway.namespace, gateway.name, 0)
        return "its clients are asked to go elsewhere"
    if (there.get("status") or {}).get("replicas"):
        return "its pod has not ended yet"
    return ""


async def _waiting(reconciler: Reconciler, gateway: Resource) -> str:
    """Why its end has to wait; "" where nothing is on its way to a hub."""
    place = await reconciler.place_of(gateway)
    if place is None:
        return ""
    seen = await asyncio.to_thread(observe, place)
    if not seen.version:
        return f"it is not known what waits for a hub: {seen.fault}"
    return f"messages that wait for a hub: {seen.waiting_messages}" if seen.waiting_messages else ""


async def leave_behind(reconciler: Reconciler, gateway: Resource) -> None:
    """Tell those that belonged to it."""
    for kind in PARTS:
        for part in await reconciler.cluster.resources(kind, gateway.namespace):
            if part.gateway == gateway.name and not part.is_leaving:
                await reconciler.tell(part, missing_gateway(gateway.name))
