"""Parts: what a configuration may ask for beside listeners, and becomes another with it while the gateway runs."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import trio

from gateway.assembly import Gateway
from gateway.daemon.making import (
    make_bridges,
    make_buffers,
    make_home_assistant,
    make_integrations,
    make_pair,
    make_rules,
    make_serial,
    make_uplinks,
)
from gateway.daemon.stores import Stores
from gateway.settings.integration import KINDS
from gateway.settings.schema import Config

if TYPE_CHECKING:
    from gateway.bridges.bridge import Bridge
    from gateway.bridges.bridges import Bridges
    from gateway.devices.service import SerialService
    from gateway.forwarding.buffers import Buffers
    from gateway.forwarding.status import BufferStatus
    from gateway.integrations.integrations import Integrations
    from gateway.integrations.status import IntegrationStatus
    from gateway.pair.pair import Pair
    from gateway.reloading.reloader import Part
    from gateway.services.home_assistant import HomeAssistantService
    from gateway.services.rules import RuleAtWork, Rules
    from gateway.uplink.leafnode_uplink import LeafnodeUplink
    from gateway.uplink.uplinks import Uplinks


class Parts:
    """Each is made when a configuration first asks for it, and is then told of every other one. None: not asked for."""

    def __init__(self, gateway: Gateway, stores: Stores) -> None:
        self._gateway = gateway
        self._stores = stores
        self.uplinks: Uplinks | None = None
        self.buffers: Buffers | None = None
        self.bridges: Bridges | None = None
        self.integrations: Integrations | None = None
        self.serial: SerialService | None = None
        self.rules: Rules | None = None
        self.home_assistant: HomeAssistantService | None = None
        self.pair: Pair | None = None
        # What monitoring reads; the objects stay the same ones.
        self.links: list[LeafnodeUplink] = []
        self.bridge_links: list[Bridge] = []
        self.rules_at_work: list[RuleAtWork] = []
        self.serial_faults: dict[str, str] = {}

    def prepare_pair(self, addresses: list[tuple[str, str]]) -> None:
        """Take up what an earlier run has left for the other gateway; before anything is written to the disk."""
        self.pair = make_pair(self._gateway, addresses)

    def begin(self, config: Config) -> None:
        """Have all that this configuration asks for."""
        self._set_rules(config)
        self._set_home_assistant(config)
        if self.pair is not None:
            self.pair.begin()
        self._set_uplinks(config)
        self._set_buffers(config)
        self._set_bridges(config)
        self._set_integrations(config)
        self._set_serial(config)

    def for_reloader(self) -> "list[Part]":
        """What may become another, in the order in which it does."""
        from gateway.reloading.parts import BuffersPart, Section

        return [
            Section(("uplinks",), self._set_uplinks),
            BuffersPart(self._gateway.open_streams, self._set_buffers),
            Section(("bridges",), self._set_bridges),
            Section(KINDS, self._set_integrations),
            Section(("serial",), self._set_serial),
            Section(("rules", "accounts"), self._set_rules),
            Section(("home_assistant", "accounts"), self._set_home_assistant),
        ]

    def buffer_statuses(self) -> "Iterable[BufferStatus]":
        return self.buffers.statuses() if self.buffers is not None else ()

    def integration_statuses(self) -> "Iterable[IntegrationStatus]":
        return self.integrations.statuses() if self.integrations is not None else ()

    def pair_status(self) -> Mapping[str, object]:
        return self.pair.status() if self.pair is not None else {}

    @property
    def _nursery(self) -> trio.Nursery:
        nursery = self._gateway.runtime.nursery
        assert nursery is not None
        return nursery

    def _set_uplinks(self, config: Config) -> None:
        if self.uplinks is None and config.uplinks:
            self.uplinks = make_uplinks(self._gateway, self.links)
        if self.uplinks is not None:
            self.uplinks.replace(config.uplinks, self._nursery)

    def _set_buffers(self, config: Config) -> None:
        streams = self._gateway.streams
        # What a buffer of an earlier run has left is told of, too.
        if self.buffers is None and (config.store_and_forward or streams is not None):
            self.buffers = make_buffers(self._gateway, self._stores.make_memory_streams, self.links)
            self._gateway.runtime.spawn(self.buffers.run)
        if self.buffers is None:
            return
        if streams is not None and self.buffers.store is None:
            self.buffers.store = streams
            self._stores.start(streams)
        self.buffers.replace(config, self._nursery)

    def _set_bridges(self, config: Config) -> None:
        # What a bridge of an earlier run has left on the disk is looked after, too.
        sessions = self._gateway.mqtt_sessions
        if self.bridges is None and (config.bridges or (sessions is not None and sessions.held())):
            self.bridges = make_bridges(self._gateway, self.bridge_links)
        if self.bridges is not None:
            self.bridges.replace(config.bridges, self._nursery)

    def _set_integrations(self, config: Config) -> None:
        if self.integrations is None and config.integrations:
            self.integrations = make_integrations(self._gateway)
        if self.integrations is not None:
            self.integrations.replace(config.integrations, self._nursery)

    def _set_rules(self, config: Config) -> None:
        if self.rules is None and config.rules:
            self.rules = make_rules(self._gateway, self.rules_at_work)
        if self.rules is not None:
            self.rules.replace(config.rules)

    def _set_home_assistant(self, config: Config) -> None:
        if self.home_assistant is None and config.home_assistant is not None:
            self.home_assistant = make_home_assistant(self._gateway)
        if self.home_assistant is not None:
            self.home_assistant.replace(config.home_assistant)

    def _set_serial(self, config: Config) -> None:
        if self.serial is not None:
            self.serial.replace(config.serial)
        elif config.serial:
            self.serial = make_serial(self._gateway, self.serial_faults)
            self._gateway.runtime.spawn(self.serial.run)
