"""/subsz: how many subscriptions there are and what finding them costs; with `subs`, a page of them."""

from collections.abc import Iterator

from gateway.monitoring.parameters import ParameterError, boolean, integer
from gateway.monitoring.report import Fields, Later, Listing
from gateway.monitoring.snapshot import InterestSnapshot, SnapshotProvider
from gateway.monitoring.time_text import timestamp
from protocols.subjects import is_valid_literal, matches

DEFAULT_LIMIT = 1024


async def subsz(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    """Of one account (`acc`) or of all; with `test` those of them that match a subject. Raises ParameterError."""
    listed = boolean(query, "subs")
    offset = max(integer(query, "offset", 0), 0)
    limit = integer(query, "limit", DEFAULT_LIMIT)
    limit = limit if limit > 0 else DEFAULT_LIMIT
    account, test = query.get("acc", ""), query.get("test", "")
    if test and not is_valid_literal(test.encode()):
        raise ParameterError(f"invalid test subject, must be literal: {test}")
    if account and account not in provider.account_names():
        raise ParameterError(f"acc: there is no account {account}")
    tree, server = await provider.tree(account), provider.identity()
    hits = max(tree.matches - tree.searches, 0)
    fields: Fields = {
        "server_id": server.server_id,
        "now": timestamp(server.now),
        "num_subscriptions": tree.subscriptions,
        "num_cache": tree.remembered,
        "num_inserts": tree.inserts,
        "num_removes": tree.removes,
        "num_matches": tree.matches,
        "cache_hit_rate": hits / tree.matches if tree.matches else 0.0,
        "max_fanout": tree.most_fan_out,
        "avg_fanout": tree.mean_fan_out,
        "offset": offset,
        "limit": limit,
    }
    if not listed:
        return fields | {"total": 0}
    page = Page(provider.interests(account), test.encode(), offset, limit)
    # As many as are listed, which is known behind them.
    return fields | {"subscriptions_list": Listing(page.elements()), "total": Later(lambda: page.count)}


class Page:
    """`limit` of the subscriptions that match a subject, where one is given, behind the first `offset` of them."""

    def __init__(self, found: Iterator[InterestSnapshot | None], test: bytes, offset: int, limit: int) -> None:
        self.count = 0
        self._found = found
        self._test = test
        self._offset = offset
        self._limit = limit

    def elements(self) -> Iterator[object]:
        """None for what is not on the page."""
        before = self._offset
        for one in self._found:
            if one is None or (self._test and not matches(one.told.subject.encode(), self._test)):
                yield None
            elif before:
                before -= 1
                yield None
            elif self.count < self._limit:
                self.count += 1
                yield _fields(one)
            else:
                break


def _fields(one: InterestSnapshot) -> Fields:
    told = one.told
    fields: Fields = {"account": one.account, "account_tag": one.account, "subject": told.subject}
    if told.queue:
        fields["qgroup"] = told.queue
    fields |= {"sid": told.sid, "msgs": told.msgs}
    if told.maximum:
        fields["max"] = told.maximum
    return fields | {"cid": one.cid}
