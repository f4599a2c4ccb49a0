"""The configuration: all tables of the file in one frozen struct, and the rules between them.

A table's own keys stand in the module of its name, rules between two or three in one of those modules or in `*_rules`.
How the file is read and its errors are worded is `gateway.settings.file`. A struct that is built in code obeys the same
rules between keys; only ranges of single values are checked while a file is read.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.settings.account_names import DEFAULT_ACCOUNT, AccountNames, check_elements
from gateway.settings.address_rules import check_addresses
from gateway.settings.addresses import ServerUrl, parse_server_url
from gateway.settings.bridge import Bridge, BrokerUrl, parse_broker_url
from gateway.settings.credential_forms import is_hash
from gateway.settings.file import KeyedValueError, read_config_file
from gateway.settings.fluent import Fluent, FluentUrl, parse_fluent_url
from gateway.settings.home_assistant import HomeAssistant
from gateway.settings.integration import KINDS, Integration, check_possible
from gateway.settings.kafka import Kafka
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.listener import Listener
from gateway.settings.logs import Logging
from gateway.settings.modbus import Modbus
from gateway.settings.monitoring import Console, Monitoring
from gateway.settings.mqtt import Mqtt
from gateway.settings.numbers import HttpUrl, Influx, RemoteWrite, parse_http_url
from gateway.settings.pair import Pair
from gateway.settings.paths import path_of
from gateway.settings.rule import Rule
from gateway.settings.secret import Secret, read_secret
from gateway.settings.security import AccountRules, Authentication, User
from gateway.settings.serial import Serial
from gateway.settings.sharing_rules import check_accounts
from gateway.settings.sparkplug import SparkplugHost, SparkplugNode
from gateway.settings.store_and_forward import StoreAndForward, check_buffers
from gateway.settings.streams import Streams
from gateway.settings.uplink import PROXY_PORTS, UPLINK_PORTS, ProxyUrl, Uplink, check_uplinks
from gateway.settings.user_files import read_user_files
from gateway.settings.user_rules import Place, check_login, check_places, check_users

# Its name in the data directory.
CONTROL_SOCKET = "control.sock"

# The name goes unquoted into monitoring paths and, as the origin of a leafnode, into space-separated lines.
Name = Annotated[str, Meta(pattern=r"^[!-~]*$", max_length=128)]

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
    # Whether the file is read again when it, or a file that it names, has changed.
    watch: bool = True
    control_socket: str = ""
    listeners: tuple[Listener, ...] = DEFAULT_LISTENERS
    monitoring: Monitoring = Monitoring()
    console: Console = Console()
    uplinks: tuple[Uplink, ...] = ()
    store_and_forward: tuple[StoreAndForward, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    kafka: tuple[Kafka, ...] = ()
    serial: tuple[Serial, ...] = ()
    fluent: tuple[Fluent, ...] = ()
    influx: tuple[Influx, ...] = ()
    remote_write: tuple[RemoteWrite, ...] = ()
    modbus: tuple[Modbus, ...] = ()
    sparkplug_node: tuple[SparkplugNode, ...] = ()
    sparkplug_host: tuple[SparkplugHost, ...] = ()
    rules: tuple[Rule, ...] = ()
    # None where it is told nothing.
    home_assistant: HomeAssistant | None = None
    # None where there are no streams here.
    streams: Streams | None = None
    # None where no other gateway stands in for this one.
    pair: Pair | None = None
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    mqtt: Mqtt = Mqtt()
    logging: Logging = Logging()
    authentication: Authentication = Authentication()
    accounts: tuple[AccountRules, ...] = ()
    users: tuple[User, ...] = ()

    def __post_init__(self) -> None:
        if not self.listeners:
            raise KeyedValueError("listeners", "at least one is needed; leave the key out for the default ones")
        accounts = AccountNames(self.accounts, self.authentication)
        check_addresses(self.listeners, self.monitoring, self.authenticates)
        self._check_users(accounts)
        check_accounts(self.accounts, accounts.always)
        check_uplinks(self.uplinks, self.accounts, accounts)
        check_elements("bridges", self.bridges, accounts.check)
        check_elements("rules", self.rules, accounts.check_for_clients)
        if self.home_assistant is not None:
            accounts.check_for_clients("home-assistant.account", self.home_assistant.account)
        check_buffers(self.store_and_forward, self.uplinks, bool(self.data_directory))
        for kind in KINDS:
            key, integrations = kind.replace("_", "-"), getattr(self, kind)
            check_elements(key, integrations, accounts.check)
            for index, one in enumerate(integrations):
                check_possible(f"{key}[{index}]", one, self.streams is not None)
        if self.pair is not None:
            self._check_pair(self.pair, accounts)
        self._check_buckets()

    def _check_users(self, accounts: AccountNames) -> None:
        """The rules between users, accounts, and the places where they come in."""
        for key, configured in (("users", self.users), ("accounts", self.accounts)):
            if configured and self.authentication.operator:
                raise KeyedValueError(key, "with an operator it is the JWTs that say who there is")
        callout = self.authentication.callout
        if callout is not None and callout.account not in accounts.all:
            raise KeyedValueError("authentication.callout.account", f"there is no account {callout.account}")
        check_users(self.users, accounts, self._recognises_otherwise)
        check_places(self._places_of_users(), self.users)
        if self.authenticates:
            for index, listener in enumerate(self.listeners):
                check_login(f"listeners[{index}]", listener, self.no_auth_user_at(listener))

    def _recognises_otherwise(self, user: User) -> bool:
        """Whether a user may be recognised by a certificate, by its port, or by coming without a word."""
        free = (self.authentication.no_auth_user, *(one.no_auth_user for one in self.listeners))
        return self.maps_certificates or user.name in free or any(user.name == one.user for one in self.serial)

    def _places_of_users(self) -> Iterator[Place]:
        yield Place("authentication.no-auth-user", self.authentication.no_auth_user)
        for index, listener in enumerate(self.listeners):
            yield Place(f"listeners[{index}].no-auth-user", listener.no_auth_user, listener.connection_types)
        if self.authenticates:  # Without users it is a name that subscribers are told.
            for index, serial in enumerate(self.serial):
                yield Place(f"serial[{index}].user", serial.user, ("serial",))
        for index, name in enumerate(self.monitoring.users):
            yield Place(f"monitoring.users[{index}]", name, ("monitoring",))
        if not (self.authentication.operator or self.authentication.callout):  # Those say who else there is.
            for index, name in enumerate(self.console.users):
                yield Place(f"console.users[{index}]", name)

    def _check_buckets(self) -> None:
        buckets = {"mqtt": self.mqtt.retained_bucket} | {
            f"accounts[{index}]": one.retained_bucket for index, one in enumerate(self.accounts)
        }
        for place, name in buckets.items():
            if name and self.streams is None:
                raise KeyedValueError(f"{place}.retained-bucket", "without a table [streams] there are no buckets")

    def _check_pair(self, pair: Pair, accounts: AccountNames) -> None:
        """The other gateway can come, or be gone to, and what it is to have can be had."""
        if pair.uplink and pair.uplink not in [one.name for one in self.uplinks]:
            raise KeyedValueError("pair.uplink", f"there is no uplink with name = {pair.uplink!r}")
        accounts.check_for_clients("pair.account", pair.account)
        if pair.uplink and pair.account and pair.account != self.pair_account:
            raise KeyedValueError("pair.account", f"the uplink joins the account {self.pair_account}")
        if not pair.uplink and not any(one.protocol in ("leafnode", "websocket") for one in self.listeners):
            sentence = "name the uplink that leads to the other gateway, or have a leafnode listener that it comes to"
            raise KeyedValueError("pair.uplink", sentence)
        if pair.streams and self.streams is None:
            raise KeyedValueError("pair.streams", "without a table [streams] there are none")
        if pair.sessions and not self.data_directory:
            sentence = "without a data-directory there are none to mirror; write sessions = false, or give it one"
            raise KeyedValueError("pair.sessions", sentence)

    def no_auth_user_at(self, listener: Listener | None) -> str:
        """Who somebody is there that does not say who he is; empty where one has to. None is a serial line."""
        return (listener.no_auth_user if listener is not None else "") or self.authentication.no_auth_user

    @property
    def maps_certificates(self) -> bool:
        """Whether a certificate may say who a user is."""
        used = (self.monitoring.tls, *(one.tls for one in self.listeners))
        return any(tls is not None and tls.verify == "map" for tls in used)

    @property
    def challenges(self) -> bool:
        """Whether peers may show by a signature who they are."""
        rules = self.authentication
        return bool(rules.operator or rules.callout or rules.users_directory) or any(user.nkey for user in self.users)

    @property
    def plain_passwords(self) -> list[str]:
        """The names of those users whose password stands in the file itself as plain text."""
        return [
            user.name
            for user in self.users
            if user.password and user.password.inline and not is_hash(user.password.value)
        ]

    @property
    def integrations(self) -> tuple[Integration, ...]:
        """All of them, kind by kind."""
        return tuple(one for kind in KINDS for one in getattr(self, kind))

    @property
    def pair_account(self) -> str:
        """The account that the two gateways of a pair share."""
        pair = self.pair
        name = pair.uplink if pair is not None else ""
        joined = next((one.account for one in self.uplinks if name and one.name == name), "")
        return joined or (pair.account if pair is not None and not name else "") or DEFAULT_ACCOUNT

    @property
    def authenticates(self) -> bool:
        """Whether peers must say who they are."""
        rules = self.authentication
        return bool(self.users or rules.users_directory or rules.token or rules.operator or rules.callout)

    @property
    def speaks_tls(self) -> bool:
        """Whether there are certificates that are to be used; a hub may ask for TLS without any."""
        ours = any(listener.tls for listener in self.listeners) or self.monitoring.tls is not None
        return ours or any(uplink.tls for uplink in self.uplinks)

    @property
    def control_path(self) -> Path | None:
        """Where the running gateway is spoken to; None where there is no such place."""
        if self.control_socket:
            return path_of(self.control_socket)
        return path_of(self.data_directory) / CONTROL_SOCKET if self.data_directory else None

    @property
    def server_name(self) -> str:
        """`name`, or the host's name where none is configured."""
        return self.name or os.uname().nodename


def load_config(path: Path | None) -> Config:
    """The configuration in the file, or the embedded default without one. Raises ConfigError."""
    return Config() if path is None else read_config_file(path, Config, _decode_value, _add_user_files)


def _add_user_files(document: dict[str, Any]) -> None:
    """Add the users of the directory of users to those of the file, behind them."""
    rules, users = document.get("authentication"), document.get("users", [])
    directory = rules.get("users-directory") if isinstance(rules, dict) else None
    if isinstance(directory, str) and directory and isinstance(users, list):
        document["users"] = users + read_user_files(path_of(directory))


# URLs of integrations and bridges, by their classes.
URL_READERS: dict[type, Callable[[str], ServerUrl]] = {
    BrokerUrl: parse_broker_url,
    FluentUrl: parse_fluent_url,
    HttpUrl: parse_http_url,
}


def _decode_value(kind: type, value: Any) -> Any:
    if kind is Secret:
        return read_secret(value)
    if kind not in (ServerUrl, ProxyUrl, *URL_READERS):
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError("a URL is a string")
    if kind in URL_READERS:
        return URL_READERS[kind](value)
    if kind is ProxyUrl:
        return ProxyUrl.of(parse_server_url(value, PROXY_PORTS))
    return parse_server_url(value, UPLINK_PORTS)
