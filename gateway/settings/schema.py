"""The configuration: every key with its default, its range and the rules between keys, as frozen structs.

How the file is read and its errors are worded is `gateway.settings.file`. A struct that is built in code obeys the same
rules between keys; only ranges of single values are checked while a file is read.
"""

import re
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from gateway.settings.addresses import ServerUrl, is_loopback, join_address, parse_server_url, split_address
from gateway.settings.file import KeyedValueError, read_config_file
from gateway.settings.line_pattern import longest_line
from protocols.foreign_text import is_legal_literal

KIB = 1024
MIB = 1024 * KIB
DAY = 86_400

UPLINK_PORTS = {"nats-leaf": 7422, "nats": 7422}

Seconds = Annotated[float, Meta(ge=0.01, le=DAY)]
Baud = Annotated[int, Meta(ge=50, le=12_000_000)]
# Zero is a wait of no length here.
Grace = Annotated[float, Meta(ge=0, le=DAY)]
# The name goes unquoted into monitoring paths and, as the origin of a leafnode, into space-separated lines.
Name = Annotated[str, Meta(pattern=r"^[!-~]*$", max_length=128)]


def _split(address: str) -> tuple[str, int]:
    host, port = split_address(address)
    if port is None:
        raise ValueError("the port is missing, as in 127.0.0.1:4222")
    return host, port


def _check_address(address: str, allow_anonymous: bool) -> None:
    try:
        host, _ = _split(address)
    except ValueError as error:
        raise KeyedValueError("address", str(error)) from None
    if not (allow_anonymous or is_loopback(host)):
        raise KeyedValueError(
            "address",
            f"{host} can be reached from other machines and clients are not authenticated; "
            "use 127.0.0.1 or set allow-anonymous = true",
        )


def _is_origin(text: str) -> bool:
    """Whether this is a serialised origin: scheme, host and perhaps a port (RFC 6454 6.2)."""
    try:
        parts = urlsplit(text)
        host, port = split_address(parts.netloc)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and port != 0 and text == f"{parts.scheme}://{parts.netloc}"


class Listener(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One address that clients connect to. Port 0 takes a free one."""

    protocol: Literal["nats", "mqtt", "websocket", "leafnode"]
    address: str
    allow_anonymous: bool = False
    same_origin: bool = False
    allowed_origins: tuple[str, ...] = ()
    compression: bool = False
    trusted_proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.protocol == "leafnode":
            raise KeyedValueError("protocol", "leafnode listeners do not exist yet; use nats, mqtt or websocket")
        _check_address(self.address, self.allow_anonymous)
        for index, origin in enumerate(self.allowed_origins):
            if not _is_origin(origin):
                raise KeyedValueError(f"allowed-origins[{index}]", "an origin looks like https://example.org:8443")
        for index, proxies in enumerate(self.trusted_proxies):
            try:
                ip_network(proxies)
            except ValueError as error:
                raise KeyedValueError(f"trusted-proxies[{index}]", f"{error}; write 10.0.0.7 or 10.0.0.0/8") from None
        if self.protocol != "websocket":
            for key, used in (
                ("same-origin", self.same_origin),
                ("allowed-origins", self.allowed_origins),
                ("compression", self.compression),
                ("trusted-proxies", self.trusted_proxies),
            ):
                if used:
                    raise KeyedValueError(key, f"only websocket listeners have it, this one is {self.protocol}")

    @property
    def host(self) -> str:
        return _split(self.address)[0]

    @property
    def port(self) -> int:
        return _split(self.address)[1]


class Monitoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The HTTP end points for people and programs that watch. An empty address turns them off."""

    address: str = "127.0.0.1:8222"
    allow_anonymous: bool = False

    def __post_init__(self) -> None:
        if self.address:
            _check_address(self.address, self.allow_anonymous)

    @property
    def host(self) -> str:
        """Only when there is an address."""
        return _split(self.address)[0]

    @property
    def port(self) -> int:
        """Only when there is an address."""
        return _split(self.address)[1]


class Uplink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One leafnode link to a hub; with several URLs it fails over from one to the next."""

    urls: tuple[ServerUrl, ...]
    dial_timeout_seconds: Seconds = 1.0
    handshake_timeout_seconds: Seconds = 2.0
    reconnect_min_seconds: Seconds = 0.25
    reconnect_max_seconds: Seconds = 30.0
    ping_interval_seconds: Seconds = 30.0
    ping_max: Annotated[int, Meta(ge=1, le=100)] = 2

    def __post_init__(self) -> None:
        if not self.urls:
            raise KeyedValueError("urls", "at least one URL is needed")
        if self.reconnect_min_seconds > self.reconnect_max_seconds:
            raise KeyedValueError(
                "reconnect-min-seconds",
                f"{self.reconnect_min_seconds:g} is above reconnect-max-seconds, {self.reconnect_max_seconds:g}",
            )


class Serial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A serial port with a device behind it; a glob or the ids of a USB adapter may mean several."""

    port: Annotated[str, Meta(min_length=1)]
    protocol: Literal["link", "lines"] = "link"
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=64)] = ""
    user: str = ""
    subject: str = "devices.{name}"
    baud: Baud = 115_200
    auto_baud: bool = False
    upgrade_baud: Annotated[int, Meta(ge=0, le=12_000_000)] = 0
    pattern: str = r"(?P<subject>[^=\s]+)=(?P<payload>.*)"
    queue_bytes: Annotated[int, Meta(ge=4 * KIB, le=64 * MIB)] = 256 * KIB
    resume_seconds: Grace = 60.0

    def __post_init__(self) -> None:
        if not is_legal_literal(self.subject.replace("{name}", "name").encode()):
            raise KeyedValueError("subject", f"{self.subject!r} is no subject; write it as devices.{{name}}")
        try:
            longest_line(self.pattern)
        except ValueError as error:
            raise KeyedValueError("pattern", str(error)) from None
        groups = re.compile(self.pattern.encode()).groupindex
        if not {"subject", "payload"} <= groups.keys():
            raise KeyedValueError("pattern", "needs the groups (?P<subject>...) and (?P<payload>...)")
        network = urlsplit(self.port) if "://" in self.port else None
        if network is not None:
            self._check_url(network)

    def _check_url(self, url: SplitResult) -> None:
        try:
            _, port = split_address(url.netloc)
        except ValueError as error:
            raise KeyedValueError("port", str(error)) from None
        if url.scheme not in ("socket", "rfc2217") or not port:
            raise KeyedValueError("port", "a networked port is written as socket://host:port or rfc2217://host:port")
        if url.scheme == "socket" and (self.auto_baud or self.upgrade_baud):
            key = "auto-baud" if self.auto_baud else "upgrade-baud"
            raise KeyedValueError(key, "a socket:// port has no rate that could be changed; use rfc2217://")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What one connection, and all of them together, may take."""

    max_payload_bytes: Annotated[int, Meta(ge=1, le=64 * MIB)] = MIB
    max_control_line_bytes: Annotated[int, Meta(ge=64, le=MIB)] = 4 * KIB
    max_header_lines: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 65_536
    max_unintroduced: Annotated[int, Meta(ge=1, le=1_000_000)] = 16_384
    max_unintroduced_per_address: Annotated[int, Meta(ge=1, le=1_000_000)] = 8192
    max_subscriptions: Annotated[int, Meta(ge=0, le=100_000_000)] = 0
    max_subscription_bytes: Annotated[int, Meta(ge=0, le=1 << 50)] = 0
    max_pending_bytes: Annotated[int, Meta(ge=4 * KIB, le=4096 * MIB)] = 64 * MIB
    max_memory_bytes: Annotated[int, Meta(ge=0, le=1 << 50)] = 0

    def __post_init__(self) -> None:
        if self.max_payload_bytes > self.max_pending_bytes:
            raise KeyedValueError(
                "max-payload-bytes",
                f"{self.max_payload_bytes} is above max-pending-bytes, {self.max_pending_bytes}: "
                "no such message could be delivered",
            )


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How long the gateway waits for peers, and for itself when it stops."""

    start_seconds: Grace = 60.0
    connect_seconds: Seconds = 10.0
    ping_interval_seconds: Seconds = 120.0
    ping_max: Annotated[int, Meta(ge=1, le=100)] = 2
    write_deadline_seconds: Seconds = 10.0
    drain_seconds: Grace = 5.0
    lame_duck_grace_seconds: Grace = 10.0
    lame_duck_seconds: Grace = 120.0

    def __post_init__(self) -> None:
        if self.lame_duck_grace_seconds > self.lame_duck_seconds:
            raise KeyedValueError(
                "lame-duck-grace-seconds",
                f"{self.lame_duck_grace_seconds:g} is above lame-duck-seconds, {self.lame_duck_seconds:g}",
            )


class Mqtt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Limits that only MQTT knows."""

    # The largest payload that NATS may carry, with room for a topic and properties.
    max_packet_bytes: Annotated[int, Meta(ge=128, le=64 * MIB)] = MIB + 64 * KIB
    max_user_properties: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    max_keep_alive_seconds: Annotated[int, Meta(ge=0, le=65_535)] = 0
    max_connects_per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    max_sessions: Annotated[int, Meta(ge=1, le=10_000_000)] = 65_536
    max_session_expiry_seconds: Annotated[int, Meta(ge=0, le=0xFFFFFFFE)] = 30 * DAY
    max_inflight: Annotated[int, Meta(ge=1, le=65_535)] = 100
    max_queued_messages: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    max_queued_bytes: Annotated[int, Meta(ge=0, le=4096 * MIB)] = 64 * MIB
    max_will_bytes: Annotated[int, Meta(ge=0, le=64 * MIB)] = MIB + 64 * KIB
    receive_maximum: Annotated[int, Meta(ge=1, le=65_535)] = 1000
    max_topic_aliases: Annotated[int, Meta(ge=0, le=65_535)] = 32
    max_topic_levels: Annotated[int, Meta(ge=1, le=65_535)] = 128
    max_retained_messages: Annotated[int, Meta(ge=0, le=100_000_000)] = 65_536
    max_retained_bytes: Annotated[int, Meta(ge=0, le=4096 * MIB)] = 32 * MIB
    max_retained_messages_per_client: Annotated[int, Meta(ge=0, le=100_000_000)] = 16_384
    max_retained_bytes_per_client: Annotated[int, Meta(ge=0, le=4096 * MIB)] = 16 * MIB


class Logging(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


DEFAULT_LISTENERS = (
    Listener(protocol="nats", address="127.0.0.1:4222"),
    Listener(protocol="mqtt", address="127.0.0.1:1883"),
    Listener(protocol="websocket", address="127.0.0.1:8080"),
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Everything that can be configured. `Config()` is the embedded default."""

    name: Name = ""
    data_directory: str = ""
    # Whether the machine's clock is right whenever the gateway starts, although nobody synchronises it.
    trust_clock: bool = False
    ports_file: str = ""
    listeners: tuple[Listener, ...] = DEFAULT_LISTENERS
    monitoring: Monitoring = Monitoring()
    uplinks: tuple[Uplink, ...] = ()
    serial: tuple[Serial, ...] = ()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    mqtt: Mqtt = Mqtt()
    logging: Logging = Logging()

    def __post_init__(self) -> None:
        if not self.listeners:
            raise KeyedValueError("listeners", "at least one is needed; leave the key out for the default ones")
        places = [(f"listeners[{index}].address", listener.address) for index, listener in enumerate(self.listeners)]
        if self.monitoring.address:
            places.append(("monitoring.address", self.monitoring.address))
        taken: dict[tuple[str, int], str] = {}
        for place, address in places:
            host, port = _split(address)
            if port and (host, port) in taken:
                raise KeyedValueError(place, f"{join_address(host, port)} is the address of {taken[host, port]} too")
            taken[host, port] = place

    @property
    def server_name(self) -> str:
        """`name`, or the host's name where none is configured."""
        return self.name or socket.gethostname()


def load_config(path: Path | None) -> Config:
    """The configuration in the file, or the embedded default without one. Raises ConfigError."""
    return Config() if path is None else read_config_file(path, Config, _decode_value)


def _decode_value(kind: type, value: Any) -> Any:
    if kind is not ServerUrl:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError("a URL is a string")
    return parse_server_url(value, UPLINK_PORTS)
