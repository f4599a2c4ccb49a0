"""Who may do what, as it is configured: TLS, users, accounts, and what they may publish and subscribe to.

Rules between the tables are elsewhere: that a user's account exists (user_rules), what accounts share (sharing_rules).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.settings.checks import check_networks
from gateway.settings.credential_forms import hash_fault, is_user_key, verifier_fault
from gateway.settings.file import KeyedValueError
from gateway.settings.secret import Secret
from gateway.settings.units import Count, Seconds
from protocols.subjects import is_valid_filter

ConnectionType = Literal[
    "nats", "websocket", "mqtt", "mqtt-websocket", "leafnode", "leafnode-websocket", "serial", "monitoring", "fluent"
]


class KeyPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One more certificate of a listener, for peers that ask for a name in it (SNI)."""

    certificate: str
    key: str = ""


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """TLS of a listener. Files are PEM; without `key` it is in the file of the certificate. `certificates` are more of
    them, for other names of this host.

    `verify` of a peer's certificate: none | ask (checked when there is one) | require | map (required, and it says who
    the user is). `pinned-certificates` are SHA-256 digests of public keys in hexadecimal. `psk-file` has a line
    `identity:key in hexadecimal` for each peer that shares a key instead; with map the identity is the user's name.
    `optional` takes NATS clients without TLS, too. `max-handshakes-per-second` 0: no limit.
    """

    certificate: str = ""
    key: str = ""
    certificates: tuple[KeyPair, ...] = ()
    client_ca: str = ""
    verify: Literal["none", "ask", "require", "map"] = "none"
    pinned_certificates: tuple[Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{64}$")], ...] = ()
    psk_file: str = ""
    optional: bool = False
    handshake_first: bool = False
    handshake_seconds: Seconds = 5.0
    max_handshakes_per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    minimum_version: Literal["1.2", "1.3"] = "1.2"

    def __post_init__(self) -> None:
        if not (self.certificate or self.psk_file):
            raise KeyedValueError("certificate", "missing; `leafgate certs` makes one")
        by_shared_key = bool(self.psk_file) and self.verify == "map"
        if self.verify != "none" and not (self.client_ca or by_shared_key):
            raise KeyedValueError("verify", f'"{self.verify}" needs client-ca, the authority of the peers')
        if self.pinned_certificates and self.verify not in ("require", "map"):
            raise KeyedValueError("pinned-certificates", 'they need verify = "require" or "map"')
        if self.psk_file and (self.client_ca or not (self.verify == "none" or by_shared_key)):
            sentence = 'peers that share a key have no certificate; use verify = "none" or "map", without client-ca'
            raise KeyedValueError("psk-file", sentence)
        if self.optional and (self.handshake_first or self.verify in ("require", "map")):
            other = "handshake-first" if self.handshake_first else f'verify = "{self.verify}"'
            raise KeyedValueError("optional", f"{other} leaves no room for peers without TLS")


class LinkTls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """TLS towards a server that the gateway is a client of. Without `ca` the machine's authorities are trusted;
    `server-name` is by default the host; `pinned-certificates` as in Tls, of the server's key.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""
    pinned_certificates: tuple[Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{64}$")], ...] = ()


class UplinkTls(LinkTls, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """TLS towards a hub."""

    handshake_first: bool = False


class Cookies(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Names of the cookies of a WebSocket upgrade in which a browser brings who it is."""

    jwt: str = ""
    token: str = ""
    user: str = ""
    password: str = ""


class SubjectRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Subjects with wildcards; without `allow` all are allowed that `deny` does not name.

    For subscriptions a queue group may follow the subject behind a space, itself with wildcards.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, subjects in (("allow", self.allow or ()), ("deny", self.deny)):
            for index, text in enumerate(subjects):
                parts = text.encode().split(b" ")
                if len(parts) > 2 or not all(map(is_valid_filter, parts)):
                    raise KeyedValueError(f"{key}[{index}]", f"{text!r} is no subject; write it as sensors.*.>")


class AllowResponses(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How often, and how long after a request, one may publish to its reply subject."""

    max: Annotated[int, Meta(ge=-1, le=1 << 31)] = 1
    seconds: Annotated[float, Meta(ge=-1, le=86_400)] = 120.0


class PermissionRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What may be published and subscribed to. `allow-responses` alone takes the right to publish anything else."""

    publish: SubjectRule | None = None
    subscribe: SubjectRule | None = None
    allow_responses: bool | AllowResponses = False

    def __post_init__(self) -> None:
        for text in (*(self.publish.allow or ()), *self.publish.deny) if self.publish is not None else ():
            if " " in text:
                raise KeyedValueError("publish", f"{text!r}: only a subscription has a queue group")


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Somebody who may come in: by name and password, by an NKey, or by a certificate that says the name.

    `scram` is the verifier of a password, for MQTT clients that log in by SCRAM-SHA-256: they may also where `password`
    is plain text.

    `password` is a hash (`leafgate passwd` makes one of bcrypt; those of mosquitto_passwd hold as well) or plain text.
    Without `permissions` the account's default ones hold. `client-id-prefix` binds MQTT client ids. `addresses` are
    networks that the user may come from.
    """

    name: str = ""
    nkey: str = ""
    password: Secret | None = None
    scram: Secret | None = None
    account: str = ""
    connection_types: tuple[ConnectionType, ...] = ()
    client_id_prefix: str = ""
    addresses: tuple[str, ...] = ()
    permissions: PermissionRules | None = None

    def __post_init__(self) -> None:
        if not (self.name or self.nkey):
            raise KeyedValueError("name", "a user has a name, an nkey, or both")
        if self.nkey and not is_user_key(self.nkey):
            raise KeyedValueError("nkey", "the public key of a user is needed, as `leafgate nkey` prints it: U…")
        if self.password is not None:
            if not self.name:
                raise KeyedValueError("password", "it needs a name with which it is given")
            fault = hash_fault(self.password.value)
            if fault:
                raise KeyedValueError("password", fault)
        if self.scram is not None:
            if not self.name:
                raise KeyedValueError("scram", "it needs a name with which one logs in")
            fault = verifier_fault(self.scram.value)
            if fault:
                raise KeyedValueError("scram", fault)
        check_networks("addresses", self.addresses)


class Callout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A service that is asked who a peer is, in nats-server's form. `issuer` is the public key of an account whose
    signature counts, `account` where the service is, `users` those who are not asked about; `xkey` seals requests.
    """

    issuer: str
    users: tuple[str, ...]
    account: str = ""
    xkey: str = ""
    allowed_accounts: tuple[str, ...] = ()


class Resolver(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Where the JWTs of accounts are: in a directory as `<public key>.jwt`, or here by public key."""

    directory: str = ""
    preload: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.directory or self.preload):
            raise KeyedValueError("directory", "a directory is needed, or JWTs in preload")


class Authentication(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How peers say who they are. `operator` is a JWT or the file that holds it. In `users-directory` are more users
    (gateway.settings.user_files).
    """

    timeout_seconds: Seconds = 2.0
    token: Secret | None = None
    no_auth_user: str = ""
    users_directory: str = ""
    operator: str = ""
    resolver: Resolver | None = None
    system_account: str = ""
    callout: Callout | None = None
    default_permissions: PermissionRules | None = None
    max_password_checks: Annotated[int, Meta(ge=1, le=64)] = 2

    def __post_init__(self) -> None:
        if not self.operator:
            return
        if self.resolver is None:
            raise KeyedValueError("resolver", "an operator needs it: where the JWTs of its accounts are")
        for key, used in (("token", self.token), ("callout", self.callout), ("no-auth-user", self.no_auth_user)):
            if used:
                raise KeyedValueError(key, "with an operator it is the JWTs that say who may come in")


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Samples of how long a service takes: where they are published, and of how many in a hundred."""

    subject: str
    sampling: Annotated[int, Meta(ge=1, le=100)] = 100


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What other accounts may import: a stream of messages, or a service. With `accounts` it is private to them."""

    stream: str = ""
    service: str = ""
    accounts: tuple[str, ...] = ()
    account_token_position: Annotated[int, Meta(ge=0, le=64)] = 0
    response: Literal["singleton", "stream", "chunked"] = "singleton"
    response_seconds: Seconds = 120.0
    latency: Latency | None = None

    def __post_init__(self) -> None:
        _check_one_of(self.stream, self.service)


class Import(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What this account takes from another: a stream, under a `prefix` or mapped `to` a subject; or a service, called
    here on the subject `to`. `share` tells the service who asks.
    """

    account: str
    stream: str = ""
    service: str = ""
    prefix: str = ""
    to: str = ""
    share: bool = False

    def __post_init__(self) -> None:
        _check_one_of(self.stream, self.service)
        if self.prefix and (self.service or self.to):
            raise KeyedValueError("prefix", "only a stream without `to` has one")


def _check_one_of(stream: str, service: str) -> None:
    if bool(stream) == bool(service):
        raise KeyedValueError("stream", "either stream or service is needed, and not both")
    if not is_valid_filter((stream or service).encode()):
        raise KeyedValueError("stream" if stream else "service", f"{stream or service!r} is no subject")


class Destination(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Where a mapping leads, for so many messages in a hundred."""

    to: str
    weight: Annotated[int, Meta(ge=1, le=100)] = 100


BucketName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=128)]


class AccountStreams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What the streams of an account may take together (0: no limit of its own), and each of them: `max_stream_bytes`
    and `max_memory_stream_bytes` for what one may be configured to take, which `max_bytes_required` makes a duty.
    """

    enabled: bool = True
    max_bytes: Count = 0
    max_memory_bytes: Count = 0
    max_streams: Count = 0
    max_consumers: Count = 0
    max_stream_bytes: Count = 0
    max_memory_stream_bytes: Count = 0
    max_bytes_required: bool = False
    max_ack_pending: Count = 0


class AccountRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """An account: a subject space of its own, its limits (0: none), and what it shares with others."""

    name: Annotated[str, Meta(pattern=r"^[!-~]+$", max_length=128)]
    max_connections: Count = 0
    max_subscriptions: Count = 0
    max_payload_bytes: Count = 0
    max_leafnodes: Count = 0
    max_disk_bytes: Count = 0
    streams: AccountStreams = AccountStreams()
    # The key-value bucket that is the same as what is retained; empty: none.
    retained_bucket: BucketName = ""
    default_permissions: PermissionRules | None = None
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    mappings: dict[str, str | tuple[Destination, ...]] = msgspec.field(default_factory=dict)
