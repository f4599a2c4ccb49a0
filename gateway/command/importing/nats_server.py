"""nats-server's configuration as ours: what its keys at the top become."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.command.importing.imported import Imported
from gateway.command.importing.nats_dialect import read_nats_file
from gateway.command.importing.nats_listeners import MONITORING, NatsListeners
from gateway.command.importing.nats_tables import NONE, NatsTables
from gateway.command.importing.nats_users import NatsUsers
from gateway.settings.addresses import is_loopback, split_address

LIMITS = {
    "max_payload": "max-payload-bytes",
    "max_control_line": "max-control-line-bytes",
    "max_pending": "max-pending-bytes",
    "max_connections": "max-connections",
    "max_conn": "max-connections",
    "max_subscriptions": "max-subscriptions",
    "max_subs": "max-subscriptions",
}
TIMES = {
    "ping_interval": "ping-interval-seconds",
    "write_deadline": "write-deadline-seconds",
    "lame_duck_duration": "lame-duck-seconds",
    "lame_duck_grace_period": "lame-duck-grace-seconds",
}
# Read together with another key.
TOGETHER = frozenset(("host", "net", "tls", "http_base_path", "resolver_preload", "listen", "port"))


def import_nats_server(path: Path) -> Imported:
    """Raises ConfigError for a file that nats-server would not read either."""
    return NatsServerImport(NatsTables(read_nats_file(path), path)).convert()


class NatsServerImport:
    """One conversion."""

    def __init__(self, tables: NatsTables) -> None:
        self._tables = tables
        self._imported = tables.imported
        self._users = NatsUsers(tables)
        self._listeners = NatsListeners(tables, self._users)

    def convert(self) -> Imported:
        document, put, note = self._tables.document, self._imported.put, self._imported.note
        users, listeners = self._users, self._listeners
        readers: dict[str, Callable[[str, Any], None]] = {
            "server_name": lambda _, value: self._put("name", value),
            "authorization": users.authorization,
            "accounts": users.read_accounts,
            "websocket": listeners.websocket,
            "ws": listeners.websocket,
            "mqtt": listeners.mqtt,
            "leafnodes": listeners.leafnodes,
            "leaf": listeners.leafnodes,
            "mappings": users.map_global,
            "maps": users.map_global,
            "no_auth_user": lambda _, value: put("authentication", "no-auth-user", value),
            "system_account": lambda _, value: put("authentication", "system-account", value),
            "system": lambda _, value: put("authentication", "system-account", value),
            "operator": self._operator,
            "resolver": self._resolver,
            "ping_max": lambda _, value: put("timeouts", "ping-max", value),
            "debug": lambda _, value: put("logging", "level", "debug" if value else "info"),
            "jetstream": self._jetstream,
            "pidfile": lambda key, _: note(key, "the gateway writes none of this kind"),
        }
        listeners.listener("", "nats", document)
        listeners.monitoring()
        for key, value in document.items():
            if key in readers:
                readers[key](key, value)
            elif key in LIMITS:
                put("limits", LIMITS[key], value)
            elif key in TIMES:
                put("timeouts", TIMES[key], self._tables.seconds(key, value))
            elif key not in TOGETHER | MONITORING:
                note(key, NONE)
        self._finish()
        return self._imported

    def _finish(self) -> None:
        ours = self._imported.document
        ours["listeners"] = self._listeners.listeners
        authenticates = self._users.users or ours.get("authentication", {}).keys() & {"token", "operator", "callout"}
        for listener in self._listeners.listeners:
            host, _ = split_address(listener["address"])
            if not authenticates and not is_loopback(host):
                listener["allow-anonymous"] = True
                self._imported.note(
                    f"listener {listener['address']}", "nobody is asked who he is there: allow-anonymous"
                )
        if self._users.accounts:
            ours["accounts"] = [{"name": name, **rest} for name, rest in self._users.accounts.items()]
        if self._users.users:
            ours["users"] = self._users.users

    def _put(self, key: str, value: Any) -> None:
        self._imported.document[key] = value

    def _operator(self, path: str, value: Any) -> None:
        if isinstance(value, list):
            for extra in value[1:]:
                self._imported.note(path, f"there is one operator; {str(extra)[:20]} is left out")
            value = value[0]
        self._imported.put("authentication", "operator", value)

    def _resolver(self, path: str, value: Any) -> None:
        preload = self._tables.document.get("resolver_preload", {})
        resolver: dict[str, Any] = {"preload": dict(preload)} if preload else {}
        if isinstance(value, dict):
            if "dir" in value:
                resolver["directory"] = value["dir"]
            self._tables.rest(path, value, {"type", "dir"})
        elif str(value).upper() != "MEMORY":
            self._imported.note(path, f"{value} {NONE}; JWTs are here or in a directory")
        self._imported.put("authentication", "resolver", resolver)

    def _jetstream(self, path: str, value: Any) -> None:
        directory = value.get("store_dir") if isinstance(value, dict) else None
        if directory:
            self._put("data-directory", directory)
        self._imported.note(path, "streams are the hub's: they are reached over the leafnode link")
