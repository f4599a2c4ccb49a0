"""Reconciler: brings a gateway to what its resources describe, and says in their status what came of it.

It looks at everything anew each time, so it does not matter what was missed. One at a time for each gateway.
"""

import asyncio
import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import kopf

from gateway.operator.cluster import Cluster, ClusterError, values_of
from gateway.operator.credentials import Hashes, new_password
from gateway.operator.gateway_peer import Place
from gateway.operator.judging import Judgement, RefusedError, judge
from gateway.operator.kinds import ACCOUNT, CONFIG_MAP, GATEWAY, PARTS, SECRET, SERVICE, STATEFUL_SET, USER
from gateway.operator.objects import Document, Resource, Verdict, condition_in, with_verdict
from gateway.operator.observing import Observation, observe, verdict_of_gateway, verdict_of_part
from gateway.operator.openapi import SpecError
from gateway.operator.rendering import (
    OPERATOR_PASSWORD,
    PORTS,
    Fragment,
    configuration_text,
    gateway_fragment,
    given_password,
    joined,
    operator_fragment,
    part_fragment,
    secrets_named_in,
)
from gateway.operator.workload import configuration, configuration_name, monitoring_name, secret, services, stateful_set

log = logging.getLogger("leafgate.operator")

DIGEST, CHANGED, MADE, ASKED = (f"leafgate.io/{word}" for word in ("digest", "changed", "made", "asked"))
NO_ADDRESS = ("", "None")


class Options(NamedTuple):
    """`image` runs where a Gateway names none."""

    image: str
    resync_seconds: float


class Reconciler:
    """Works on one cluster. Nothing raises but ClusterError, where the cluster itself cannot be used."""

    def __init__(self, cluster: Cluster, options: Options) -> None:
        self.cluster = cluster
        self.options = options
        self._hashes = Hashes()
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def reconcile(self, namespace: str, name: str) -> None:
        """The gateway of that name, with all that belongs to it."""
        async with self._locks[namespace, name]:
            gateway = await self.cluster.resource(GATEWAY, namespace, name)
            parts = await self._parts(namespace, name)
            if gateway is None or gateway.is_leaving:
                for part in parts:
                    await self.tell(part, missing_gateway(name))
                return
            try:
                await self._bring_about(gateway, parts)
            except RefusedError as error:
                await self.tell(gateway, Verdict(False, "Refused", str(error)))
            except SpecError as error:
                await self.tell(gateway, Verdict(False, "Refused", str(error)))
            except ClusterError as error:
                if error.is_outage:
                    raise
                await self.tell(gateway, Verdict(False, "ClusterRefused", f"the cluster refuses: {error}"))

    async def _parts(self, namespace: str, name: str) -> list[Resource]:
        return [
            part
            for kind in PARTS
            for part in await self.cluster.resources(kind, namespace)
            if part.gateway == name and not part.is_leaving
        ]

    async def _bring_about(self, gateway: Resource, parts: list[Resource]) -> None:
        judgement = await self._judge(gateway, parts)
        changed = await self._write(gateway, judgement.whole)
        made = [await self.cluster.apply(SERVICE, service) for service in services(gateway)]
        stopped = bool(gateway.spec.get("stopped"))
        await self.cluster.apply(STATEFUL_SET, stateful_set(gateway, self.options.image, stopped=stopped))
        place = None if stopped else await self._place(gateway, *map(_address_of, made))
        absence = Observation("the gateway is off" if stopped else "the gateway has no address yet")
        seen = await asyncio.to_thread(observe, place) if place else absence
        for part, sentence in judgement.refused:
            await self.tell(part, Verdict(False, "Refused", sentence))
        for part in judgement.accepted:
            await self.tell(part, verdict_of_part(part, seen, changed))
        verdict = verdict_of_gateway(seen, changed, [part for part, _ in judgement.refused])
        if stopped:
            verdict = Verdict(True, "Stopped", "it is off, as its spec says")
        details = {"version": seen.version or None, "parts": len(judgement.accepted), "refused": len(judgement.refused)}
        await self.tell(gateway, verdict, address=f"{gateway.name}.{gateway.namespace}.svc", **details)

    async def _judge(self, gateway: Resource, parts: list[Resource]) -> Judgement:
        namespace = gateway.namespace
        values = await self._values(namespace, [gateway, *parts])
        there = await self.cluster.secret_values(namespace, configuration_name(gateway.name)) or {}
        password = await self._operator_password(gateway)
        hashed = await self._hash(gateway.uid, password, there.get(OPERATOR_PASSWORD), made=True)
        own = joined([gateway_fragment(gateway, values), operator_fragment([""], hashed)])
        fragments: list[tuple[Resource, Fragment]] = []
        refused: list[tuple[Resource, str]] = []
        for part in parts:
            try:
                hashed = await self._user_hash(gateway, part, values, there) if part.kind is USER else ""
                fragment = part_fragment(part, values, hashed)
            except SpecError as error:
                refused.append((part, str(error)))
                continue
            if part.kind is ACCOUNT:
                fragment = joined([fragment, operator_fragment([part.title], "")])
                del fragment.files[OPERATOR_PASSWORD]
            fragments.append((part, fragment))
        judgement = await asyncio.to_thread(judge, own, fragments)
        return judgement._replace(refused=refused + judgement.refused)

    async def _values(self, namespace: str, resources: Iterable[Resource]) -> dict[str, dict[str, bytes]]:
        """The values of all Secrets that are named; those that are not there are left out."""
        names = sorted({name for resource in resources for name in secrets_named_in(resource)})
        found = {name: await self.cluster.secret_values(namespace, name) for name in names}
        return {name: values for name, values in found.items() if values is not None}

    async def _user_hash(
        self, gateway: Resource, user: Resource, values: dict[str, dict[str, bytes]], there: dict[str, bytes]
    ) -> str:
        """The hash of a user's password; "" for one that has none. Raises SpecError."""
        place = user.spec.get("passwordSecret")
        if place is None and user.spec.get("nkey"):
            return ""
        if place is None:
            password = (await self._made_password(gateway, user)).encode()
        else:
            password = given_password(place, values)
        return await self._hash(user.uid, password, there.get(f"user.{user.name}.password"), made=place is None)

    async def _hash(self, owner: str, password: bytes | str, before: bytes | None, *, made: bool) -> str:
        password = password.encode() if isinstance(password, str) else password
        return await asyncio.to_thread(self._hashes.hash_of, owner, password, before, made=made)

    async def _made_password(self, gateway: Resource, user: Resource) -> str:
        """The password in the Secret that is made for a user, which may be a new one now."""
        scheme = "tls" if gateway.spec.get("tls") else "nats"
        url = f"{scheme}://{gateway.name}.{gateway.namespace}.svc:{PORTS['nats']}"
        rest = {"username": user.title.encode(), "url": url.encode()}
        age = float(user.spec.get("rotateAfterSeconds") or 0)
        return await self._keep_password(user, f"{user.name}-credentials", rest, age)

    async def _operator_password(self, gateway: Resource) -> str:
        return await self._keep_password(gateway, operator_secret(gateway.name), {}, 0.0)

    async def _keep_password(self, owner: Resource, name: str, rest: dict[str, bytes], age: float) -> str:
        """The password in a Secret of its owner's, made where there is none, where its owner asks for another one, and
        where it is older than `age` (0: never).
        """
        there = await self.cluster.get(SECRET, owner.namespace, name)
        marks: Document = (there or {}).get("metadata", {}).get("annotations") or {}
        password = values_of(there or {}).get("password", b"").decode("utf-8", "replace")
        made = float(marks.get(MADE, 0))
        is_due = marks.get(ASKED, "") != owner.rotation or bool(age and time.time() - made >= age)
        if not password or is_due:
            is_first = not password
            password, made = new_password(), time.time()
            if not is_first:
                self.note(owner, "Rotated", f"it has a new password, in the Secret {name}")
        wanted = secret(owner, name, rest | {"password": password.encode()})
        wanted["metadata"]["annotations"] = {MADE: f"{made:.0f}", ASKED: owner.rotation}
        await self.cluster.change(SECRET, there, wanted)
        return password

    async def _write(self, gateway: Resource, whole: Fragment) -> float:
        """Put the configuration where the gateway reads it; returns since when it has been as it is."""
        text = configuration_text(whole)
        digest = hashlib.sha256(repr((text, sorted(whole.files.items()))).encode()).hexdigest()
        there = await self.cluster.get(CONFIG_MAP, gateway.namespace, configuration_name(gateway.name))
        marks: Document = (there or {}).get("metadata", {}).get("annotations") or {}
        changed = float(marks.get(CHANGED, 0)) if marks.get(DIGEST) == digest else time.time()
        config_map, files = configuration(gateway, text, whole.files)
        config_map["metadata"]["annotations"] = {DIGEST: digest, CHANGED: f"{changed:.3f}"}
        # The file names the others.
        await self.cluster.apply(SECRET, files)
        await self.cluster.change(CONFIG_MAP, there, config_map)
        return changed

    async def place_of(self, gateway: Resource) -> Place | None:
        """Where the gateway is reached; None where its Services have no addresses yet."""
        names = (gateway.name, monitoring_name(gateway.name))
        made = [await self.cluster.get(SERVICE, gateway.namespace, name) for name in names]
        return await self._place(gateway, *(_address_of(one or {}) for one in made))

    async def _place(self, gateway: Resource, clients: str, monitoring: str) -> Place | None:
        if clients in NO_ADDRESS or monitoring in NO_ADDRESS:
            return None
        tls = gateway.spec.get("tls")
        if not tls:
            return Place(clients, monitoring)
        values = await self.cluster.secret_values(gateway.namespace, str(tls.get("secretName", ""))) or {}
        return Place(clients, monitoring, f"{gateway.name}.{gateway.namespace}.svc", values.get("ca.crt"))

    async def tell(self, resource: Resource, verdict: Verdict, **details: object) -> None:
        """Set the status of a resource, where it says something else, and tell of a change in an event."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        condition = with_verdict(resource.status, verdict, resource.generation, now)
        status: Document = {key: value for key, value in details.items() if resource.status.get(key) != value}
        if condition is not None:
            status["conditions"] = [condition]
        if status:
            try:
                await self.cluster.set_status(resource, status)
            except ClusterError as error:
                if error.status != 404:  # It has gone meanwhile.
                    raise
        before = condition_in(resource.status)
        if condition is not None and (before.get("reason"), before.get("message")) != (verdict.reason, verdict.message):
            self.note(resource, verdict.reason, verdict.message, is_fault=verdict.holds is False)

    def note(self, resource: Resource, reason: str, message: str, *, is_fault: bool = False) -> None:
        """An event of a resource, and a line in the log."""
        kind, place = "Warning" if is_fault else "Normal", f"{resource.namespace}/{resource.name}"
        level = logging.WARNING if is_fault else logging.INFO
        log.log(level, "event=%s kind=%s object=%s message=%r", reason, resource.kind.name, place, message)
        kopf.event(resource.event_target(), type=kind, reason=reason, message=message)


def _address_of(service: Document) -> str:
    return str((service.get("spec") or {}).get("clusterIP") or "")


def missing_gateway(name: str) -> Verdict:
    return Verdict(False, "NoGateway", f"there is no Gateway {name} in this namespace")


def operator_secret(gateway: str) -> str:
    return f"{gateway}-operator"
