"""The keys of `[[listeners]]`: addresses that clients connect to."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.settings.addresses import split_address, split_full_address
from gateway.settings.checks import check_address, check_networks
from gateway.settings.file import KeyedValueError
from gateway.settings.fluent import FluentEntrance
from gateway.settings.security import ConnectionType, Cookies, Tls


class Listener(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One address that clients connect to. Port 0 takes a free one."""

    protocol: Literal["nats", "mqtt", "websocket", "leafnode", "fluent"]
    address: str
    allow_anonymous: bool = False
    same_origin: bool = False
    allowed_origins: tuple[str, ...] = ()
    compression: bool = False
    proxy_protocol: bool = False
    trusted_proxies: tuple[str, ...] = ()
    tls: Tls | None = None
    no_auth_user: str = ""
    cookies: Cookies | None = None
    # Of leafnodes that come here.
    isolate: bool = False
    min_version: Annotated[str, Meta(pattern=r"^(\d{1,8}\.\d{1,8}\.\d{1,8})?$")] = ""
    advertise: tuple[str, ...] = ()
    # Of those that bring events.
    fluent: FluentEntrance = FluentEntrance()

    def __post_init__(self) -> None:
        check_address("address", self.address)
        if self.protocol != "fluent" and self.fluent != FluentEntrance():
            raise KeyedValueError("fluent", f"only fluent listeners have it, this one is {self.protocol}")
        for index, origin in enumerate(self.allowed_origins):
            if not _is_origin(origin):
                raise KeyedValueError(f"allowed-origins[{index}]", "an origin looks like https://example.org:8443")
        check_networks("trusted-proxies", self.trusted_proxies)
        if self.protocol != "websocket":
            for key, used in (
                ("same-origin", self.same_origin),
                ("allowed-origins", self.allowed_origins),
                ("compression", self.compression),
                ("cookies", self.cookies),
            ):
                if used:
                    raise KeyedValueError(key, f"only websocket listeners have it, this one is {self.protocol}")
        if self.proxy_protocol and not self.trusted_proxies:
            raise KeyedValueError(
                "trusted-proxies", "with proxy-protocol it says who may speak for others, as 10.0.0.7"
            )
        if self.trusted_proxies and not (self.proxy_protocol or self.protocol == "websocket"):
            sentence = f"only websocket listeners have it without proxy-protocol = true, this one is {self.protocol}"
            raise KeyedValueError("trusted-proxies", sentence)
        if self.protocol not in ("websocket", "leafnode"):
            leafnode_keys = {"isolate": self.isolate, "min-version": self.min_version, "advertise": self.advertise}
            misplaced = next((key for key, used in leafnode_keys.items() if used), None)
            if misplaced is not None:
                sentence = f"only leafnode and websocket listeners have it, this one is {self.protocol}"
                raise KeyedValueError(misplaced, sentence)
        for index, address in enumerate(self.advertise):
            check_address(f"advertise[{index}]", address)
        if self.tls is not None and self.tls.optional and self.protocol != "nats":
            raise KeyedValueError("tls.optional", f"only nats listeners have it, this one is {self.protocol}")
        if self.tls is not None and self.tls.handshake_first and not self.speaks_first:
            message = f"only nats and leafnode listeners have it, this one is {self.protocol}"
            raise KeyedValueError("tls.handshake-first", message)

    @property
    def speaks_first(self) -> bool:
        """Whether peers are told something before they say anything, TLS or not."""
        return self.protocol in ("nats", "leafnode")

    @property
    def connection_types(self) -> tuple[ConnectionType, ...]:
        """How its peers come."""
        if self.protocol == "websocket":
            return ("websocket", "mqtt-websocket", "leafnode-websocket")
        return (self.protocol,)

    @property
    def tls_at_once(self) -> bool:
        """Whether peers begin with TLS, and are told nothing before."""
        return self.tls is not None and (not self.speaks_first or self.tls.handshake_first)

    @property
    def asks_origin(self) -> bool:
        """Whether pages of other origins are kept out: a browser sends cookies along with whatever page asks."""
        return self.same_origin or self.cookies is not None

    @property
    def host(self) -> str:
        return split_full_address(self.address)[0]

    @property
    def port(self) -> int:
        return split_full_address(self.address)[1]


def _is_origin(text: str) -> bool:
    """Whether this is a serialised origin: scheme, host and perhaps a port (RFC 6454 6.2)."""
    try:
        parts = urlsplit(text)
        host, port = split_address(parts.netloc)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and port != 0 and text == f"{parts.scheme}://{parts.netloc}"
