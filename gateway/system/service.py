"""System service: the gateway tells of itself in the system account, and each account of that account."""

from collections.abc import Awaitable, Callable

from gateway.accounts.account import Account
from gateway.monitoring.snapshot import SnapshotProvider
from gateway.monitoring.sources import Sources
from gateway.system.broker_topics import BrokerTopics
from gateway.system.envelope import Envelope
from gateway.system.events import SystemEvents
from gateway.system.requests import SystemRequests
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot


class SystemService:
    """`system` gives the system account; `reload` reads the configuration anew, and returns what is wrong with it."""

    def __init__(
        self,
        sources: Sources,
        provider: SnapshotProvider,
        system: Callable[[], Account],
        reload: Callable[[], Awaitable[str]],
    ) -> None:
        self._registry = sources.registry
        envelope = Envelope(sources.runtime.names)
        self._requests = SystemRequests(sources.runtime, sources.registry, provider, envelope, reload)
        self._topics = BrokerTopics(sources)
        self._events = SystemEvents(sources.runtime, provider, envelope, system)

    def offer_to(self, account: Account) -> None:
        """Answer the requests of an account from now on."""
        self._requests.offer_to(account)
        self._topics.offer_to(account)

    def begin(self) -> None:
        """Tell of what happens from now on."""
        self._registry.came = self._came
        self._registry.left = self._events.left
        self._events.begin()

    def _came(self, connection: Connection, peer: PeerSnapshot) -> None:
        self._events.came(connection, peer)
        self._topics.came(peer)

    def tell_end(self, subject: str) -> None:
        """The gateway is about to end: `LAMEDUCK` or `SHUTDOWN`."""
        self._events.tell_end(subject)
