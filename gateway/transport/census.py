"""Census: what all connections did together, by account and protocol, counted in turns (gateway.runtime.turns)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import trio

from gateway.runtime.turns import OwnTurn, Turns
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason

# Accounts and protocols that closed connections are counted by; those beyond are counted without their account.
MOST_KEPT = 2048
# What the kind of a link's session begins with.
LEAFNODE = "leafnode"
SLOW = frozenset((CloseReason.SLOW_CONSUMER_PENDING_BYTES, CloseReason.SLOW_CONSUMER_WRITE_DEADLINE))

# The account ("" for who was in none) and the protocol: nats, mqtt, websocket or leafnode.
Key = tuple[str, str]


@dataclass(slots=True)
class Traffic:
    """Of connections: how many are `open`; of those that are and of those that were, what they sent (`in`) and got."""

    open: int = 0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    slow_consumers: int = 0
    stale: int = 0

    def add(self, other: "Traffic", sign: int = 1) -> None:
        self.open += sign * other.open
        self.in_msgs += sign * other.in_msgs
        self.out_msgs += sign * other.out_msgs
        self.in_bytes += sign * other.in_bytes
        self.out_bytes += sign * other.out_bytes
        self.slow_consumers += sign * other.slow_consumers
        self.stale += sign * other.stale


@dataclass(slots=True)
class Totals:
    """What a census found. Sums never become smaller from one census to the next, counts of what is open may."""

    by_key: Mapping[Key, Traffic] = field(default_factory=dict)
    # Of each account that has or had connections: what clients did, and links.
    by_account: dict[str, tuple[Traffic, Traffic]] = field(default_factory=dict)
    clients: Traffic = field(default_factory=Traffic)
    # Between servers.
    links: Traffic = field(default_factory=Traffic)
    active_accounts: int = 0

    def all(self) -> Traffic:
        return summed((self.clients, self.links))

    def of_account(self, account: str) -> tuple[Traffic, Traffic]:
        """As `by_account`, of one that may have none."""
        return self.by_account.get(account) or (Traffic(), Traffic())

    def add(self, key: Key, traffic: Traffic) -> None:
        """Sum up what is found `by_key`."""
        account, protocol = key
        both = self.by_account.get(account)
        if both is None:
            both = self.by_account[account] = (Traffic(), Traffic())
        if traffic.open and not (both[0].open or both[1].open):
            self.active_accounts += 1
        both[protocol == LEAFNODE].add(traffic)
        (self.links if protocol == LEAFNODE else self.clients).add(traffic)


def summed(parts: Iterable[Traffic]) -> Traffic:
    total = Traffic()
    for one in parts:
        total.add(one)
    return total


class Census:
    """Counts the connections of a registry, whose `open` ones these are."""

    def __init__(self, open_connections: Mapping[int, Connection], turns: Turns) -> None:
        self._open = open_connections
        self._turns = turns
        self._gone: dict[Key, Traffic] = {}
        # While it is counted: what was found of each connection, and of all so far.
        self._seen: dict[int, tuple[Key, Traffic]] = {}
        self._sums: dict[Key, Traffic] = {}
        self._counting: trio.Event | None = None
        self._found: Totals | None = None

    def left(self, connection: Connection, peer: PeerSnapshot) -> None:
        """A connection has ended; its session is there still."""
        key, traffic = tell(connection, peer)
        traffic.open = 0
        traffic.slow_consumers = int(connection.close_reason in SLOW)
        traffic.stale = int(connection.close_reason is CloseReason.STALE_CONNECTION)
        if key not in self._gone and len(self._gone) >= MOST_KEPT:
            key = ("", key[1])
        self._gone.setdefault(key, Traffic()).add(traffic)
        seen = self._seen.pop(connection.cid, None)
        if seen is not None:
            self._sums[seen[0]].add(seen[1], -1)

    async def take(self) -> Totals:
        """Count, in turns; who asks while it is counted gets the same answer."""
        while self._counting is not None:
            await self._counting.wait()
            if self._found is not None:
                return self._found
        self._counting, self._found = trio.Event(), None
        try:
            self._found = await self._count()
        finally:
            self._counting.set()
            self._counting = None
            self._seen, self._sums = {}, {}
        return self._found

    async def _count(self) -> Totals:
        turn = OwnTurn(self._turns)
        sums = self._sums
        for connection in list(self._open.values()):
            if connection.cid in self._open:
                key, traffic = self._seen[connection.cid] = tell(connection, connection.session.describe())
                sums.setdefault(key, Traffic()).add(traffic)
            if turn.is_over():
                await turn.next()
        for key, traffic in self._gone.items():
            sums.setdefault(key, Traffic()).add(traffic)
        self._seen = {}  # Who leaves from here on was counted.
        totals = Totals(sums)
        for key, traffic in [*sums.items()]:
            totals.add(key, traffic)
            if turn.is_over():
                await turn.next()
        return totals


def tell(connection: Connection, peer: PeerSnapshot) -> tuple[Key, Traffic]:
    """What an open connection adds to the sums, and to which."""
    in_msgs, out_msgs, in_bytes, out_bytes = counters(connection)
    protocol = LEAFNODE if is_link(connection) else peer.type
    return (peer.account, protocol), Traffic(1, in_msgs, out_msgs, in_bytes, out_bytes)


def is_link(connection: Connection) -> bool:
    """Whether it is a leafnode's, whoever has opened it."""
    return connection.session.kind.startswith(LEAFNODE)


def counters(connection: Connection) -> tuple[int, int, int, int]:
    """Messages in, messages out, bytes in, bytes out."""
    port, outbox = connection.port(), connection.outbox
    in_messages, in_bytes = (port.in_messages, port.in_bytes) if port is not None else (0, 0)
    return (in_messages, outbox.out_messages, in_bytes, outbox.out_bytes)
