"""What the claims of JWTs mean as the gateway's own rules: permissions, accounts, when and whence one may connect."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from ipaddress import ip_address, ip_network
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.accounts import nkeys
from gateway.accounts.identity import NOTHING
from gateway.accounts.jwt import (
    MOST_HOURS,
    MOST_NETWORKS,
    MOST_SUBJECTS,
    NO_LIMIT,
    Account,
    AccountClaims,
    Export,
    Grant,
    Import,
    JwtError,
    Limits,
    Permission,
    Permissions,
    Responses,
    StreamLimits,
    TimeRange,
    User,
)
from gateway.settings.security import (
    AccountRules,
    AccountStreams,
    AllowResponses,
    Destination,
    Latency,
    PermissionRules,
    SubjectRule,
)
from gateway.settings.security import Export as ExportRule
from gateway.settings.security import Import as ImportRule
from protocols.subjects import is_literal, is_valid_filter

NANOSECONDS = 1_000_000_000
# The names that JWTs have for gateway.settings.security.ConnectionType; that of a serial line is ours.
CONNECTION_TYPES = {
    "STANDARD": "nats",
    "WEBSOCKET": "websocket",
    "LEAFNODE": "leafnode",
    "LEAFNODE_WS": "leafnode-websocket",
    "MQTT": "mqtt",
    "MQTT_WS": "mqtt-websocket",
    "SERIAL": "serial",
    "IN_PROCESS": "",
}
RESPONSE_TYPES: dict[str, Literal["singleton", "stream", "chunked"]] = {
    "": "singleton",
    "Singleton": "singleton",
    "Stream": "stream",
    "Chunked": "chunked",
}
RESPONSE_SECONDS = 120.0
# Fewer than the first one.
LONGEST_SECONDS = 86_400.0


def permission_rules(granted: Grant | Permissions) -> PermissionRules | None:
    """Permissions as they would be configured; None where nothing is said of them. Raises JwtError."""
    if granted.pub == granted.sub == Permission() and granted.resp is None:
        return None
    if sum(map(len, (granted.pub.allow, granted.pub.deny, granted.sub.allow, granted.sub.deny))) > MOST_SUBJECTS:
        raise JwtError(f"the JWT names more than {MOST_SUBJECTS} subjects")
    if any(" " in subject for subject in (*granted.pub.allow, *granted.pub.deny)):
        raise JwtError("the JWT names a queue group for publishing")
    try:
        publish, subscribe = _subject_rule(granted.pub), _subject_rule(granted.sub)
        if granted.resp is not None and not granted.pub.allow:  # Nothing but answers, then.
            publish = SubjectRule(allow=(), deny=granted.pub.deny)
    except ValueError:
        raise JwtError("the JWT names a permission that is no subject") from None
    responses = granted.resp is not None and _responses(granted.resp)
    return PermissionRules(publish=publish, subscribe=subscribe, allow_responses=responses)


def may_connect_as(kind: str, user: Grant) -> bool:
    """Whether the user may come in this way (ConnectionType). Names that are not known count as none."""
    allowed = [CONNECTION_TYPES.get(name.upper()) for name in user.allowed_connection_types]
    return not allowed or kind in allowed


def is_from(networks: Sequence[str], address: str) -> bool:
    """Whether an address is in one of these networks. Raises JwtError where one of them is none."""
    if len(networks) > MOST_NETWORKS:
        raise JwtError(f"the JWT names more than {MOST_NETWORKS} networks")
    try:
        nets = [ip_network(text, strict=False) for text in networks if _has_prefix_length(text)]
    except ValueError:
        raise JwtError("the JWT names an address range that is none") from None
    if not nets:
        return True
    try:
        here = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(here, "ipv4_mapped", None)
    return any((mapped or here) in net for net in nets)


def _has_prefix_length(text: str) -> bool:
    if "/" not in text:
        raise JwtError("the JWT names an address range that is none")
    return True


def in_hours(times: tuple[TimeRange, ...], location: str, now: float) -> float | None:
    """Until when (seconds since 1970) the user may stay by the hours it has: 0 without any, None outside of them.

    `location` is a zone of the IANA's data base, by default the machine's own. Raises JwtError.
    """
    if len(times) > MOST_HOURS:
        raise JwtError(f"the JWT names more than {MOST_HOURS} times of the day")
    zone = _zone(location)
    if not times:
        return 0.0
    here = datetime.fromtimestamp(now, zone).astimezone(zone)
    ends = [end for one in times if (end := _end_of(one, here)) is not None]
    return max(ends).timestamp() if ends else None


def check_account(claims: AccountClaims) -> None:
    """Raises JwtError where an account's token breaks its operator's limits or cannot be meant."""
    account, limits = claims.account, claims.account.limits
    if limits.imports != NO_LIMIT and len(account.imports) > limits.imports:
        raise JwtError("the account imports more than its operator allows")
    if limits.exports != NO_LIMIT:
        if len(account.exports) > limits.exports:
            raise JwtError("the account exports more than its operator allows")
        if not limits.wildcards and not all(is_literal(one.subject.encode()) for one in account.exports):
            raise JwtError("the account exports wildcards, which its operator does not allow")
    for key in account.signing_keys:
        if not nkeys.is_public(key if isinstance(key, str) else key.key, nkeys.ACCOUNT):
            raise JwtError("the account has a signing key that is none")
    permission_rules(account.default_permissions)
    account_rules(claims, account.imports)


def account_rules(claims: AccountClaims, imports: Iterable[Import]) -> AccountRules:
    """The account as it would be configured, with those of its imports that are granted to it. Raises JwtError.

    What may be imported was decided by tokens, so the exports name no accounts.
    """
    account, limits = claims.account, claims.account.limits
    try:
        return AccountRules(
            name=claims.subject,
            max_connections=limit_of(limits.conn),
            max_subscriptions=limit_of(limits.subs),
            max_payload_bytes=limit_of(limits.payload),
            max_leafnodes=limit_of(limits.leaf),
            # Of what JetStream may have there; sessions of MQTT need the disk where there is no JetStream, too.
            max_disk_bytes=max(limits.disk_storage, 0),
            streams=_stream_rules(limits),
            default_permissions=permission_rules(account.default_permissions),
            exports=tuple(map(_export_rule, account.exports)),
            imports=tuple(map(_import_rule, imports)),
            mappings=_mappings(account),
        )
    except JwtError:
        raise
    except ValueError as error:
        raise JwtError(f"the account's JWT cannot be followed: {error}") from None


def _stream_rules(limits: Limits) -> AccountStreams:
    """Limits of JWTs for streams; those of tiers hold for streams that are kept once."""
    told: StreamLimits = limits
    if not limits.mem_storage and not limits.disk_storage and "R1" in limits.tiered_limits:
        told = limits.tiered_limits["R1"]
    if not told.mem_storage and not told.disk_storage:
        return AccountStreams(enabled=False)
    return AccountStreams(
        max_bytes=limit_of(told.disk_storage),
        max_memory_bytes=limit_of(told.mem_storage),
        max_streams=max(told.streams, 0),
        max_consumers=max(told.consumer, 0),
        max_stream_bytes=max(told.disk_max_stream_bytes, 0),
        max_memory_stream_bytes=max(told.mem_max_stream_bytes, 0),
        max_bytes_required=told.max_bytes_required,
        max_ack_pending=max(told.max_ack_pending, 0),
    )


def limit_of(*claims: int) -> int:
    """The lowest of what JWTs say of one limit, as our rules say it; theirs are -1 for none, and 0 for nothing."""
    limits = [one for one in claims if one != NO_LIMIT]
    return max(min(limits), 0) or NOTHING if limits else 0


def exporter_subject(one: Import) -> str:
    """The subject that an import has in the account that exports it."""
    return one.to if one.type == "service" and one.to and not one.local_subject else one.subject


def check_user(user: User) -> None:
    """Raises JwtError where a user's token cannot be meant."""
    permission_rules(user)
    is_from(user.networks, "")
    in_hours(user.times, user.times_location, 0.0)
    if user.issuer_account and not nkeys.is_public(user.issuer_account, nkeys.ACCOUNT):
        raise JwtError("the JWT names an account that is none")


def _subject_rule(permission: Permission) -> SubjectRule | None:
    if permission == Permission():
        return None
    return SubjectRule(allow=permission.allow or None, deny=permission.deny)


def _responses(responses: Responses) -> AllowResponses:
    seconds = RESPONSE_SECONDS if not responses.ttl else responses.ttl / NANOSECONDS if responses.ttl > 0 else -1.0
    return AllowResponses(max=max(responses.max, -1) or 1, seconds=seconds)


def _zone(location: str) -> tzinfo | None:
    if not location:
        return None
    try:
        return ZoneInfo(location)
    except (KeyError, ValueError, OSError):
        raise JwtError("the JWT names a time zone that is none") from None


def _end_of(hours: TimeRange, here: datetime) -> datetime | None:
    start, end = (_at(text, here) for text in (hours.start, hours.end))
    if start > end:  # It goes over midnight.
        if end > here:
            return end
        end += timedelta(days=1)
    return end if start < here < end else None


def _at(text: str, here: datetime) -> datetime:
    try:
        time = datetime.strptime(text, "%H:%M:%S")  # noqa: DTZ007 - the zone is that of `here`
    except ValueError:
        raise JwtError("the JWT names a time that is none; it is written as 15:04:05") from None
    return here.replace(hour=time.hour, minute=time.minute, second=time.second, microsecond=0)


def _export_rule(export: Export) -> ExportRule:
    latency = None
    sampled = export.service_latency
    if sampled is not None and isinstance(sampled.sampling, int) and 1 <= sampled.sampling <= 100:
        latency = Latency(subject=sampled.results, sampling=sampled.sampling)
    seconds = export.response_threshold / NANOSECONDS
    response = RESPONSE_TYPES.get(export.response_type)
    if response is None:
        raise JwtError("the account exports a service with answers of a kind that is not known here")
    stream, service = _stream_or_service(export.type, export.subject)
    return ExportRule(
        stream=stream,
        service=service,
        account_token_position=export.account_token_position,
        response=response,
        response_seconds=min(max(seconds, 0.01), LONGEST_SECONDS) if seconds > 0 else RESPONSE_SECONDS,
        latency=latency,
    )


def _import_rule(one: Import) -> ImportRule:
    if not nkeys.is_public(one.account, nkeys.ACCOUNT):
        raise JwtError("the account imports from an account that is none")
    subject = exporter_subject(one)
    if one.type == "stream" and one.to and not one.local_subject:
        return ImportRule(account=one.account, stream=subject, prefix=one.to)
    to = one.local_subject or (one.subject if subject != one.subject else "")
    stream, service = _stream_or_service(one.type, subject)
    return ImportRule(account=one.account, stream=stream, service=service, to=to, share=one.share)


def _stream_or_service(kind: str, subject: str) -> tuple[str, str]:
    if kind not in ("stream", "service"):
        raise JwtError("the account shares something that is neither stream nor service")
    return (subject, "") if kind == "stream" else ("", subject)


def _mappings(account: Account) -> dict[str, str | tuple[Destination, ...]]:
    """Destinations that are for one cluster only are not for a gateway, which is in none."""
    rules: dict[str, str | tuple[Destination, ...]] = {}
    for source, destinations in account.mappings.items():
        ours = tuple(Destination(to=one.subject, weight=one.weight or 100) for one in destinations if not one.cluster)
        subjects = (source, *(one.to for one in ours))
        if not all(is_valid_filter(one.encode()) for one in subjects) or sum(one.weight for one in ours) > 100:
            raise JwtError("the account has a mapping that is none")
        if ours:
            rules[source] = ours
    return rules
