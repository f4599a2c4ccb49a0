"""The configuration: every key with its default, its range and the rules between keys, as frozen structs.

How the file is read and its errors are worded is `gateway.settings.file`. A struct that is built in code obeys the same
rules between keys; only ranges of single values are checked while a file is read.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.settings.addresses import ServerUrl, is_loopback, join_address, parse_server_url, split_full_address
from gateway.settings.bridge import Bridge, BrokerUrl, parse_broker_url
from gateway.settings.checks import check_unique
from gateway.settings.file import KeyedValueError, read_config_file
from gateway.settings.fluent import Fluent, FluentUrl, parse_fluent_url
from gateway.settings.home_assistant import HomeAssistant
from gateway.settings.integration import KINDS, Integration
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
from gateway.settings.security import AccountRules, Authentication, ConnectionType, User, is_hash
from gateway.settings.serial import Serial
from gateway.settings.sharing_rules import check_accounts
from gateway.settings.store_and_forward import StoreAndForward, check_disjoint
from gateway.settings.streams import Streams
from gateway.settings.uplink import PROXY_PORTS, UPLINK_PORTS, ProxyUrl, Uplink
from gateway.settings.user_files import read_user_files

# The account of those for whom none is named, and the one that hears of the gateway itself.
DEFAULT_ACCOUNT = "$G"
SYSTEM_ACCOUNT = "$SYS"

# What a buffer is called that has no name, and whose uplink has none.
DEFAULT_BUFFER = "uplink"

# Its name in the data directory.
CONTROL_SOCKET = "control.sock"

# The name goes unquoted into monitoring paths and, as the origin of a leafnode, into space-separated lines.
Name = Annotated[str, Meta(pattern=r"^[!-~]*$", max_length=128)]


def _check_reach(key: str, host: str, is_guarded: bool) -> None:
    """Whoever can be reached from other machines must ask who comes, or say that nobody is asked."""
    if not (is_guarded or is_loopback(host)):
        raise KeyedValueError(
            key,
            f"{host} can be reached from other machines and clients are not authenticated; "
            "use 127.0.0.1 or set allow-anonymous = true",
        )


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
        for index, listener in enumerate(self.listeners):
            is_guarded = self.authenticates or listener.allow_anonymous or listener.fluent.shared_key is not None
            _check_reach(f"listeners[{index}].address", listener.host, is_guarded)
        if self.monitoring.address:
            is_guarded = bool(self.monitoring.users) or self.monitoring.allow_anonymous
            _check_reach("monitoring.address", self.monitoring.host, is_guarded)
        places = [(f"listeners[{index}].address", listener.address) for index, listener in enumerate(self.listeners)]
        if self.monitoring.address:
            places.append(("monitoring.address", self.monitoring.address))
        taken: dict[tuple[str, int], str] = {}
        for place, address in places:
            host, port = split_full_address(address)
            if port and (host, port) in taken:
                raise KeyedValueError(place, f"{join_address(host, port)} is the address of {taken[host, port]} too")
            taken[host, port] = place
        self._check_users()
        check_accounts(self.accounts, (DEFAULT_ACCOUNT, self.authentication.system_account or SYSTEM_ACCOUNT))
        self._check_uplink_accounts()
        self._check_bridges()
        self._check_rules()
        told = self.home_assistant
        if told is not None and told.account not in self._accounts_named and not self.authentication.operator:
            raise KeyedValueError("home-assistant.account", f"there is no account {told.account!r}")
        self._check_buffers()
        self._check_integrations()
        self._check_pair()
        buckets = {"mqtt": self.mqtt.retained_bucket} | {
            f"accounts[{index}]": one.retained_bucket for index, one in enumerate(self.accounts)
        }
        for place, name in buckets.items():
            if name and self.streams is None:
                raise KeyedValueError(f"{place}.retained-bucket", "without a table [streams] there are no buckets")

    def _check_users(self) -> None:
        """The rules between users, accounts and listeners."""
        for key, configured in (("users", self.users), ("accounts", self.accounts)):
            if configured and self.authentication.operator:
                raise KeyedValueError(key, "with an operator it is the JWTs that say who there is")
        names: dict[str, str] = {}
        for index, rules in enumerate(self.accounts):
            check_unique(names, rules.name, f"accounts[{index}].name")
        accounts = {*names, "", DEFAULT_ACCOUNT, self.authentication.system_account or SYSTEM_ACCOUNT}
        callout = self.authentication.callout
        if callout is not None and callout.account not in accounts:
            raise KeyedValueError("authentication.callout.account", f"there is no account {callout.account}")
        names = {}
        keys: dict[str, str] = {}
        for index, user in enumerate(self.users):
            place = f"users[{index}]"
            check_unique(names, user.name, f"{place}.name")
            check_unique(keys, user.nkey, f"{place}.nkey")
            if user.account not in accounts:
                raise KeyedValueError(f"{place}.account", f"there is no account {user.account}")
            if not (user.password or user.scram or user.nkey or self._recognises_otherwise(user)):
                sentence = "nobody could come in as this user: give it a password or an nkey"
                raise KeyedValueError(f"{place}.password", sentence)
        no_auth_users = [("authentication", self.authentication.no_auth_user)]
        no_auth_users += [(f"listeners[{index}]", one.no_auth_user) for index, one in enumerate(self.listeners)]
        for place, name in no_auth_users:
            if name and name not in names and name not in keys:
                raise KeyedValueError(f"{place}.no-auth-user", f"there is no user {name}")
        named = []
        if self.authenticates:  # Without users it is a name that subscribers are told.
            named += [(f"serial[{index}].user", one.user) for index, one in enumerate(self.serial)]
        named += [(f"monitoring.users[{index}]", name) for index, name in enumerate(self.monitoring.users)]
        if not (self.authentication.operator or callout):  # Those say who else there is.
            named += [(f"console.users[{index}]", name) for index, name in enumerate(self.console.users)]
        for place, name in named:
            if name and name not in names and name not in keys:
                raise KeyedValueError(place, f"there is no user {name}")
        self._check_ways()
        for index, listener in enumerate(self.listeners):
            if listener.protocol == "fluent" and self.authenticates and not self.no_auth_user_at(listener):
                self._check_fluent_login(f"listeners[{index}].fluent.shared-key", listener)
            if listener.allow_anonymous and self.authenticates:
                sentence = (
                    "users are configured, so nobody is anonymous; no-auth-user names who may come without a login"
                )
                raise KeyedValueError(f"listeners[{index}].allow-anonymous", sentence)

    def _check_fluent_login(self, place: str, listener: Listener) -> None:
        """Who has to say who he is, does so in a handshake, which begins with a key that both ends share."""
        if listener.fluent.shared_key is None:
            sentence = "users are configured: give those who bring events a shared-key, or name a no-auth-user for them"
            raise KeyedValueError(place, sentence)

    def _check_ways(self) -> None:
        """Who is named for a place may come there."""
        ways: list[tuple[str, str, tuple[ConnectionType, ...]]] = []
        if self.authenticates:
            ways += [(f"serial[{index}].user", one.user, ("serial",)) for index, one in enumerate(self.serial)]
        ways += [
            (f"monitoring.users[{index}]", name, ("monitoring",)) for index, name in enumerate(self.monitoring.users)
        ]
        for index, listener in enumerate(self.listeners):
            ways.append((f"listeners[{index}].no-auth-user", listener.no_auth_user, listener.connection_types))
        users = {user.name: user for user in self.users} | {user.nkey: user for user in self.users if user.nkey}
        for place, name, types in ways:
            user = users.get(name) if name else None
            if user is None:
                continue
            if user.connection_types and not set(types) & set(user.connection_types):
                sentence = f"the connection-types of {name} have not {' or '.join(types)}, so it cannot come here"
                raise KeyedValueError(place, sentence)
            if user.addresses and types == ("serial",):
                raise KeyedValueError(
                    place, f"{name} has addresses, and a serial port has none, so it cannot come here"
                )

    def _recognises_otherwise(self, user: User) -> bool:
        """Whether a user may be recognised by a certificate, by its port, or by coming without a word."""
        free = (self.authentication.no_auth_user, *(one.no_auth_user for one in self.listeners))
        return self.maps_certificates or user.name in free or any(user.name == one.user for one in self.serial)

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

    def _check_bridges(self) -> None:
        """Each bridge has a name of its own, and joins an account that is there."""
        system = self.authentication.system_account or SYSTEM_ACCOUNT
        accounts = {"", DEFAULT_ACCOUNT, system, *(one.name for one in self.accounts)}
        names: dict[str, str] = {}
        for index, bridge in enumerate(self.bridges):
            check_unique(names, bridge.name, f"bridges[{index}].name")
            # With an operator there are more accounts than the file names.
            if bridge.account not in accounts and not self.authentication.operator:
                raise KeyedValueError(f"bridges[{index}].account", f"there is no account {bridge.account!r}")

    @property
    def integrations(self) -> tuple[Integration, ...]:
        """All of them, kind by kind."""
        return tuple(one for kind in KINDS for one in getattr(self, kind))

    def _check_integrations(self) -> None:
        """Of one kind each has a name of its own, it is of an account that is there, and its stream can be."""
        system = self.authentication.system_account or SYSTEM_ACCOUNT
        accounts = {"", DEFAULT_ACCOUNT, system, *(one.name for one in self.accounts)}
        for kind in KINDS:
            names: dict[str, str] = {}
            for index, one in enumerate(getattr(self, kind)):
                place = f"{kind.replace('_', '-')}[{index}]"
                check_unique(names, one.name, f"{place}.name")
                # With an operator there are more accounts than the file names.
                if one.account not in accounts and not self.authentication.operator:
                    raise KeyedValueError(f"{place}.account", f"there is no account {one.account!r}")
                if one.missing:
                    raise KeyedValueError(place, one.missing)
                if one.stream and self.streams is None:
                    raise KeyedValueError(f"{place}.stream", "there are no streams here without a table [streams]")

    @property
    def _accounts_named(self) -> frozenset[str]:
        """Those in which there are clients."""
        return frozenset(("", DEFAULT_ACCOUNT, *(one.name for one in self.accounts)))

    def _check_rules(self) -> None:
        """Each rule has a name of its own, and is of an account that is there."""
        names: dict[str, str] = {}
        for index, rule in enumerate(self.rules):
            check_unique(names, rule.name, f"rules[{index}].name")
            # With an operator there are more accounts than the file names.
            if rule.account not in self._accounts_named and not self.authentication.operator:
                raise KeyedValueError(f"rules[{index}].account", f"there is no account {rule.account!r}")

    def _check_buffers(self) -> None:
        """Each buffer is for uplinks of an account, has a name of its own, and no message is in two for one hub."""
        names: dict[str, str] = {}
        covered: dict[int, tuple[str, ...]] = {}
        for index, buffer in enumerate(self.store_and_forward):
            place = f"store-and-forward[{index}]"
            uplinks = self.uplinks_of(buffer)
            if not uplinks:
                raise KeyedValueError(f"{place}.uplink", self._missing_uplink(buffer))
            if len({one.account or DEFAULT_ACCOUNT for one in uplinks}) > 1:
                raise KeyedValueError(f"{place}.uplink", "these uplinks are of several accounts")
            check_unique(names, self.name_of_buffer(buffer), f"{place}.name")
            for number in map(self.uplinks.index, uplinks):
                for position, subject in enumerate(buffer.subjects):
                    check_disjoint(f"{place}.subjects[{position}]", subject, covered.get(number, ()))
                covered[number] = (*covered.get(number, ()), *buffer.subjects)
            if not (buffer.memory or self.data_directory):
                sentence = (
                    "without a data-directory only memory = true is possible, and what waits ends with the process"
                )
                raise KeyedValueError(f"{place}.memory", sentence)

    def _check_pair(self) -> None:
        """The other gateway can come, or be gone to, and what it is to have can be had."""
        pair = self.pair
        if pair is None:
            return
        if pair.uplink and pair.uplink not in [one.name for one in self.uplinks]:
            raise KeyedValueError("pair.uplink", f"there is no uplink with name = {pair.uplink!r}")
        named = {"", DEFAULT_ACCOUNT, *(one.name for one in self.accounts)}
        if pair.account not in named and not self.authentication.operator:
            raise KeyedValueError("pair.account", f"there is no account {pair.account!r}")
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

    @property
    def pair_account(self) -> str:
        """The account that the two gateways of a pair share."""
        pair = self.pair
        name = pair.uplink if pair is not None else ""
        joined = next((one.account for one in self.uplinks if name and one.name == name), "")
        return joined or (pair.account if pair is not None and not name else "") or DEFAULT_ACCOUNT

    def _missing_uplink(self, buffer: StoreAndForward) -> str:
        known = [one.name for one in self.uplinks]
        for name in buffer.uplink_names:
            if name not in known:
                return f"there is no uplink with name = {name!r}"
        return "there are several uplinks: name the one that is meant" if self.uplinks else "there is no uplink"

    def uplinks_of(self, buffer: StoreAndForward) -> tuple[Uplink, ...]:
        """The uplinks that a buffer is for, in the order in which it names them, or the only one; none where one of
        those names is nobody's.
        """
        names = buffer.uplink_names
        if not names:
            return self.uplinks if len(self.uplinks) == 1 else ()
        found = tuple(one for name in names for one in self.uplinks if one.name == name)
        return found if len(found) == len(names) else ()

    def name_of_buffer(self, buffer: StoreAndForward) -> str:
        """The name under which a buffer is known on the disk: its own, or that of its first uplink."""
        return buffer.name or next((one.name for one in self.uplinks_of(buffer)), "") or DEFAULT_BUFFER

    def _check_uplink_accounts(self) -> None:
        """Each link joins an account that is there, and no account has more of them than it may."""
        system = self.authentication.system_account or SYSTEM_ACCOUNT
        most = {DEFAULT_ACCOUNT: 0, system: 0} | {one.name: one.max_leafnodes for one in self.accounts}
        links: dict[str, int] = {}
        places: dict[str, str] = {}
        for index, uplink in enumerate(self.uplinks):
            check_unique(places, uplink.name, f"uplinks[{index}].name")
            name = uplink.account or DEFAULT_ACCOUNT
            # With an operator there are more accounts than the file names.
            if name not in most and not self.authentication.operator:
                raise KeyedValueError(f"uplinks[{index}].account", f"there is no account {name!r}")
            links[name] = links.get(name, 0) + 1
            if most.get(name) and links[name] > most[name]:
                raise KeyedValueError(f"uplinks[{index}].account", f"account {name!r} has max-leafnodes = {most[name]}")

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
        return self.name or socket.gethostname()


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
