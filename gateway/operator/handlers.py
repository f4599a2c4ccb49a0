"""Handlers: what of the cluster has the operator act, as kopf knows it."""

from typing import Any

import kopf

from gateway.operator.cluster import Cluster, ClusterError
from gateway.operator.draining import drain, leave_behind
from gateway.operator.kinds import GATEWAY, GROUP, PARTS, STREAM, VERSION, Kind
from gateway.operator.objects import Resource
from gateway.operator.reconciler import Options, Reconciler
from gateway.operator.streams import StreamKeeper

RETRY_SECONDS = 5.0
DRAIN_POLL_SECONDS = 2.0
# A watch that hears nothing for so long is opened anew: a connection may have died unseen.
WATCH_SECONDS = 300
FINALIZER = f"{GROUP}/operator"


class Handlers:
    """Everything that is registered with kopf."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._cluster = Cluster()
        self._reconciler = Reconciler(self._cluster, options)
        self._streams = StreamKeeper(self._reconciler)
        self._retry = min(RETRY_SECONDS, options.resync_seconds)

    def register(self, registry: kopf.OperatorRegistry) -> None:
        kopf.on.startup(registry=registry)(self.start)
        kopf.on.cleanup(registry=registry)(self.stop)
        kopf.on.login(registry=registry)(self.login)
        for kind in (GATEWAY, *PARTS, STREAM):
            change, leave = {
                GATEWAY: (self.gateway_changed, self.gateway_leaves),
                STREAM: (self.stream_changed, self.stream_leaves),
            }.get(kind, (self.part_changed, self.part_leaves))
            for on in (kopf.on.create, kopf.on.update, kopf.on.resume):
                on(GROUP, VERSION, kind.plural, registry=registry, param=kind, id="change", backoff=self._retry)(change)
            kopf.on.delete(GROUP, VERSION, kind.plural, registry=registry, param=kind, id="leave")(leave)
        # Secrets are read anew, and what others have changed is put right.
        every = self._options.resync_seconds
        for kind, due in ((GATEWAY, self.gateway_changed), (STREAM, self.stream_due)):
            plural = kind.plural
            kopf.timer(GROUP, VERSION, plural, registry=registry, id="due", interval=every, initial_delay=every)(due)

    async def start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.persistence.finalizer = FINALIZER
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
        settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
        settings.watching.server_timeout = WATCH_SECONDS
        settings.watching.client_timeout = WATCH_SECONDS + 60
        settings.networking.request_timeout = 30

    async def stop(self, **_: Any) -> None:
        await self._cluster.close()

    async def login(self, **kwargs: Any) -> kopf.ConnectionInfo | None:
        found = credentials(**kwargs)
        if found is not None:
            await self._cluster.login(found)
        return found

    async def gateway_changed(self, namespace: str, name: str, **_: Any) -> None:
        try:
            await self._reconciler.reconcile(namespace, name)
        except ClusterError as error:
            raise kopf.TemporaryError(str(error), delay=self._retry) from None

    async def gateway_leaves(self, body: kopf.Body, param: Kind, runtime: Any, **_: Any) -> None:
        gateway = Resource(param, dict(body))
        try:
            waits = await drain(self._reconciler, gateway, runtime.total_seconds())
            if not waits:
                await leave_behind(self._reconciler, gateway)
        except ClusterError as error:
            waits = str(error)
        if waits:
            raise kopf.TemporaryError(waits, delay=min(DRAIN_POLL_SECONDS, self._retry))

    async def part_changed(self, namespace: str, spec: kopf.Spec, old: Any = None, **_: Any) -> None:
        """With the gateway that it belonged to before, if that is another one."""
        before = ((old or {}).get("spec") or {}).get("gateway")
        for gateway in dict.fromkeys((before, spec.get("gateway"))):
            if gateway:
                await self.gateway_changed(namespace, gateway)

    async def part_leaves(self, namespace: str, spec: kopf.Spec, **_: Any) -> None:
        await self.gateway_changed(namespace, str(spec.get("gateway", "")))

    async def stream_changed(self, body: kopf.Body, param: Kind, **_: Any) -> None:
        if not await self._keep(body, param):
            raise kopf.TemporaryError("the stream is not as it shall be; its status says why", delay=self._retry)

    async def stream_due(self, body: kopf.Body, **_: Any) -> None:
        await self._keep(body, STREAM)

    async def _keep(self, body: kopf.Body, param: Kind) -> bool:
        try:
            return await self._streams.keep(Resource(param, dict(body)))
        except ClusterError as error:
            raise kopf.TemporaryError(str(error), delay=self._retry) from None

    async def stream_leaves(self, body: kopf.Body, param: Kind, **_: Any) -> None:
        try:
            waits = await self._streams.remove(Resource(param, dict(body)))
        except ClusterError as error:
            waits = str(error)
        if waits:
            raise kopf.TemporaryError(waits, delay=self._retry)


def credentials(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Who the operator is at the cluster: by the service account of the pod, else as `kubectl` finds it."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
