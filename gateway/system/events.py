"""System events: who comes and goes, and how many an account has, for the system account where somebody listens."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import trio

from gateway.accounts.account import Account
from gateway.accounts.client_facts import shown
from gateway.monitoring.accountz import statistics
from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import SnapshotProvider
from gateway.monitoring.time_text import nanoseconds, timestamp
from gateway.monitoring.varz import statsz
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import OwnTurn
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.system.envelope import Envelope
from gateway.transport.census import counters, is_link
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.message import make_message

log = logging.getLogger("leafgate.system")

# As nats-server does: how often a server tells of itself, and of accounts that nothing happened to.
STATSZ_SECONDS = 10.0
HEARTBEAT_SECONDS = 30.0
# Those who come and go within this time are told of together, where an account's counts are.
GATHER_SECONDS = 1.0
REFUSED = frozenset((CloseReason.AUTHENTICATION_FAILURE, CloseReason.AUTHENTICATION_TIMEOUT))


class SystemEvents:
    """Publishes in the account that `system` gives."""

    def __init__(
        self, runtime: Runtime, provider: SnapshotProvider, envelope: Envelope, system: Callable[[], Account]
    ) -> None:
        self._runtime = runtime
        self._provider = provider
        self._envelope = envelope
        self._system = system
        # The accounts whose counts are others than when they were told last.
        self._changed: set[str] = set()
        self._gathering = False
        server_id = runtime.names.server_id
        self._statsz_subject = f"$SYS.SERVER.{server_id}.STATSZ"

    def begin(self) -> None:
        """Tell now and then from now on."""
        now = trio.current_time()
        self._runtime.deadlines.call_at(now + STATSZ_SECONDS, self._tell_statistics)
        self._runtime.deadlines.call_at(now + HEARTBEAT_SECONDS, self._beat)

    def came(self, connection: Connection, peer: PeerSnapshot) -> None:
        """A connection has said who it is."""
        account = peer.account
        if not account:
            return
        self._note(account)
        subject = f"$SYS.ACCOUNT.{account}.CONNECT"
        if self._is_wanted(subject):
            self._publish(subject, self._envelope.event("client_connect", {"client": client(connection, None)}))

    def left(self, connection: Connection, peer: PeerSnapshot) -> None:
        """A connection has ended."""
        account = peer.account
        reason = connection.close_reason
        if not account and reason not in REFUSED:
            return
        self._note(account)
        subjects = [f"$SYS.ACCOUNT.{account or DEFAULT_ACCOUNT}.DISCONNECT"]
        if reason in REFUSED:
            subjects.append(f"$SYS.SERVER.{self._runtime.names.server_id}.CLIENT.AUTH.ERR")
        wanted = [subject for subject in subjects if self._is_wanted(subject)]
        if not wanted:
            return
        in_msgs, out_msgs, in_bytes, out_bytes = counters(connection)
        fields: Fields = {
            "client": client(connection, datetime.now(UTC)),
            "sent": {"msgs": in_msgs, "bytes": in_bytes},
            "received": {"msgs": out_msgs, "bytes": out_bytes},
            "reason": reason.value if reason is not None else "",
        }
        event = self._envelope.event("client_disconnect", fields)
        for subject in wanted:
            self._publish(subject, event)

    def tell_end(self, subject: str) -> None:
        """The server is about to end: LAMEDUCK or SHUTDOWN."""
        subject = f"$SYS.SERVER.{self._runtime.names.server_id}.{subject}"
        if self._is_wanted(subject):
            self._publish(subject, self._envelope.answer("reason", "Server Shutdown"))

    def _note(self, account: str) -> None:
        if not account:
            return
        self._changed.add(account)
        if not self._gathering:
            self._gathering = True
            self._runtime.deadlines.call_at(trio.current_time() + GATHER_SECONDS, self._tell_changes)

    def _tell_changes(self, now: float) -> None:
        self._gathering = False
        changed, self._changed = self._changed, set()

        async def work() -> None:
            await self._tell_connections(changed)

        self._runtime.spawn(work)

    def _beat(self, now: float) -> None:
        self._runtime.deadlines.call_at(now + HEARTBEAT_SECONDS, self._beat)

        async def work() -> None:
            await self._tell_connections(None)

        self._runtime.spawn(work)

    async def _tell_connections(self, names: set[str] | None) -> None:
        """How many connections these accounts have; None: all that have any."""
        turn = OwnTurn(self._runtime.turns)
        wanted: list[str] = []
        for name in self._provider.account_names() if names is None else names:
            if any(self._is_wanted(subject) for subject in connection_subjects(name)):
                wanted.append(name)
            if turn.is_over():
                await turn.next()
        if not wanted:
            return
        totals = await self._provider.census()
        for name in wanted:
            account = self._provider.account(name, totals)
            if account is None or (names is None and not account.in_use):
                continue
            event = self._envelope.event("account_connections", statistics(account))
            for subject in connection_subjects(name):
                self._publish(subject, event)
            if turn.is_over():
                await turn.next()
        self._runtime.switch.flush()

    def _tell_statistics(self, now: float) -> None:
        self._runtime.deadlines.call_at(now + STATSZ_SECONDS, self._tell_statistics)
        if self._is_wanted(self._statsz_subject):
            self._runtime.spawn(self._tell_statistics_now)

    async def _tell_statistics_now(self) -> None:
        server = self._provider.server(await self._provider.census())
        self._publish(self._statsz_subject, self._envelope.answer("statsz", statsz(server)))
        self._runtime.switch.flush()

    def _is_wanted(self, subject: str) -> bool:
        return bool(self._system().router.tree.match(subject.encode()))

    def _publish(self, subject: str, body: bytes) -> None:
        self._system().publish(make_message(subject.encode(), body))


def connection_subjects(account: str) -> tuple[str, str]:
    """The second one is of older tools."""
    return f"$SYS.ACCOUNT.{account}.SERVER.CONNS", f"$SYS.SERVER.ACCOUNT.{account}.CONNS"


def client(connection: Connection, stop: datetime | None) -> Fields:
    """Who a connection is, in nats-server's form; `stop` is when it ended."""
    peer = connection.session.describe()
    start = datetime.now(UTC) - timedelta(seconds=trio.current_time() - connection.started)
    return shown(
        {
            "start": timestamp(start),
            "host": connection.address[0],
            "id": connection.cid,
            "acc": peer.account or DEFAULT_ACCOUNT,
            "user": peer.user,
            "name": peer.name,
            "lang": peer.lang,
            "ver": peer.version,
            "rtt": nanoseconds(peer.rtt or 0.0) if stop is not None else 0,
            "stop": timestamp(stop) if stop is not None else "",
            "name_tag": peer.account,
            "kind": "Leafnode" if is_link(connection) else "Client",
            "client_type": "" if is_link(connection) else peer.type,
            "client_id": peer.mqtt_client,
        }
    )
