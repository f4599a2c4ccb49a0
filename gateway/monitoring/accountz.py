"""/accountz and /accstatz: the accounts, what each is allowed and shares, and what its connections do."""

from collections.abc import Iterator

from gateway.monitoring.parameters import ParameterError, boolean
from gateway.monitoring.report import Fields, Listing
from gateway.monitoring.snapshot import AccountSnapshot, SnapshotProvider
from gateway.monitoring.time_text import timestamp
from gateway.settings.security import Export, Import
from gateway.transport.census import Totals


async def accountz(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    """The names of all accounts, or what there is to say of one (`acc`). Raises ParameterError."""
    totals = await provider.census()
    server = provider.server(totals)
    fields: Fields = {
        "server_id": server.server_id,
        "now": timestamp(server.now),
        "system_account": server.system_account,
    }
    name = query.get("acc", "")
    if not name:
        return fields | {"accounts": Listing(provider.account_names())}
    return fields | {"account_detail": detail(_account(provider, name, totals))}


async def account_info(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    """What there is to say of one account (`acc`), alone. Raises ParameterError."""
    totals = await provider.census()
    return detail(_account(provider, query.get("acc", ""), totals))


def _account(provider: SnapshotProvider, name: str, totals: Totals) -> AccountSnapshot:
    account = provider.account(name, totals)
    if account is None:
        raise ParameterError(f"acc: there is no account {name}")
    return account


def detail(account: AccountSnapshot) -> Fields:
    return {
        "account_name": account.name,
        "is_system": account.is_system,
        "expired": False,
        "complete": True,
        "jetstream_enabled": account.has_streams,
        "leafnode_connections": account.leafnodes,
        "client_connections": account.connections,
        "subscriptions": account.subscriptions,
        "mappings": account.mappings,
        "exports": [_export_fields(one) for one in account.exports],
        "imports": [_import_fields(one) for one in account.imports],
        "retained_messages": account.retained_messages,
        "retained_bytes": account.retained_bytes,
        "queued_bytes": account.queued_bytes,
    }


def _export_fields(rules: Export) -> Fields:
    fields: Fields = {"subject": rules.stream or rules.service, "type": "stream" if rules.stream else "service"}
    if rules.service:
        fields["response_type"] = rules.response.capitalize()
    if rules.account_token_position:
        fields["account_token_position"] = rules.account_token_position
    return fields | ({"approved_accounts": list(rules.accounts)} if rules.accounts else {})


def _import_fields(rules: Import) -> Fields:
    fields: Fields = {"subject": rules.stream or rules.service, "account": rules.account}
    local = f"{rules.prefix}.{rules.stream}" if rules.prefix else rules.to
    if local:
        fields["local_subject"] = local
    kind = "stream" if rules.stream else "service"
    return fields | {"type": kind, "invalid": False, "share": rules.share, "tracking": False}


async def accstatz(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    """What the connections of each account that has some do, with `unused` of every account; of `acc` alone where that
    is named. Raises ParameterError.
    """
    unused, totals, server = boolean(query, "unused"), await provider.census(), provider.identity()
    found: Iterator[AccountSnapshot]
    if query.get("acc"):
        one = provider.account(query["acc"], totals)
        found = iter(() if one is None else (one,))
    else:
        found = provider.accounts(totals)
    return {
        "server_id": server.server_id,
        "now": timestamp(server.now),
        "account_statz": Listing(statistics(one) if unused or one.in_use else None for one in found),
    }


def statistics(account: AccountSnapshot) -> Fields:
    """What an account's connections do."""
    none = {"msgs": 0, "bytes": 0}
    links = account.leaf_traffic
    return {
        "acc": account.name,
        "name": account.name,
        "conns": account.connections,
        "leafnodes": account.leafnodes,
        "total_conns": account.connections + account.leafnodes,
        "num_subscriptions": account.subscriptions,
        "sent": {
            "msgs": account.out_msgs,
            "bytes": account.out_bytes,
            "gateways": none,
            "routes": none,
            "leafs": {"msgs": links.out_msgs, "bytes": links.out_bytes},
        },
        "received": {
            "msgs": account.in_msgs,
            "bytes": account.in_bytes,
            "gateways": none,
            "routes": none,
            "leafs": {"msgs": links.in_msgs, "bytes": links.in_bytes},
        },
        "slow_consumers": account.slow_consumers,
    }
