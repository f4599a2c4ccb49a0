"""Streams of the resources Stream, made, changed and removed in the gateways that they belong to."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gateway.command.streams.api import Api, ApiError
from gateway.errors import GatewayError
from gateway.operator.gateway_peer import Place, jetstream
from gateway.operator.kinds import GATEWAY
from gateway.operator.objects import Document, Resource, Verdict
from gateway.operator.reconciler import Reconciler, missing_gateway, operator_secret
from gateway.operator.rendering import MISSHAPEN, misshapen, operator_user
from gateway.operator.stream_wishes import bring_about, remove, wish

T = TypeVar("T")


class StreamKeeper:
    """Raises ClusterError where the cluster itself cannot be used."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    async def keep(self, stream: Resource) -> bool:
        """Bring a stream about and say in its status what came of it; returns whether it is as it shall be."""
        verdict, state = await self._keep(stream)
        await self._reconciler.tell(stream, verdict, **state)
        return verdict.holds is True

    async def _keep(self, stream: Resource) -> tuple[Verdict, Document]:
        gateway = await self._gateway(stream)
        if gateway is None:
            return missing_gateway(stream.gateway), {}
        if gateway.spec.get("streams") is None:
            return Verdict(False, "NoStreams", f"the Gateway {gateway.name} has no streams: set its spec.streams"), {}
        try:
            wanted = wish(stream)
        except (*MISSHAPEN, ValueError) as error:
            return Verdict(False, "Refused", str(misshapen(error))), {}
        try:
            done, state = await self._ask(gateway, stream, lambda api: bring_about(api, stream, wanted))
        except ApiError as error:
            return Verdict(False, "Refused", f"the gateway refuses it: {error}"), {}
        except GatewayError as error:
            return Verdict(False, "GatewayAway", str(error)), {}
        if done:
            self._reconciler.note(stream, done.capitalize(), f"the stream {stream.title} was {done} in the gateway")
        return Verdict(True, "InForce", "the gateway has it"), state

    async def remove(self, stream: Resource) -> str:
        """Remove a stream that is not to be kept; returns why that cannot be done now, "" where it is done."""
        gateway = await self._gateway(stream)
        if stream.spec.get("keep", True) or gateway is None:
            return ""
        try:
            if await self._ask(gateway, stream, lambda api: remove(api, stream)):
                self._reconciler.note(stream, "Removed", f"the stream {stream.title} was removed from the gateway")
        except ApiError as error:
            self._reconciler.note(stream, "NotRemoved", f"the gateway keeps the stream: {error}", is_fault=True)
        except GatewayError as error:
            return f"the stream cannot be removed yet: {error}"
        return ""

    async def _gateway(self, stream: Resource) -> Resource | None:
        gateway = await self._reconciler.cluster.resource(GATEWAY, stream.namespace, stream.gateway)
        return None if gateway is None or gateway.is_leaving else gateway

    async def _ask(self, gateway: Resource, stream: Resource, what: Callable[[Api], T]) -> T:
        """Raises GatewayError."""
        place = await self._reconciler.place_of(gateway)
        secret = operator_secret(gateway.name)
        values = await self._reconciler.cluster.secret_values(gateway.namespace, secret) or {}
        if place is None or "password" not in values:
            raise GatewayError("the gateway is not there yet")
        user = operator_user(str(stream.spec.get("account") or ""))
        return await asyncio.to_thread(_ask, place, user, values["password"].decode(), what)


def _ask(place: Place, user: str, password: str, what: Callable[[Api], T]) -> T:
    with jetstream(place, user, password) as api:
        return what(api)
