"""Broker topics: `$SYS/broker/…`, by which MQTT clients and exporters know a mosquitto. Each account is told of itself.

They go to those alone who subscribe below `$SYS/`, and are counted while there is one: an account in which nobody asks
costs nothing. A new subscriber gets them as if they were retained; nothing of it is kept on a disk.
"""

import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from gateway.accounts.account import Account
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.subject_tree import Interest
from gateway.monitoring.process import resident_bytes
from gateway.monitoring.sources import Sources
from gateway.runtime.turns import OwnTurn
from gateway.system.load_averages import LoadAverages
from gateway.transport.census import Totals, summed
from gateway.transport.snapshot import PeerSnapshot
from gateway.version import VERSION
from protocols.message import Message, make_message
from protocols.subjects import matches
from protocols.topic_mapping import topic_to_subject

PREFIX = "$SYS/broker/"
BELOW = b"$SYS."
LOADS = {
    "messages/received": "messages_received",
    "messages/sent": "messages_sent",
    "publish/dropped": "dropped",
    "publish/received": "messages_received",
    "publish/sent": "messages_sent",
    "bytes/received": "bytes_received",
    "bytes/sent": "bytes_sent",
    "sockets": "connections",
    "connections": "connections",
}


@dataclass(slots=True)
class Sums:
    """What an account's clients did so far."""

    messages_received: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    dropped: int = 0
    connections: int = 0

    def named(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in set(LOADS.values())}


class AccountTopics:
    """The topics of one account, and who listens to them (gateway.dataplane.router.InterestWatcher)."""

    def __init__(self, account: Account, sources: Sources, ask: Callable[[], None]) -> None:
        self.account = account
        # By subject, as they were told last.
        self.messages: dict[bytes, Message] = {}
        # How many filters below `$SYS/` each port has.
        self.listeners: dict[Port, int] = {}
        self.connections = 0
        self.most_connected = 0
        self._sources = sources
        self._ask = ask
        self._loads = LoadAverages(sources.started)
        # Sessions that were taken up from the disk have subscribed already.
        for interest in account.router.tree.interests():
            for receiver in interest.plain:
                self.interest_moved(interest, receiver)
            for members in (interest.groups or {}).values():
                for receiver in members:
                    self.interest_moved(interest, receiver)
        account.router.watch(self)
        account.told = self.told

    def interest_moved(self, interest: Interest, receiver: Receiver) -> None:
        port = receiver.port
        if not receiver.subject.startswith(BELOW) or receiver.local_only or port.leaf:
            return
        count = self.listeners.get(port, 0) + (1 if receiver.slot >= 0 else -1)
        if count > 0:
            self.listeners[port] = count
        else:
            self.listeners.pop(port, None)
        if count == 1 and port.outbox is not None:
            self.listener_came()

    def listener_came(self) -> None:
        """Somebody who listens is there now: if nothing is known, it is to be found out."""
        if self.listeners and not self.messages:
            self._ask()

    def told(self, subject_filter: bytes) -> Iterator[Message]:
        """What a new subscriber gets."""
        if subject_filter.startswith(BELOW):
            yield from [one for one in self.messages.values() if matches(subject_filter, one.subject)]

    async def update(self, totals: Totals) -> list[Message]:
        """Tell how it is now; returns what is another than before."""
        sums, now = await self._sums(totals), trio.current_time()
        self._loads.update(now, sums.named())
        changed: list[Message] = []
        for topic, value in self._values(sums, now):
            subject = topic_to_subject((PREFIX + topic).encode())
            assert subject is not None
            payload = value.encode()
            before = self.messages.get(subject)
            if before is None or before.payload() != payload:
                self.messages[subject] = message = make_message(subject, payload)
                changed.append(message)
        return changed

    def is_heard(self) -> bool:
        """Whether somebody listens who is there: nothing of this is kept for who is away."""
        return any(port.outbox is not None for port in self.listeners)

    def forget(self) -> None:
        """Nobody listens: what was told grows old."""
        self.messages.clear()

    async def _sums(self, totals: Totals) -> Sums:
        did = summed(totals.of_account(self.account.name))
        sessions = self._sources.mqtt_sessions
        dropped = (await sessions.of(self.account).losses())[0] if sessions is not None else 0
        return Sums(did.in_msgs, did.out_msgs, did.in_bytes, did.out_bytes, dropped, self.connections)

    def _values(self, sums: Sums, now: float) -> Iterator[tuple[str, str]]:
        yield "version", f"leafgate version {VERSION}"
        yield "uptime", f"{int(now - self._sources.started)} seconds"
        sessions = self._sources.mqtt_sessions
        there = sessions.of(self.account) if sessions is not None else None
        total, connected = (len(there), there.connected) if there is not None else (0, 0)
        self.most_connected = max(self.most_connected, connected)
        for name, count in (
            ("total", total),
            ("inactive", total - connected),
            ("disconnected", total - connected),
            ("active", connected),
            ("connected", connected),
            ("maximum", self.most_connected),
            ("expired", there.expired if there is not None else 0),
        ):
            yield f"clients/{name}", str(count)
        for load, sum_of in LOADS.items():
            for minutes, average in self._loads.of(sum_of):
                yield f"load/{load}/{minutes}min", f"{average:.2f}"
        retained = self.account.retained
        queued = self.account.queued_bytes()
        for name, value in (
            ("messages/stored", len(retained)),
            ("store/messages/count", len(retained)),
            ("store/messages/bytes", retained.bytes + queued),
            ("retained messages/count", len(retained)),
            ("subscriptions/count", self.account.router.tree.count),
            ("messages/received", sums.messages_received),
            ("messages/sent", sums.messages_sent),
            ("publish/messages/received", sums.messages_received),
            ("publish/messages/sent", sums.messages_sent),
            ("publish/messages/dropped", sums.dropped),
            ("publish/bytes/received", sums.bytes_received),
            ("publish/bytes/sent", sums.bytes_sent),
            ("bytes/received", sums.bytes_received),
            ("bytes/sent", sums.bytes_sent),
            ("heap/current", resident_bytes()),
            ("heap/maximum", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
        ):
            yield name, str(value)


class BrokerTopics:
    """Tells all accounts in which somebody listens, each `mqtt.sys-interval-seconds`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._runtime = sources.runtime
        self._accounts: dict[str, AccountTopics] = {}
        self._is_due = False
        self._asked = False

    def offer_to(self, account: Account) -> None:
        """Tell an account from now on; once."""
        self._accounts[account.name] = AccountTopics(account, self._sources, self._tell_soon)

    def came(self, peer: PeerSnapshot) -> None:
        """The peer of a connection has said who it is."""
        topics = self._accounts.get(peer.account)
        if topics is not None:
            topics.connections += 1
            topics.listener_came()

    def _tell_soon(self) -> None:
        """Somebody listens to whom nothing was told: with the next round of deadlines."""
        if not self._asked and self._runtime.settings.mqtt.sys_interval_seconds:
            self._asked = True
            self._runtime.deadlines.call_at(trio.current_time(), self._begin)

    def _begin(self, now: float) -> None:
        self._asked = False
        self._runtime.spawn(self._tell)

    def _tick(self, now: float) -> None:
        self._is_due = False
        self._runtime.spawn(self._tell)

    async def _tell(self) -> None:
        interval = self._runtime.settings.mqtt.sys_interval_seconds
        heard: list[AccountTopics] = []
        for topics in list(self._accounts.values()):
            if topics.is_heard():
                heard.append(topics)
            else:
                topics.forget()
        if not heard or not interval:
            return
        if not self._is_due:
            self._is_due = True
            self._runtime.deadlines.call_at(trio.current_time() + interval, self._tick)
        totals = await self._sources.registry.census.take()
        turn = OwnTurn(self._runtime.turns)
        for topics in heard:
            changed = await topics.update(totals)
            router, source = topics.account.router, topics.account.port
            for port in list(topics.listeners):
                for message in changed:
                    told = router.begin_telling(message, port)
                    while told.go_on(source):
                        self._runtime.switch.flush()
                        await turn.next()
                    if turn.is_over():
                        self._runtime.switch.flush()
                        await turn.next()
        self._runtime.switch.flush()
