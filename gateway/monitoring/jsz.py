"""/jsz: the streams of all accounts and, as it is asked for, each account's, with their consumers."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.monitoring.parameters import boolean, integer
from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import MOST_LISTED, SnapshotProvider, StreamsAsked
from gateway.monitoring.time_text import timestamp
from gateway.runtime.turns import OwnTurn, Turns

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams
    from gateway.streams.service import StreamService

SWITCHES = (
    "accounts",
    "streams",
    "consumers",
    "direct-consumers",
    "config",
    "leader-only",
    "raft",
    "stream-leader-only",
)


def read_query(query: dict[str, str]) -> StreamsAsked:
    """As nats-server reads it: who asks for consumers gets streams, and who asks for these gets accounts. Raises
    ParameterError.
    """
    wanted = {name: boolean(query, name) for name in SWITCHES}
    consumers = wanted["consumers"] or wanted["direct-consumers"]
    streams = wanted["streams"] or consumers
    offset, limit = max(integer(query, "offset", 0), 0), integer(query, "limit", 0)
    account = query.get("acc", "")
    accounts = wanted["accounts"] or streams or bool(account)
    return StreamsAsked(
        account, accounts, streams, consumers, wanted["config"], offset, limit if limit > 0 else MOST_LISTED
    )


async def jsz(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    """Raises ParameterError."""
    asked, server = read_query(query), provider.identity()
    who: Fields = {"server_id": server.server_id, "now": timestamp(server.now)}
    told = await provider.jetstream(asked)
    if told is None:
        config = {"max_memory": 0, "max_storage": 0}
        return NOTHING | who | {"disabled": True, "config": config, "limits": {}} | dict.fromkeys(COUNTS, 0)
    return told | who


COUNTS = ("streams", "consumers", "messages", "bytes", "total")
NOTHING: Fields = {
    "memory": 0,
    "storage": 0,
    "reserved_memory": 0,
    "reserved_storage": 0,
    "accounts": 0,
    "ha_assets": 0,
    "api": {"level": 0, "total": 0, "errors": 0},
}


async def tell(service: "StreamService", asked: StreamsAsked, turns: Turns) -> Fields:
    """What there is to tell of the streams, in turns."""
    every = list(service.accounts.values())
    told = statistics(service)
    turn = OwnTurn(turns)
    if asked.accounts:
        chosen = [one for one in every if asked.account in ("", one.account.name)]
        details = [
            await _account(account, asked, turn) for account in chosen[asked.offset : asked.offset + asked.limit]
        ]
        if details or not asked.account:
            told["account_details"] = details
    return told | {"total": len(every)}


def statistics(service: "StreamService") -> Fields:
    """What all streams take, and what they are bounded by."""
    accounts = list(service.accounts.values())
    streams = [stream for account in accounts for stream in account.streams.values()]
    uses = _uses(accounts)
    told: Fields = NOTHING | {
        "memory": sum(int(str(one["memory"])) for one in uses),
        "storage": sum(int(str(one["storage"])) for one in uses),
        "accounts": len(accounts),
        "api": {
            "level": service.api_level,
            "total": sum(one.requests for one in accounts),
            "errors": sum(one.faults for one in accounts),
        },
        "config": configuration(service),
        "limits": limits(service),
        "streams": len(streams),
        "consumers": sum(stream.shown_consumers for stream in streams),
        "messages": sum(stream.stored.messages for stream in streams),
        "bytes": sum(stream.stored.size for stream in streams),
    }
    return told


def configuration(service: "StreamService") -> Fields:
    settings = service.settings
    return {
        "max_memory": settings.max_memory_bytes,
        "max_storage": settings.max_bytes,
        "store_dir": service.directory,
        # Nothing is acknowledged before it is synced.
        "sync_always": True,
        "sync_interval": settings.commit_interval_ms * 1_000_000,
        "domain": service.domain,
        "strict": True,
    }


def limits(service: "StreamService") -> Fields:
    return {"default_max_consumers": service.settings.max_consumers} if service.settings.max_consumers else {}


def _uses(accounts: "Iterable[AccountStreams]") -> list[Fields]:
    from gateway.streams.telling import use_of

    return [use_of(one) for one in accounts]


async def _account(account: "AccountStreams", asked: StreamsAsked, turn: OwnTurn) -> Fields:
    name = account.account.name
    told: Fields = {"name": name, "id": name} | NOTHING | _uses([account])[0]
    if not asked.streams:
        return told
    from gateway.streams.telling import shown_consumers, tell_consumer, tell_stream

    details = []
    for _, stream in sorted(account.streams.items()):
        detail = {"name": stream.name} | await tell_stream(stream)
        if not asked.config:
            del detail["config"]
        if asked.consumers:
            consumers = []
            for consumer in shown_consumers(stream):
                about = await tell_consumer(consumer)
                if not asked.config:
                    del about["config"]
                consumers.append(about)
                if turn.is_over():
                    await turn.next()
            detail["consumer_detail"] = consumers
        details.append(detail)
        if turn.is_over():
            await turn.next()
    return told | {"stream_detail": details}
