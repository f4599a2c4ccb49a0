"""Sources: what of a running gateway is looked at by those who tell of it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import trio

from gateway.accounts.account import Account
from gateway.runtime.runtime import Runtime
from gateway.transport.registry import Registry

if TYPE_CHECKING:
    from gateway.bridges.status import BridgeStatus
    from gateway.forwarding.status import BufferStatus
    from gateway.integrations.status import IntegrationStatus
    from gateway.mqtt.directory import SessionDirectory
    from gateway.services.rules import RuleStatus
    from gateway.storage.storage import Storage
    from gateway.storage.streams.store import StreamStore
    from gateway.streams.service import StreamService
    from gateway.transport.tls_contexts import ServerTls
    from gateway.uplink.status import LinkStatus


class Link(Protocol):
    """A configured link to a hub."""

    def status(self) -> "LinkStatus":
        """How a link to a hub goes."""


class BrokerLink(Protocol):
    """A configured bridge."""

    def status(self) -> "BridgeStatus":
        """How a link to an MQTT broker goes."""


class RuleSource(Protocol):
    """A rule at work in its account."""

    def status(self) -> "RuleStatus":
        """What a rule has made of messages."""


@dataclass(kw_only=True)
class Sources:
    """What there is to look at; None: not configured. `started` is in trio's clock, faults are by name;
    `configuration_fault` says why the last configuration was not taken; `pair` is as /varz has it; `requests`
    counts those to the end points, by path.
    """

    runtime: Runtime
    registry: Registry
    accounts: Mapping[str, Account]
    mqtt_sessions: "SessionDirectory | None" = None
    storage: "Storage | None" = None
    uplinks: Sequence[Link] = ()
    bridges: Sequence[BrokerLink] = ()
    rules: Sequence[RuleSource] = ()
    buffers: "Callable[[], Iterable[BufferStatus]]" = tuple
    integrations: "Callable[[], Iterable[IntegrationStatus]]" = tuple
    streams: "StreamService | None" = None
    stream_store: "StreamStore | None" = None
    started: float = field(default_factory=trio.current_time)
    serial_faults: dict[str, str] = field(default_factory=dict)
    listener_faults: dict[str, str] = field(default_factory=dict)
    tls: "Collection[ServerTls]" = ()
    configuration_fault: Callable[[], str] = str
    pair: "Callable[[], Mapping[str, object]]" = dict
    requests: Counter[str] = field(default_factory=Counter)
