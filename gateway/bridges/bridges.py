"""Bridges: the links to brokers, begun and ended as the configuration says."""

import logging
from collections.abc import Callable, Iterable

import trio

from gateway.bridges.bridge import Bridge
from gateway.mqtt.bridge_ids import bridge_id, label_of
from gateway.mqtt.directory import SessionDirectory
from gateway.mqtt.sessions import MqttSessions
from gateway.runtime.runtime import Runtime
from gateway.settings.bridge import Bridge as BridgeConfig
from gateway.storage.stored_session import NEVER_EXPIRES
from gateway.transport.registry import Registry

log = logging.getLogger("leafgate.bridge")


class Bridges:
    """`links` is kept to those that there are, in the order of the configuration. `sessions_of` finds the sessions of a
    bridge's account.
    """

    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        directory: SessionDirectory,
        sessions_of: Callable[[BridgeConfig], MqttSessions],
        links: list[Bridge],
    ) -> None:
        self.links = links
        self._runtime = runtime
        self._registry = registry
        self._directory = directory
        self._sessions_of = sessions_of

    def replace(self, configured: Iterable[BridgeConfig], nursery: trio.Nursery) -> None:
        """Begin what is new and end what is not there any more. One whose keys are the same goes on; one with others
        connects anew, and goes on with what waits for it.
        """
        before = {link.name: link for link in self.links}
        links: list[Bridge] = []
        for config in configured:
            link = before.pop(config.name, None)
            sessions = self._sessions_of(config)
            if link is None or link.config != config or link.sessions is not sessions:
                if link is not None:
                    link.end()
                link = Bridge(self._runtime, self._registry, sessions, config)
                nursery.start_soon(link.run)
            links.append(link)
        for link in before.values():
            link.end()
        # The list stays the same one: others read it.
        self.links[:] = links
        self._release_others()

    def _release_others(self) -> None:
        """Part with the sessions of bridges that are not there any more, be it since an earlier run."""
        wanted = {(link.sessions, bridge_id(link.name)) for link in self.links}
        for sessions, session in self._directory.held():
            if (sessions, session.client_id) in wanted or session.expiry_seconds != NEVER_EXPIRES:
                continue
            sessions.release(session)
            text = "event=removed %s waiting=%d detail='kept for %d s, should the bridge come back'"
            log.warning(text, label_of(session.client_id), len(session.outgoing), session.expiry_seconds)
