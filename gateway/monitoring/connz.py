"""/connz: one page of the connections, filtered and sorted as the query asks."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from heapq import merge
from typing import Any

from gateway.monitoring.parameters import ParameterError, boolean, choice, integer
from gateway.monitoring.snapshot import (
    ConnectionSnapshot,
    ConnectionState,
    SnapshotProvider,
)
from gateway.monitoring.time_text import round_trip, timestamp, uptime
from gateway.transport.snapshot import SubscriptionSnapshot

DEFAULT_LIMIT = 1024
# So many connections are put in order at once.
RUN = 512
STATES: dict[str, ConnectionState] = {"open": "open", "closed": "closed", "any": "all", "all": "all"}

SortKey = Callable[[ConnectionSnapshot, datetime], Any]
# Key and whether the largest comes first. Equals stay in the order of their cid.
SORTS: dict[str, tuple[SortKey, bool]] = {
    "cid": (lambda connection, now: connection.cid, False),
    "start": (lambda connection, now: connection.start, False),
    "subs": (lambda connection, now: connection.subscriptions, True),
    "pending": (lambda connection, now: connection.pending_bytes, True),
    "msgs_to": (lambda connection, now: connection.out_msgs, True),
    "msgs_from": (lambda connection, now: connection.in_msgs, True),
    "bytes_to": (lambda connection, now: connection.out_bytes, True),
    "bytes_from": (lambda connection, now: connection.in_bytes, True),
    "last": (lambda connection, now: connection.last_activity, True),
    "idle": (lambda connection, now: (connection.stop or now) - connection.last_activity, True),
    "uptime": (lambda connection, now: (connection.stop or now) - connection.start, False),
    "stop": (lambda connection, now: connection.stop or now, True),
    "reason": (lambda connection, now: connection.reason, False),
    "rtt": (lambda connection, now: connection.rtt or 0.0, True),
}
SORTS_OF_CLOSED = ("stop", "reason")


@dataclass(frozen=True, slots=True)
class ConnzQuery:
    """What is asked for. `cid` 0 and empty texts stand for any; `text`, in lower case, may stand anywhere in what a
    connection is called or comes from.
    """

    sort: str
    state: ConnectionState
    limit: int
    offset: int
    cid: int
    user: str
    account: str
    mqtt_client: str
    auth: bool
    subscriptions: bool
    detail: bool
    text: str = ""


def read_query(query: dict[str, str]) -> ConnzQuery:
    """Raises ParameterError."""
    state = STATES[choice(query, "state", STATES, "open")]
    sort = choice(query, "sort", SORTS, "cid")
    if sort in SORTS_OF_CLOSED and state != "closed":
        raise ParameterError(f"sort: {sort} is only there for state=closed")
    cid = integer(query, "cid", 0)
    if cid < 0:
        raise ParameterError(f"cid: expected a positive integer, got {cid}")
    limit = integer(query, "limit", DEFAULT_LIMIT)
    detail = query.get("subs") == "detail"
    return ConnzQuery(
        sort=sort,
        # A cid is unique in a gateway's life: whoever asks for one means it whether it is closed or not.
        state="all" if cid else state,
        limit=1 if cid else limit if limit > 0 else DEFAULT_LIMIT,
        offset=0 if cid else max(integer(query, "offset", 0), 0),
        cid=cid,
        user=query.get("user", ""),
        account=query.get("acc", ""),
        mqtt_client=query.get("mqtt_client", ""),
        auth=boolean(query, "auth"),
        subscriptions=not detail and boolean(query, "subs"),
        detail=detail,
    )


# What stands for a list of subscriptions, made of what gives its elements one by one.
MakeList = Callable[[Iterator[object]], object]


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be shown: `fields` beside the connections, and those."""

    fields: dict[str, object]
    connections: list[ConnectionSnapshot]
    now: datetime


def find_page(provider: SnapshotProvider, query: ConnzQuery) -> Generator[None, None, Page]:
    """Find the page, in steps of which none takes long: runs of connections are put in order, and then merged."""
    server = provider.identity()
    now = server.now
    key, largest_first = SORTS[query.sort]
    sign = -1 if largest_first else 1

    def place(connection: ConnectionSnapshot) -> Any:
        return key(connection, now), sign * connection.cid

    runs: list[list[ConnectionSnapshot]] = [[]]
    total = 0
    for connection in provider.connections(query.state):
        if _matches(query, connection):
            if len(runs[-1]) == RUN:
                runs[-1].sort(key=place, reverse=largest_first)
                runs.append([])
            runs[-1].append(connection)
            total += 1
        yield
    runs[-1].sort(key=place, reverse=largest_first)
    shown: list[ConnectionSnapshot] = []
    for position, connection in enumerate(merge(*runs, key=place, reverse=largest_first)):
        if position >= query.offset + query.limit:
            break
        if position >= query.offset:
            shown.append(connection)
        yield
    fields: dict[str, object] = {
        "server_id": server.server_id,
        "now": timestamp(now),
        "num_connections": len(shown),
        "total": total,
        "offset": query.offset,
        "limit": query.limit,
    }
    return Page(fields, shown, now)


def _matches(query: ConnzQuery, connection: ConnectionSnapshot) -> bool:
    return (
        query.cid in (0, connection.cid)
        and query.user in ("", connection.user)
        and query.account in ("", connection.account)
        and query.mqtt_client in ("", connection.mqtt_client)
        and (not query.text or query.text in names_of(connection))
    )


def names_of(connection: ConnectionSnapshot) -> str:
    """What a connection is found by, in lower case."""
    names = (connection.name, connection.user, connection.mqtt_client, connection.account, connection.ip)
    return "\n".join(names).lower()


def connection_fields(
    connection: ConnectionSnapshot, query: ConnzQuery, now: datetime, make_list: MakeList
) -> dict[str, object]:
    """What is told of a connection; its lists of subscriptions, which may be very long, are what `make_list` makes."""
    end = connection.stop or now
    fields: dict[str, object] = {
        "cid": connection.cid,
        "kind": connection.kind,
        "type": connection.type,
        "ip": connection.ip,
        "port": connection.port,
        "start": timestamp(connection.start),
        "last_activity": timestamp(connection.last_activity),
        "stop": timestamp(connection.stop) if connection.stop else "",
        "reason": connection.reason,
        "rtt": "" if connection.rtt is None else round_trip(connection.rtt),
        "uptime": uptime(end - connection.start),
        "idle": uptime(end - connection.last_activity),
        "pending_bytes": connection.pending_bytes,
        "in_msgs": connection.in_msgs,
        "out_msgs": connection.out_msgs,
        "in_bytes": connection.in_bytes,
        "out_bytes": connection.out_bytes,
        "stalls": connection.stalls,
        "subscriptions": connection.subscriptions,
        "name": connection.name,
        "lang": connection.lang,
        "version": connection.version,
        "authorized_user": connection.user if query.auth else "",
        "account": connection.account if query.auth else "",
        "mqtt_client": connection.mqtt_client,
    }
    if connection.tls is not None:
        fields |= {"tls_version": connection.tls.version_number, "tls_cipher_suite": connection.tls.suite}
        if query.auth and connection.tls.told is not None:
            fields["tls_peer_certs"] = [asdict(connection.tls.told)]
    elements: Iterator[object]
    if query.subscriptions and connection.subscriptions:
        elements = (subscription.subject for subscription in connection.subscriptions_list())
        fields["subscriptions_list"] = make_list(elements)
    if query.detail and connection.subscriptions:
        elements = (_subscription_fields(subscription, connection) for subscription in connection.subscriptions_list())
        fields["subscriptions_list_detail"] = make_list(elements)
    # Texts and lists that are empty are left out, as nats-server does; numbers are not.
    return {name: value for name, value in fields.items() if value not in ("", [])}


def _subscription_fields(subscription: SubscriptionSnapshot, connection: ConnectionSnapshot) -> dict[str, object]:
    fields: dict[str, object] = {"subject": subscription.subject}
    if subscription.queue:
        fields["qgroup"] = subscription.queue
    fields |= {"sid": subscription.sid, "msgs": subscription.msgs}
    if subscription.maximum:
        fields["max"] = subscription.maximum
    return fields | {"cid": connection.cid}
