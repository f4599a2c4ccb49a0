"""/leafz: the leafnode links, those that were opened to us and those that we have opened."""

from itertools import islice

from gateway.monitoring.parameters import boolean
from gateway.monitoring.report import Fields, Listing
from gateway.monitoring.snapshot import ConnectionSnapshot, SnapshotProvider
from gateway.monitoring.status_fields import status_fields
from gateway.monitoring.time_text import round_trip, timestamp

# Of a link's interest so much is shown.
MOST_SUBJECTS = 10_000


async def leafz(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    """Those of one account (`acc`), or of all; with what each is interested in (`subs`). Raises ParameterError."""
    with_interest, account, server = boolean(query, "subs"), query.get("acc", ""), provider.identity()
    links = [one for one in provider.leafnodes() if account in ("", one.account)]
    return {
        "server_id": server.server_id,
        "now": timestamp(server.now),
        "leafnodes": len(links),
        "leafs": Listing(_fields(one, with_interest) for one in sorted(links, key=lambda one: one.cid)),
        # Those that are not up are no connections.
        "uplinks": [status_fields(one) for one in provider.uplinks() if account in ("", one.account)],
        "store_and_forward": [status_fields(one) for one in provider.buffers() if account in ("", one.account)],
    }


def _fields(link: ConnectionSnapshot, with_interest: bool) -> Fields:
    assert link.link is not None
    fields: Fields = {
        "id": link.cid,
        "name": link.name,
        "is_spoke": link.link.is_spoke,
        "is_isolated": link.link.is_isolated,
        "account": link.account,
        "ip": link.ip,
        "port": link.port,
        "rtt": "" if link.rtt is None else round_trip(link.rtt),
        "in_msgs": link.in_msgs,
        "out_msgs": link.out_msgs,
        "in_bytes": link.in_bytes,
        "out_bytes": link.out_bytes,
        "subscriptions": link.subscriptions,
        "compression": "off",
    }
    if with_interest:
        fields["subscriptions_list"] = [one.subject for one in islice(link.subscriptions_list(), MOST_SUBJECTS)]
    return fields
