"""Registry: who is connected, who was, and the totals of both."""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.monitoring.snapshot import ConnectionSnapshot
    from gateway.transport.connection import Connection

log = logging.getLogger("leafgate.connection")

REMEMBERED_CLOSED = 1024
# Links that the gateway itself opens are no clients.
UPLINK_KIND = "leafnode"


class Registry:
    """Counts messages and bytes over the gateway's life.

    `clients` counts the open connections that clients made. `remember`, set by monitoring, makes what is kept of each
    closed connection; only the last ones are.
    """

    def __init__(self) -> None:
        self.open: dict[int, Connection] = {}
        self.closed: deque[ConnectionSnapshot] = deque(maxlen=REMEMBERED_CLOSED)
        self.remember: Callable[[Connection], ConnectionSnapshot] | None = None
        self.total = 0
        self.clients = 0
        self.slow_consumers = 0
        self.stale_connections = 0
        self._last_cid = 0
        self._gone = [0, 0, 0, 0]

    def next_cid(self) -> int:
        self._last_cid += 1
        return self._last_cid

    def add(self, connection: "Connection") -> None:
        self.open[connection.cid] = connection
        self.total += 1
        if connection.session.kind != UPLINK_KIND:
            self.clients += 1
        log.info(
            "cid=%d event=open kind=%s peer=%s:%d",
            connection.cid,
            connection.session.kind,
            *connection.address,
        )

    def ended(self, connection: "Connection") -> None:
        """The connection only lingers for its last words; it takes no client's place any more."""
        if connection.session.kind != UPLINK_KIND:
            self.clients -= 1

    def remove(self, connection: "Connection") -> None:
        if self.open.pop(connection.cid, None) is None:
            return
        for index, value in enumerate(counters(connection)):
            self._gone[index] += value
        if self.remember is not None:
            self.closed.append(self.remember(connection))
        reason = connection.close_reason
        log.info(
            "cid=%d event=closed kind=%s reason=%r%s",
            connection.cid,
            connection.session.kind,
            reason.value if reason else "",
            f" detail={connection.close_detail!r}" if connection.close_detail else "",
        )

    def totals(self) -> tuple[int, int, int, int]:
        """Messages in, messages out, bytes in, bytes out, of open and closed connections."""
        sums = list(self._gone)
        for connection in self.open.values():
            for index, value in enumerate(counters(connection)):
                sums[index] += value
        return (sums[0], sums[1], sums[2], sums[3])


def counters(connection: "Connection") -> tuple[int, int, int, int]:
    """Messages in, messages out, bytes in, bytes out."""
    port, outbox = connection.port(), connection.outbox
    in_messages, in_bytes = (port.in_messages, port.in_bytes) if port is not None else (0, 0)
    return (in_messages, outbox.out_messages, in_bytes, outbox.out_bytes)
