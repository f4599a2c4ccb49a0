"""Snapshots to show: a provider that has what it was given."""

import dataclasses
from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.forwarding.status import BufferStatus
from gateway.monitoring.connz import connection_fields, find_page, read_query
from gateway.monitoring.http_server import Answer, Response
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
    StreamFault,
    StreamsAsked,
    TreeSnapshot,
)
from gateway.transport.census import Totals, Traffic
from gateway.uplink.status import LinkStatus

START = datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC)
NOW = START + timedelta(days=1, hours=2, seconds=3)

SERVER = ServerSnapshot(
    server_id="NABC",
    name="edge-1",
    version="2.15.1",
    leafgate_version="0.1.0",
    host="127.0.0.1",
    port=4222,
    http_host="127.0.0.1",
    http_port=8222,
    start=START,
    now=NOW,
    max_payload=1048576,
    max_connections=65536,
    memory={"limit": 1000, "used": 10, "refused": 0},
    max_control_line=4096,
    max_pending=67108864,
    ping_interval=120.0,
    ping_max=2,
    write_deadline=10.0,
    connections=3,
    total_connections=17,
    leafnodes=1,
    traffic=Traffic(4, 1, 2, 3, 4),
    client_traffic=Traffic(3, 1, 0, 3, 0),
    slow_consumers=5,
    slow_links=1,
    stalls=8,
    requests={"/varz": 9},
    system_account="$SYS",
    configured=START,
    stale_connections=6,
    subscriptions=7,
    mem=33554432,
    cores=4,
    cpu=1.5,
    mqtt=ListenerSnapshot("127.0.0.1", 1883),
    mqtt_state=MqttSnapshot(8, 9, 10, 11, 12),
)


async def made(answer: Answer) -> Response:
    """The response, whether it is made at once, in steps or in turns."""
    if isinstance(answer, Response):
        return answer
    if not isinstance(answer, Generator):
        return await answer
    while True:
        try:
            next(answer)
        except StopIteration as end:
            response: Response = end.value
            return response


def connz(provider: "FixedProvider", parameters: dict[str, str]) -> Any:
    """What /connz tells; its page is made in steps."""
    query = read_query(parameters)
    steps = find_page(provider, query)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            page = end.value
            break
    shown = [connection_fields(one, query, page.now, list) for one in page.connections]
    return page.fields | {"connections": shown}


def connection(cid: int, **values: Any) -> ConnectionSnapshot:
    fields = {"ip": "192.0.2.1", "port": 40_000 + cid, "start": START, "last_activity": START, "account": "$G"}
    return ConnectionSnapshot(cid=cid, **(fields | values))


class FixedProvider:
    """Connections count as closed when they have a `stop`."""

    def __init__(
        self, *connections: ConnectionSnapshot, error: str | None = None, hint: str = "", **server: Any
    ) -> None:
        self._connections = connections
        self.faults: dict[str, object] = {}
        self.told: dict[str, object] = {}
        self.told_accounts: tuple[AccountSnapshot, ...] = ()
        self.told_tree = TreeSnapshot()
        self.is_stalled = False
        self.told_stream_faults: list[StreamFault] = []
        self._error = Fault(error, hint) if error is not None else None
        self._server = dataclasses.replace(SERVER, **server)

    def identity(self) -> IdentitySnapshot:
        return IdentitySnapshot(self._server.server_id, self._server.name, self._server.now)

    async def census(self) -> Totals:
        return Totals()

    def server(self, totals: Totals) -> ServerSnapshot:
        return self._server

    async def jetstream(self, asked: StreamsAsked) -> None:
        """There are no streams."""

    def stream_faults(self, account: str, stream: str, consumer: str) -> list[StreamFault]:
        return self.told_stream_faults

    def buffers(self) -> tuple[BufferStatus, ...]:
        return self._server.buffers

    def uplinks(self) -> tuple[LinkStatus, ...]:
        return self._server.uplinks

    def connections(self, state: ConnectionState) -> Iterable[ConnectionSnapshot]:
        wanted = {"open": (False,), "closed": (True,), "all": (False, True)}[state]
        return (one for one in self._connections if (one.stop is not None) in wanted)

    def leafnodes(self) -> Iterable[ConnectionSnapshot]:
        return (one for one in self._connections if one.link is not None)

    def account_names(self) -> list[str]:
        return [one.name for one in self.told_accounts]

    def account(self, name: str, totals: Totals) -> AccountSnapshot | None:
        return next((one for one in self.told_accounts if one.name == name), None)

    def accounts(self, totals: Totals) -> Iterator[AccountSnapshot]:
        return iter(self.told_accounts)

    async def tree(self, account: str) -> TreeSnapshot:
        return self.told_tree

    def interests(self, account: str) -> Iterator[InterestSnapshot | None]:
        for one in self._connections:
            for told in one.subscriptions_list():
                yield InterestSnapshot(one.account, one.cid, told)
            yield None

    def health(self) -> Fault | None:
        return self._error

    def stalled(self) -> Fault | None:
        return self._error if self.is_stalled else None

    def degradations(self) -> dict[str, object]:
        return self.faults

    def remarks(self) -> dict[str, object]:
        return self.told
