"""The keys of `[[uplinks]]`: links to hubs."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.settings.account_names import DEFAULT_ACCOUNT, AccountNames, check_elements
from gateway.settings.addresses import ServerUrl
from gateway.settings.checks import check_filter
from gateway.settings.file import KeyedValueError
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, UplinkTls
from gateway.settings.units import Seconds

UPLINK_PORTS = {"nats-leaf": 7422, "nats": 7422, "tls": 7422, "ws": 80, "wss": 443}
PROXY_PORTS = {"http": 3128}


class ProxyUrl(ServerUrl):
    """Where an HTTP proxy is and who we are there."""

    __slots__ = ()

    @classmethod
    def of(cls, url: ServerUrl) -> "ProxyUrl":
        return cls(url.scheme, url.host, url.port, url.user, url.password)


class Uplink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One leafnode link to a hub; with several URLs it fails over from one to the next.

    `isolate`: neither end tells the other of the interest of its other leafnodes. `jetstream`: the subjects of
    JetStream that name no domain are this hub's.
    """

    urls: tuple[ServerUrl, ...]
    # A token of the subject on which changes of the link are told.
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=64)] = ""
    no_randomize: bool = False
    ignore_discovered_servers: bool = False
    dial_timeout_seconds: Seconds = 5.0
    handshake_timeout_seconds: Seconds = 5.0
    reconnect_min_seconds: Seconds = 0.25
    reconnect_max_seconds: Seconds = 30.0
    ping_interval_seconds: Seconds = 20.0
    ping_max: Annotated[int, Meta(ge=1, le=100)] = 2
    account: str = ""
    user: str = ""
    password: Secret | None = None
    token: Secret | None = None
    credentials: str = ""
    nkey: Secret | None = None
    tls: UplinkTls | None = None
    proxy: ProxyUrl | None = None
    deny_imports: tuple[str, ...] = ()
    deny_exports: tuple[str, ...] = ()
    isolate: bool = False
    jetstream: bool = True

    def __post_init__(self) -> None:
        if not self.urls:
            raise KeyedValueError("urls", "at least one URL is needed")
        if self.reconnect_min_seconds > self.reconnect_max_seconds:
            raise KeyedValueError(
                "reconnect-min-seconds",
                f"{self.reconnect_min_seconds:g} is above reconnect-max-seconds, {self.reconnect_max_seconds:g}",
            )
        for key, subjects in (("deny-imports", self.deny_imports), ("deny-exports", self.deny_exports)):
            for index, subject in enumerate(subjects):
                check_filter(f"{key}[{index}]", subject, "local.>")
        if self.user and self.password is None:
            raise KeyedValueError("password", "a user has one; a token has a key of its own")


def check_uplinks(uplinks: Sequence[Uplink], accounts: Iterable[AccountRules], names: AccountNames) -> None:
    """Each link joins an account that is there, and no account has more of them than it may. Raises KeyedValueError."""
    check_elements("uplinks", uplinks, names.check)
    most = {one.name: one.max_leafnodes for one in accounts if one.max_leafnodes}
    links: dict[str, int] = {}
    for index, uplink in enumerate(uplinks):
        name = uplink.account or DEFAULT_ACCOUNT
        links[name] = links.get(name, 0) + 1
        if name in most and links[name] > most[name]:
            raise KeyedValueError(f"uplinks[{index}].account", f"account {name!r} has max-leafnodes = {most[name]}")
