"""Exposition: /metrics as it is asked for. What makes its text is imported then, in a thread: it takes a while."""

from importlib import import_module

import trio

from gateway.monitoring.http_server import Response, text_response
from gateway.monitoring.metrics import Metrics
from gateway.monitoring.observer import Observer
from gateway.monitoring.probe import Probe
from gateway.monitoring.sources import Sources

METRICS = "/metrics"
LIBRARY = "prometheus_client"


class Exposition:
    """Answers for one gateway."""

    def __init__(self, sources: Sources, observer: Observer) -> None:
        self._sources = sources
        self._observer = observer
        system = next(one for one in sources.accounts.values() if one.is_system)
        self._probe = Probe(sources.runtime, sources.registry.reader, system)
        self._importing = trio.Lock()
        self._made: Metrics | None = None

    def close(self) -> None:
        self._probe.close()

    async def respond(self) -> Response:
        async with self._importing:
            if self._made is None:
                try:
                    library = await trio.to_thread.run_sync(import_module, LIBRARY)
                    core = await trio.to_thread.run_sync(import_module, f"{LIBRARY}.core")
                except ImportError:
                    return text_response(501, f"{LIBRARY} is not installed")
                generate = library.generate_latest
                self._made = Metrics(core, generate, self._sources, self._observer, self._probe)
        return await self._made.respond()
