"""/connz: one page of the connections, filtered and sorted as the query asks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.monitoring.parameters import ParameterError, boolean, choice, integer
from gateway.monitoring.snapshot import (
    ConnectionSnapshot,
    ConnectionState,
    ServerSnapshot,
    SnapshotProvider,
)
from gateway.monitoring.time_text import round_trip, timestamp, uptime
from gateway.transport.snapshot import SubscriptionSnapshot

DEFAULT_LIMIT = 1024
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
    """What is asked for. `cid` 0 and empty texts stand for any."""

    sort: str
    state: ConnectionState
    limit: int
    offset: int
    cid: int
    account: str
    mqtt_client: str
    auth: bool
    subscriptions: bool
    detail: bool


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
        account=query.get("acc", ""),
        mqtt_client=query.get("mqtt_client", ""),
        auth=boolean(query, "auth"),
        subscriptions=not detail and boolean(query, "subs"),
        detail=detail,
    )


# What stands for a list of subscriptions, made of what gives its elements one by one.
MakeList = Callable[[Iterator[object]], object]


def connz(provider: SnapshotProvider, parameters: dict[str, str], make_list: MakeList = list) -> dict[str, object]:
    """The body of the response; its lists of subscriptions, which may be very long, are what `make_list` makes.

    Raises ParameterError.
    """
    query = read_query(parameters)
    server: ServerSnapshot = provider.server()
    found = [connection for connection in provider.connections(query.state) if _matches(query, connection)]
    key, largest_first = SORTS[query.sort]
    found.sort(key=lambda connection: connection.cid)
    found.sort(key=lambda connection: key(connection, server.now), reverse=largest_first)
    page = found[query.offset : query.offset + query.limit]
    return {
        "server_id": server.server_id,
        "now": timestamp(server.now),
        "num_connections": len(page),
        "total": len(found),
        "offset": query.offset,
        "limit": query.limit,
        "connections": [_connection_fields(connection, query, server.now, make_list) for connection in page],
    }


def _matches(query: ConnzQuery, connection: ConnectionSnapshot) -> bool:
    return (
        query.cid in (0, connection.cid)
        and query.account in ("", connection.account)
        and query.mqtt_client in ("", connection.mqtt_client)
    )


def _connection_fields(
    connection: ConnectionSnapshot, query: ConnzQuery, now: datetime, make_list: MakeList
) -> dict[str, object]:
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
        "account": connection.account if query.auth else "",
        "mqtt_client": connection.mqtt_client,
    }
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
