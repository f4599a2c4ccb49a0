"""JWTs of NATS: what operators say of accounts and accounts of users, signed with NKeys.

A token says who signed it; whether that one may is decided elsewhere (trust, jwt_admission).
"""

import base64
import binascii
import secrets
import time
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from gateway.accounts import nkeys
from protocols import foreign_json
from protocols.foreign_json import Int64

# An account with thousands of exports and revocations; its signature takes about two milliseconds.
LONGEST = 1 << 20
# A user's goes into the line of CONNECT, into a password or a cookie.
LONGEST_USER = 1 << 16
# The answer of a service has a user's in it.
LONGEST_ANSWER = 2 * LONGEST_USER
# Of what somebody may do, each takes its time whenever he comes: subjects, networks and hours, and tags for which the
# places in a role's template stand.
MOST_SUBJECTS = 2048
MOST_NETWORKS = 256
MOST_HOURS = 64
MOST_TAGS = 256
NEWEST_VERSION = 2
NO_LIMIT = -1
HEADER = b'{"typ":"JWT","alg":"ed25519-nkey"}'
EVERYBODY = "*"

T = TypeVar("T", bound="Claims")


class JwtError(ValueError):
    """A token that is none, is damaged, says something that cannot be, or is not valid (any more).

    The sentence names no part of the token but names of subjects and public keys.
    """


class Permission(Struct, frozen=True):
    """Subjects allowed (none listed: all) and denied."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class Responses(Struct, frozen=True):
    """How many answers to a request, and for how many nanoseconds; 0 for the default, below it for no limit."""

    max: Int64 = 0
    ttl: Int64 = 0


class Permissions(Struct, frozen=True):
    """What may be published and subscribed to."""

    pub: Permission = Permission()
    sub: Permission = Permission()
    resp: Responses | None = None


class TimeRange(Struct, frozen=True):
    """A part of the day, of two times as in 15:04:05; it may go over midnight."""

    start: str = ""
    end: str = ""


class Grant(Struct, frozen=True, kw_only=True):
    """What a user may, or what a role gives its users. Limits: -1 for none."""

    pub: Permission = Permission()
    sub: Permission = Permission()
    resp: Responses | None = None
    subs: Int64 = 0
    data: Int64 = 0
    payload: Int64 = 0
    src: tuple[str, ...] | str = ()
    times: tuple[TimeRange, ...] = ()
    times_location: str = ""
    bearer_token: bool = False
    proxy_required: bool = False
    allowed_connection_types: tuple[str, ...] = ()

    @property
    def networks(self) -> tuple[str, ...]:
        """`src`, which older tokens write with commas between the networks."""
        if isinstance(self.src, tuple):
            return self.src
        return tuple(part for one in self.src.split(",") if (part := one.strip().lower()))

    def is_empty(self) -> bool:
        """Whether it says nothing, as users must whose role says it."""
        return not any(getattr(self, name) for name in _GRANTED) and self.pub == self.sub == Permission()


_GRANTED = tuple(name for name in Grant.__struct_fields__ if name not in ("pub", "sub"))


class User(Grant, frozen=True, kw_only=True):
    """What is said of a user. `issuer_account` is whose signing key signed, where that is not the account itself."""

    issuer_account: str = ""
    tags: tuple[str, ...] = ()


class Role(Struct, frozen=True, kw_only=True):
    """A signing key whose users all get what `template` says."""

    key: str
    kind: str = ""
    role: str = ""
    template: Grant = Grant()


class Latency(Struct, frozen=True):
    """Samples of a service; `sampling` in a hundred, or "headers"."""

    sampling: Int64 | str = 100
    results: str = ""


class Export(Struct, frozen=True, kw_only=True):
    """What other accounts may import; with `token_req` those whom an activation token names."""

    name: str = ""
    subject: str = ""
    type: str = ""
    token_req: bool = False
    revocations: dict[str, int] = field(default_factory=dict)
    response_type: str = ""
    response_threshold: Int64 = 0
    service_latency: Latency | None = None
    account_token_position: Int64 = 0


class Import(Struct, frozen=True, kw_only=True):
    """What is taken from another account. `to` is an older form of `local_subject`."""

    name: str = ""
    subject: str = ""
    account: str = ""
    token: str = ""
    to: str = ""
    local_subject: str = ""
    type: str = ""
    share: bool = False


class StreamLimits(Struct, frozen=True, kw_only=True):
    """What streams may take: -1 for no limit. Without storage of either kind there are none."""

    mem_storage: Int64 = 0
    disk_storage: Int64 = 0
    streams: Int64 = 0
    consumer: Int64 = 0
    max_ack_pending: Int64 = 0
    mem_max_stream_bytes: Int64 = 0
    disk_max_stream_bytes: Int64 = 0
    max_bytes_required: bool = False


class Limits(StreamLimits, frozen=True, kw_only=True):
    """Limits that the operator sets: -1 for none, and 0 for nothing at all."""

    subs: Int64 = 0
    payload: Int64 = 0
    imports: Int64 = 0
    exports: Int64 = 0
    wildcards: bool = False
    disallow_bearer: bool = False
    conn: Int64 = 0
    leaf: Int64 = 0
    # Limits of streams by how many replicas they have, as `R1`.
    tiered_limits: dict[str, StreamLimits] = field(default_factory=dict)


class Weighted(Struct, frozen=True, kw_only=True):
    """A destination of a mapping, for so many messages in a hundred (0: all), perhaps in one cluster only."""

    subject: str = ""
    weight: Int64 = 0
    cluster: str = ""


class ExternalAuthorization(Struct, frozen=True, kw_only=True):
    """A service of the account that says who its users are, but for `auth_users`."""

    auth_users: tuple[str, ...] = ()
    allowed_accounts: tuple[str, ...] = ()
    xkey: str = ""


class Account(Struct, frozen=True, kw_only=True):
    """What is said of an account."""

    imports: tuple[Import, ...] = ()
    exports: tuple[Export, ...] = ()
    limits: Limits = Limits()
    signing_keys: tuple[str | Role, ...] = ()
    revocations: dict[str, int] = field(default_factory=dict)
    default_permissions: Permissions = Permissions()
    mappings: dict[str, tuple[Weighted, ...]] = field(default_factory=dict)
    authorization: ExternalAuthorization = ExternalAuthorization()
    tags: tuple[str, ...] = ()


class Operator(Struct, frozen=True, kw_only=True):
    """What an operator says of itself."""

    signing_keys: tuple[str, ...] = ()
    system_account: str = ""
    strict_signing_key_usage: bool = False


class Activation(Struct, frozen=True, kw_only=True):
    """That an account may import a subject of `kind` stream or service."""

    subject: str = ""
    kind: str = ""
    issuer_account: str = ""


class AuthorizationResponse(Struct, frozen=True, kw_only=True):
    """Who a peer is (the token of a user), or why it is nobody."""

    jwt: str = ""
    error: str = ""
    issuer_account: str = ""


class Deletion(Struct, frozen=True, kw_only=True):
    """Accounts that are to be forgotten."""

    accounts: tuple[str, ...] = ()


class Claims(Struct, frozen=True, kw_only=True):
    """What every token says. Times are seconds since 1970, 0 for none."""

    issuer: str = field(name="iss", default="")
    subject: str = field(name="sub", default="")
    audience: str = field(name="aud", default="")
    name: str = ""
    issued_at: Int64 = field(name="iat", default=0)
    expires: Int64 = field(name="exp", default=0)
    not_before: Int64 = field(name="nbf", default=0)

    def check_time(self, now: float) -> None:
        """Raises JwtError when it is not valid now."""
        if 0 < self.expires <= now:
            raise JwtError("the JWT has expired")
        if self.not_before > now:
            raise JwtError("the JWT is not valid yet")


class OperatorClaims(Claims, frozen=True, kw_only=True):
    """An operator's token."""

    operator: Operator = field(name="nats", default=Operator())


class AccountClaims(Claims, frozen=True, kw_only=True):
    """An account's token."""

    account: Account = field(name="nats", default_factory=Account)


class UserClaims(Claims, frozen=True, kw_only=True):
    """A user's token."""

    user: User = field(name="nats", default=User())


class ActivationClaims(Claims, frozen=True, kw_only=True):
    """A token that lets an account import something."""

    activation: Activation = field(name="nats", default=Activation())


class ResponseClaims(Claims, frozen=True, kw_only=True):
    """The answer of a service that says who a peer is."""

    response: AuthorizationResponse = field(name="nats", default=AuthorizationResponse())


class DeletionClaims(Claims, frozen=True, kw_only=True):
    """An operator's wish that accounts be forgotten; of any type."""

    deletion: Deletion = field(name="nats", default=Deletion())


# The type that a token must say, and what the key must be that signs it.
_TYPES: dict[type[Claims], tuple[str, str]] = {
    OperatorClaims: ("operator", nkeys.OPERATOR),
    AccountClaims: ("account", nkeys.ACCOUNT + nkeys.OPERATOR),
    UserClaims: ("user", nkeys.ACCOUNT),
    ActivationClaims: ("activation", nkeys.ACCOUNT + nkeys.OPERATOR),
    ResponseClaims: ("authorization_response", nkeys.ACCOUNT),
    DeletionClaims: ("", nkeys.OPERATOR),
}


_LONGEST: dict[type[Claims], int] = {UserClaims: LONGEST_USER, ResponseClaims: LONGEST_ANSWER}


def decode(token: str, shape: type[T]) -> T:
    """The claims of a token of this type, whose signature fits its issuer. Raises JwtError."""
    if len(token) > _LONGEST.get(shape, LONGEST):
        raise JwtError("the JWT is too long")
    chunks = token.split(".", 3)
    if len(chunks) != 3 or not token.isascii():
        raise JwtError("that is no JWT, which has three parts with dots between them")
    header, payload, signature = map(_decode_base64, chunks)
    _check_header(header)
    document = _decode_json(payload)
    if not isinstance(document, dict):
        raise JwtError("the JWT holds no claims")
    kind, version = _kind_and_version(document)
    expected, signers = _TYPES[shape]
    if expected and kind != expected:
        raise JwtError(f"the JWT is none of type {expected}")
    if version > NEWEST_VERSION or (expected and version < 1):
        raise JwtError("the JWT is of a version that is not known here")
    issuer = document.get("iss")
    if not isinstance(issuer, str) or issuer[:1] not in signers or not issuer:
        raise JwtError(f"the JWT of type {expected or 'generic'} is signed by a key that signs no such thing")
    signed = token[: len(chunks[0]) + len(chunks[1]) + 1] if version > 1 else chunks[1]
    if not nkeys.verify(issuer, signed.encode(), signature):
        raise JwtError("the signature of the JWT does not fit")
    try:
        return msgspec.convert(_in_newest_form(document, kind, version), shape)
    except msgspec.ValidationError:
        raise JwtError(f"the JWT holds no claims of type {expected or 'generic'}") from None


def encode(pair: nkeys.KeyPair, claims: dict[str, Any]) -> str:
    """A token of these claims by this key, which becomes their issuer; `iat` and `jti` are added."""
    claims = claims | {"iss": pair.public, "iat": int(time.time()), "jti": _encode_base64(secrets.token_bytes(16))}
    signed = f"{_encode_base64(HEADER)}.{_encode_base64(msgspec.json.encode(claims))}"
    return f"{signed}.{nkeys.encode_signature(pair.sign(signed.encode()))}"


def is_revoked(revocations: dict[str, int], public: str, issued_at: int) -> bool:
    """Whether what was issued for a key (or for everybody) until then is revoked."""
    return any(revocations.get(key, -1) >= issued_at for key in (public, EVERYBODY))


def _check_header(header: bytes) -> None:
    fields = _decode_json(header)
    if not isinstance(fields, dict):
        raise JwtError("the JWT has no header")
    kind, algorithm = fields.get("typ"), fields.get("alg")
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise JwtError("the JWT is of another type of token")
    if not isinstance(algorithm, str) or algorithm.lower() not in ("ed25519", "ed25519-nkey"):
        raise JwtError("the JWT is signed by another algorithm than Ed25519")


def _kind_and_version(document: dict[str, Any]) -> tuple[str, int]:
    """Tokens of version 1 have their type, tags and the issuer's account outside of the part `nats`."""
    inner = document.get("nats", {})
    if not isinstance(inner, dict):
        raise JwtError("the JWT holds no claims")
    kind, version = document.get("type"), 1
    if not kind:
        kind, version = inner.get("type", ""), inner.get("version", 0)
    if not isinstance(kind, str) or not isinstance(version, int):
        raise JwtError("the JWT says no type and version")
    return kind, version


def _in_newest_form(document: dict[str, Any], kind: str, version: int) -> dict[str, Any]:
    inner = dict(document.get("nats", {}))
    unlimited = {"subs": NO_LIMIT, "data": NO_LIMIT, "payload": NO_LIMIT}
    if version <= 1:
        for name in ("tags", "issuer_account"):
            if name in document:
                inner[name] = document[name]
        if kind == "user":
            inner = unlimited | inner
    if kind == "account" and isinstance(inner.get("signing_keys"), list):
        inner["signing_keys"] = [_with_limits(one, unlimited) for one in inner["signing_keys"]]
    return document | {"nats": inner}


def _with_limits(key: Any, unlimited: dict[str, int]) -> Any:
    """A role's template has no limits where it names none; a user has them where it names none."""
    if not isinstance(key, dict):
        return key
    if key.get("kind") != "user_scope":
        raise JwtError("the JWT has a signing key of a scope that is not known here")
    template = key.get("template", {})
    return key | {"template": unlimited | template} if isinstance(template, dict) else key


def _decode_json(data: bytes) -> Any:
    """A field that is null is as good as one that is not there."""
    try:
        return _without_nulls(foreign_json.decode(data))
    except (msgspec.DecodeError, RecursionError):  # It may be nested as deeply as the decoder goes.
        raise JwtError("the JWT holds no JSON") from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) if type(one) in (dict, list) else one for one in value if one is not None]
    return value


def _decode_base64(chunk: str) -> bytes:
    if not chunk or not set("=+/").isdisjoint(chunk):
        raise JwtError("the JWT is no base64 of the alphabet of URLs")
    try:
        return base64.b64decode(chunk + "=" * (-len(chunk) % 4), b"-_", validate=True)
    except binascii.Error:
        raise JwtError("the JWT is no base64 of the alphabet of URLs") from None


def _encode_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
