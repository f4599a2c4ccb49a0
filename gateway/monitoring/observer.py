"""Observer: takes monitoring's snapshots of a running gateway."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.accounts.account import Account
from gateway.monitoring.account_sums import AccountSums, sum_up
from gateway.monitoring.jsz import NOTHING, statistics, tell
from gateway.monitoring.process import CpuShare, resident_bytes
from gateway.monitoring.snapshot import (
    AccountSnapshot,
    ConnectionSnapshot,
    ConnectionState,
    Fault,
    IdentitySnapshot,
    InterestSnapshot,
    ListenerSnapshot,
    MqttSnapshot,
    ServerSnapshot,
    StorageSnapshot,
    StreamFault,
    StreamsAsked,
    TreeSnapshot,
)
from gateway.monitoring.sources import Sources
from gateway.monitoring.stream_health import being_opened, find_faults
from gateway.runtime.moments import moment
from gateway.runtime.turns import OwnTurn
from gateway.settings.addresses import split_address
from gateway.settings.security import Tls
from gateway.transport.census import Totals, Traffic, counters, is_link, summed
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot
from gateway.version import SPOKEN_VERSION, VERSION

if TYPE_CHECKING:
    from gateway.forwarding.status import BufferStatus
    from gateway.uplink.status import LinkStatus

# Of what is told of by name.
MOST_NAMED = 8


class Observer:
    """Provides snapshots of one gateway (`gateway.monitoring.snapshot.SnapshotProvider`).

    `addresses` are the listeners, (protocol, `host:port`), which may become others; `http_address` tells ours.
    """

    def __init__(
        self, sources: Sources, addresses: Sequence[tuple[str, str]], http_address: Callable[[], str | None]
    ) -> None:
        self._sources = sources
        self._addresses = addresses
        self._http_address = http_address
        # What MQTT clients did not get, and how much of that was too large, as of the last census.
        self._losses = (0, 0)
        # What all accounts have, as of then.
        self._sums = AccountSums()
        self._cpu = CpuShare()

    def identity(self) -> IdentitySnapshot:
        names = self._sources.runtime.names
        return IdentitySnapshot(names.server_id, names.server_name, datetime.now(UTC))

    async def census(self) -> Totals:
        if self._sources.mqtt_sessions is not None:
            self._losses = await self._sources.mqtt_sessions.losses()
        self._sums = await sum_up(self._sources.accounts, self._sources.runtime.turns)
        return await self._sources.registry.census.take()

    def server(self, totals: Totals) -> ServerSnapshot:
        sources, registry, names = self._sources, self._sources.registry, self._sources.runtime.names
        limits, timeouts = sources.runtime.settings.limits, sources.runtime.settings.timeouts
        authentication = sources.runtime.settings.config.authentication
        clients, links = totals.clients, totals.links
        listeners = self._listeners()
        address = self._http_address()
        tls = sources.runtime.settings.config.monitoring.tls
        http = listener_snapshot(address, tls) if address else ListenerSnapshot("", 0)
        nats = listeners.get("nats", ListenerSnapshot("", 0))
        return ServerSnapshot(
            server_id=names.server_id,
            name=names.server_name,
            version=SPOKEN_VERSION,
            leafgate_version=VERSION,
            host=nats.host,
            port=nats.port,
            http_host=http.host,
            http_port=http.port,
            start=moment(sources.started),
            now=datetime.now(UTC),
            max_payload=limits.max_payload_bytes,
            max_connections=limits.max_connections,
            max_control_line=limits.max_control_line_bytes,
            max_pending=limits.max_pending_bytes,
            ping_interval=timeouts.ping_interval_seconds,
            ping_max=timeouts.ping_max,
            write_deadline=timeouts.write_deadline_seconds,
            connections=clients.open,
            total_connections=registry.total,
            leafnodes=links.open,
            traffic=totals.all(),
            client_traffic=clients,
            slow_consumers=registry.slow_consumers,
            stale_connections=registry.stale_connections,
            slow_links=links.slow_consumers,
            stale_links=links.stale,
            stalls=registry.stalls,
            requests=dict(sources.requests),
            active_accounts=totals.active_accounts,
            system_account=self._sums.system_account,
            auth_required=sources.runtime.settings.config.authenticates,
            auth_timeout=authentication.timeout_seconds,
            configured=datetime.fromtimestamp(sources.runtime.settings.loaded, UTC),
            subscriptions=self._sums.subscriptions,
            mem=resident_bytes(),
            cores=os.cpu_count() or 1,
            cpu=self._cpu.look(),
            nats=nats,
            monitoring=http,
            certificates_end=self._certificates_end(),
            mqtt=listeners.get("mqtt"),
            websocket=listeners.get("websocket"),
            leaf=listeners.get("leafnode"),
            mqtt_state=self.mqtt(),
            storage=self._storage(),
            memory=self._memory(),
            uplinks=self.uplinks(),
            bridges=tuple(one.status() for one in sources.bridges),
            rules=tuple(one.status() for one in sources.rules),
            buffers=self.buffers(),
            integrations=tuple(sources.integrations()),
            jetstream=self._jetstream(),
            pair=self._sources.pair(),
        )

    def _listeners(self) -> dict[str, ListenerSnapshot]:
        """The first listener of each protocol."""
        config = self._sources.runtime.settings.config
        tls: dict[str, Tls | None] = {one.protocol: one.tls for one in reversed(config.listeners)}
        return {
            protocol: listener_snapshot(address, tls.get(protocol)) for protocol, address in reversed(self._addresses)
        }

    def connections(self, state: ConnectionState) -> Iterable[ConnectionSnapshot]:
        registry = self._sources.registry
        if state in ("open", "all"):
            # It is gone through slowly, and they come and go meanwhile.
            for connection in list(registry.open.values()):
                if not is_link(connection):
                    yield snapshot(connection, connection.session.describe())
        if state in ("closed", "all"):
            yield from [one for one in registry.closed if one.link is None]

    def leafnodes(self) -> Iterable[ConnectionSnapshot]:
        links = [one for one in self._sources.registry.open.values() if is_link(one)]
        return (snapshot(one, one.session.describe()) for one in links)

    def account_names(self) -> list[str]:
        return list(self._sources.accounts)

    def account(self, name: str, totals: Totals) -> AccountSnapshot | None:
        account = self._sources.accounts.get(name)
        return account_snapshot(account, totals.of_account(name)) if account is not None else None

    def accounts(self, totals: Totals) -> Iterator[AccountSnapshot]:
        did = totals.by_account
        nothing = Traffic(), Traffic()
        return (
            account_snapshot(account, did.get(account.name, nothing))
            for account in list(self._sources.accounts.values())
        )

    async def jetstream(self, asked: StreamsAsked) -> dict[str, object] | None:
        service = self._sources.streams
        return await tell(service, asked, self._sources.runtime.turns) if service is not None else None

    def stream_faults(self, account: str, stream: str, consumer: str) -> list[StreamFault]:
        service = self._sources.streams
        return find_faults(service, account, stream, consumer) if service is not None else []

    def _jetstream(self) -> dict[str, object]:
        service = self._sources.streams
        if service is None:
            return {}
        told = statistics(service)
        stats = {name: told[name] for name in NOTHING}
        return {"config": told["config"], "stats": stats, "limits": told["limits"]}

    async def tree(self, account: str) -> TreeSnapshot:
        chosen = [one for name, one in self._sources.accounts.items() if account in ("", name)]
        turn = OwnTurn(self._sources.runtime.turns)
        changes = subscriptions = searches = remembered = reached = most = 0
        for one in chosen:
            router = one.router
            subscriptions += router.tree.count
            changes += router.tree.changes
            searches += router.resolved
            reach = router.remembered_reach()
            remembered += len(reach)
            reached += sum(reach)
            most = max(most, *reach) if reach else most
            if turn.is_over():
                await turn.next()
        totals = await self.census()
        did = totals.all() if not account else summed(totals.of_account(account))
        return TreeSnapshot(
            subscriptions=subscriptions,
            remembered=remembered,
            # Whatever came and did not go is there.
            inserts=(changes + subscriptions) // 2,
            removes=(changes - subscriptions) // 2,
            matches=max(did.in_msgs, searches),
            searches=searches,
            most_fan_out=most,
            mean_fan_out=reached / remembered if remembered else 0.0,
        )

    def interests(self, account: str) -> Iterator[InterestSnapshot | None]:
        for connection in list(self._sources.registry.open.values()):
            peer = connection.session.describe()
            if account in ("", peer.account):
                for told in peer.list_subscriptions():
                    yield InterestSnapshot(peer.account, connection.cid, told)
            yield None

    def health(self) -> Fault | None:
        sources = self._sources
        if sources.runtime.stopping.is_set():
            return Fault("the gateway is stopping", "send clients elsewhere; it ends by itself")
        fault = next((one.durability.fault for one in sources.accounts.values() if one.durability.fault), None)
        if fault:
            return Fault(f"storage: {fault}", "what must be stored is refused until the disk takes it: see to the disk")
        if sources.listener_faults and not self._addresses:
            return Fault(
                "no listener is open",
                "; ".join(f"{address}: {why}" for address, why in sources.listener_faults.items()),
            )
        return None

    def stalled(self) -> Fault | None:
        storage = self._sources.storage
        if storage is not None and storage.journal.is_damaged:
            return Fault(f"storage: {storage.journal.fault}", "restart the gateway: it sets the database aside")
        return None

    def buffers(self) -> "tuple[BufferStatus, ...]":
        return tuple(self._sources.buffers())

    def uplinks(self) -> "tuple[LinkStatus, ...]":
        return tuple(one.status() for one in self._sources.uplinks)

    def remarks(self) -> dict[str, object]:
        links = [one.status() for one in self._sources.uplinks]
        waiting = {
            one.name: f"uplink {one.standing_by_for} serves the same place" for one in links if one.standing_by_for
        }
        return {"standby": waiting} if waiting else {}

    def degradations(self) -> dict[str, object]:
        found: dict[str, object] = {}
        if self._sources.serial_faults:
            found["serial"] = dict(self._sources.serial_faults)
        if self._sources.listener_faults:
            found["listeners"] = dict(self._sources.listener_faults)
        refused = self._sources.configuration_fault()
        if refused:
            found["configuration"] = f"not taken: {refused}"
        pair = self._sources.pair()
        if pair and not pair["connected"]:
            found["pair"] = "the other gateway is not there"
        links = [one.status() for one in self._sources.uplinks]
        if any(link.fault for link in links):
            found["uplinks"] = {link.name: f"{link.url}: {link.fault}" for link in links if link.fault}
        brokers = [one.status() for one in self._sources.bridges]
        if any(link.fault for link in brokers):
            found["bridges"] = {link.name: link.fault for link in brokers if link.fault}
        rules = {one.name: one.fault for one in (rule.status() for rule in self._sources.rules) if one.fault}
        if rules:
            found["rules"] = rules
        buffers = {one.name: one.fault for one in self._sources.buffers() if one.fault}
        if buffers:
            found["store-and-forward"] = buffers
        integrations = {f"{one.kind}/{one.name}": one.fault for one in self._sources.integrations() if one.fault}
        if integrations:
            found["integrations"] = integrations
        limits = (one.retained.short_of for one in self._sources.accounts.values())
        limit = next((one for one in limits if one is not None), None)
        if limit is not None:
            found["retained"] = f"{limit} is reached: new messages are not retained"
        streams = being_opened(self._sources.streams) if self._sources.streams is not None else []
        if streams:
            found["streams"] = f"being opened: {', '.join(streams[:MOST_NAMED])}"
        storage = self._sources.storage
        if storage is not None and storage.journal.set_apart:
            found["storage"] = f"changes that can never be written: {storage.journal.set_apart}"
        return found

    def _certificates_end(self) -> datetime | None:
        ends = [one.terms.not_after for one in self._sources.tls if one.terms.not_after is not None]
        return min(ends, default=None)

    def mqtt(self) -> MqttSnapshot:
        """MQTT's sessions and retained messages, of all accounts."""
        sessions, sums = self._sources.mqtt_sessions, self._sums
        there, connected = (0, 0) if sessions is None else (len(sessions), sessions.connected)
        dropped, oversized = self._losses
        kept = sums.retained, sums.retained_bytes, sums.retained_refused
        return MqttSnapshot(there, connected, *kept, dropped, oversized)

    def _memory(self) -> dict[str, int]:
        budget = self._sources.runtime.budget
        return {"limit": budget.limit, "used": budget.used(), "refused": budget.refused} | budget.by_kind()

    def _storage(self) -> StorageSnapshot | None:
        storage = self._sources.storage
        if storage is None:
            return None
        journal = storage.journal
        return StorageSnapshot(
            journal.fault or "",
            journal.faults,
            journal.commits,
            journal.rows,
            journal.pending_bytes,
            journal.refused,
            journal.set_apart,
            str(storage.database.set_aside or ""),
        )


def snapshot(connection: Connection, peer: PeerSnapshot) -> ConnectionSnapshot:
    """One connection, open or just closed, and what its session says of its peer."""
    in_messages, out_messages, in_bytes, out_bytes = counters(connection)
    closed = connection.close_reason is not None
    return ConnectionSnapshot(
        cid=connection.cid,
        type=peer.type,
        ip=connection.address[0],
        port=connection.address[1],
        start=moment(connection.started),
        last_activity=moment(connection.last_activity),
        rtt=peer.rtt,
        pending_bytes=connection.outbox.pending(),
        in_msgs=in_messages,
        out_msgs=out_messages,
        in_bytes=in_bytes,
        out_bytes=out_bytes,
        stalls=connection.stalls,
        subscriptions=peer.subscriptions,
        name=peer.name,
        lang=peer.lang,
        version=peer.version,
        account=peer.account,
        user=peer.user,
        mqtt_client=peer.mqtt_client,
        tls=connection.tls,
        subscriptions_list=tuple if closed else peer.list_subscriptions,
        stop=datetime.now(UTC) if closed else None,
        reason=connection.close_reason.value if connection.close_reason else "",
        link=peer.link,
    )


def account_snapshot(account: Account, did: tuple[Traffic, Traffic]) -> AccountSnapshot:
    """An account, whose clients and links `did` this."""
    rules, (clients, links) = account.rules, did
    both = summed(did)
    return AccountSnapshot(
        name=account.name,
        is_system=account.is_system,
        has_streams=account.has_streams,
        connections=clients.open,
        leafnodes=links.open,
        in_msgs=both.in_msgs,
        out_msgs=both.out_msgs,
        in_bytes=both.in_bytes,
        out_bytes=both.out_bytes,
        slow_consumers=both.slow_consumers,
        leaf_traffic=links,
        subscriptions=account.router.tree.count,
        retained_messages=len(account.retained),
        retained_bytes=account.retained.bytes,
        queued_bytes=account.queued_bytes(),
        exports=rules.exports,
        imports=rules.imports,
        mappings=rules.mappings,
    )


def listener_snapshot(address: str, tls: Tls | None) -> ListenerSnapshot:
    host, port = split_address(address)
    if tls is None:
        return ListenerSnapshot(host, port or 0)
    verify = tls.verify in ("require", "map")
    return ListenerSnapshot(host, port or 0, not tls.optional, verify, tls.handshake_seconds)
