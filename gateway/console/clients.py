"""Clients: a page of the connections, or one of them with what it subscribed to."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.monitoring.connz import connection_fields, find_page, read_query
from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import SnapshotProvider
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import in_turns

MOST_SUBSCRIPTIONS = 200


class ClientsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cid` asks for one connection; else those that have the text in their name, user, client id, account or address,
    in this order, from `offset` on.
    """

    cid: Annotated[int, Meta(ge=0)] = 0
    text: Annotated[str, Meta(max_length=200)] = ""
    sort: Literal["cid", "start", "subs", "pending", "msgs_to", "msgs_from", "last", "idle"] = "cid"
    state: Literal["open", "closed"] = "open"
    offset: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Clients:
    """What `$LEAFGATE.console.clients` answers."""

    def __init__(self, runtime: Runtime, provider: SnapshotProvider) -> None:
        self._runtime = runtime
        self._provider = provider

    async def tell(self, asked: ClientsQuery) -> Fields:
        wanted = {"sort": asked.sort, "state": asked.state, "auth": "1"}
        wanted |= {name: str(getattr(asked, name)) for name in ("cid", "offset", "limit")}
        if asked.cid:
            wanted["subs"] = "detail"
        query = replace(read_query(wanted), text=asked.text.lower())
        page = await in_turns(find_page(self._provider, query), self._runtime.turns)
        found = [connection_fields(one, query, page.now, some) for one in page.connections]
        return page.fields | {"connections": found}


def some(subscriptions: Iterator[object]) -> list[object]:
    """The first of them: a client may have very many."""
    return list(islice(subscriptions, MOST_SUBSCRIPTIONS))
