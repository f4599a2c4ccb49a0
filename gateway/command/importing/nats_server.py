"""nats-server's configuration as ours: listeners, users, accounts, permissions, TLS, leafnode remotes and limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.accounts.claim_rules import CONNECTION_TYPES
from gateway.command.importing.imported import Imported
from gateway.command.importing.nats_dialect import go_seconds, read_nats_file
from gateway.errors import ConfigError
from gateway.settings.addresses import join_address, split_address

NONE = "has no counterpart"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nats-server's default, which is said in a note
GLOBAL = "$G"
DEFAULT_PORTS = {"nats": 4222, "websocket": 8080, "mqtt": 1883, "leafnode": 7422}
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
# Read by the functions below, together with another key.
TOGETHER = frozenset(("host", "net", "tls", "http_base_path", "resolver_preload"))


def import_nats_server(path: Path) -> Imported:
    """Raises ConfigError for a file that nats-server would not read either."""
    return NatsServerImport(read_nats_file(path), path).imported


# Keys of a remote by ours.
REMOTE_FLAGS = {
    "no-randomize": ("no_randomize", "dont_randomize"),
    "ignore-discovered-servers": ("ignore_discovered_servers",),
    "isolate": ("isolate", "isolate_leafnode_interest", "request_isolation"),
}
REMOTE_DENIALS = {"deny-imports": ("deny_imports", "deny_import"), "deny-exports": ("deny_exports", "deny_export")}


class NatsServerImport:
    """One conversion."""

    def __init__(self, document: dict[str, Any], path: Path) -> None:
        self.imported = Imported()
        self._document = {key.lower(): value for key, value in document.items()}
        self._path = path
        self._users: list[dict[str, Any]] = []
        self._accounts: dict[str, dict[str, Any]] = {}
        self._listeners: list[dict[str, Any]] = []
        self._convert()

    def _convert(self) -> None:
        document = self._document
        readers: dict[str, Callable[[str, Any], None]] = {
            "server_name": lambda _, value: self._put("name", value),
            "authorization": self._authorization,
            "accounts": self._read_accounts,
            "websocket": self._websocket,
            "ws": self._websocket,
            "mqtt": self._mqtt,
            "leafnodes": self._leafnodes,
            "leaf": self._leafnodes,
            "mappings": self._global_mappings,
            "maps": self._global_mappings,
            "no_auth_user": lambda _, value: self.imported.put("authentication", "no-auth-user", value),
            "system_account": lambda _, value: self.imported.put("authentication", "system-account", value),
            "system": lambda _, value: self.imported.put("authentication", "system-account", value),
            "operator": self._operator,
            "resolver": self._resolver,
            "ping_max": lambda _, value: self.imported.put("timeouts", "ping-max", value),
            "debug": lambda _, value: self.imported.put("logging", "level", "debug" if value else "info"),
            "jetstream": self._jetstream,
            "pidfile": lambda key, _: self.imported.note(key, "the gateway writes none of this kind"),
        }
        self._listener("", "nats", document, document)
        self._monitoring()
        for key, value in document.items():
            if key in readers:
                readers[key](key, value)
            elif key in LIMITS:
                self.imported.put("limits", LIMITS[key], value)
            elif key in TIMES:
                self.imported.put("timeouts", TIMES[key], self._seconds(key, value))
            elif key not in TOGETHER | MONITORING | {"listen", "port"}:
                self.imported.note(key, NONE)
        self._finish()

    def _finish(self) -> None:
        ours = self.imported.document
        ours["listeners"] = self._listeners
        authenticates = self._users or ours.get("authentication", {}).keys() & {"token", "operator", "callout"}
        for listener in self._listeners:
            host, _ = split_address(listener["address"])
            if not authenticates and host not in ("127.0.0.1", "::1", "localhost"):
                listener["allow-anonymous"] = True
                self.imported.note(
                    f"listener {listener['address']}", "nobody is asked who he is there: allow-anonymous"
                )
        if self._accounts:
            ours["accounts"] = [{"name": name, **rest} for name, rest in self._accounts.items()]
        if self._users:
            ours["users"] = self._users

    def _put(self, key: str, value: Any) -> None:
        self.imported.document[key] = value

    # Addresses.

    def _listener(self, path: str, protocol: str, table: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
        address = self._address(table, DEFAULT_PORTS[protocol])
        listener: dict[str, Any] = {"protocol": protocol, "address": address}
        if isinstance(table.get("tls"), dict):
            listener["tls"] = self._tls(f"{path}tls", table["tls"])
        self._listeners.append(listener)
        return listener

    def _address(self, table: dict[str, Any], port: int) -> str:
        host = str(table.get("host", table.get("net", EVERYWHERE)))
        listen = table.get("listen")
        if isinstance(listen, int):
            port = listen
        elif isinstance(listen, str):
            try:
                found, given = split_address(listen if not listen.startswith(":") else EVERYWHERE + listen)
            except ValueError as error:
                raise ConfigError(f"{self._path}: listen: {error}") from None
            host, port = found, given if given is not None else port
        port = int(table.get("port", port))
        return join_address(host, max(port, 0))

    def _monitoring(self) -> None:
        document = self._document
        for key in sorted(MONITORING & document.keys()):
            value = document[key]
            host = str(document.get("host", document.get("net", EVERYWHERE)))
            try:
                given, port = split_address(str(value)) if ":" in str(value) else (host, int(value))
            except ValueError as error:
                raise ConfigError(f"{self._path}: {key}: {error}") from None
            monitoring: dict[str, Any] = {"address": join_address(given, port or 0)}
            if given not in ("127.0.0.1", "::1", "localhost"):
                monitoring["allow-anonymous"] = True
                self.imported.note(key, "monitoring asks nobody who he is, as before: monitoring.users would")
            if key.startswith("https") and isinstance(document.get("tls"), dict):
                monitoring["tls"] = self._tls("tls", document["tls"])
            self.imported.document["monitoring"] = monitoring
            return
        self.imported.document["monitoring"] = {"address": ""}

    def _tls(self, path: str, table: dict[str, Any]) -> dict[str, Any]:
        tls: dict[str, Any] = {"certificate": table.get("cert_file", "")}
        for theirs, ours in (("key_file", "key"), ("ca_file", "client-ca"), ("pinned_certs", "pinned-certificates")):
            if table.get(theirs):
                tls[ours] = table[theirs]
        if table.get("verify"):
            tls["verify"] = "require"
        if table.get("verify_and_map"):
            tls["verify"] = "map"
        first = table.get("handshake_first", table.get("first", table.get("immediate")))
        if first is True:
            tls["handshake-first"] = True
        elif first:
            self.imported.note(f"{path}.handshake_first", "there is yes or no; INFO comes first")
        if "timeout" in table:
            tls["handshake-seconds"] = self._seconds(f"{path}.timeout", table["timeout"])
        if "min_version" in table:
            tls["minimum-version"] = str(table["min_version"])
        known = {"cert_file", "key_file", "ca_file", "pinned_certs", "verify", "verify_and_map", "handshake_first"}
        self._rest(path, table, known | {"first", "immediate", "timeout", "min_version"})
        return tls

    def _websocket(self, path: str, table: Any) -> None:
        listener = self._listener(f"{path}.", "websocket", table, table)
        if table.get("same_origin"):
            listener["same-origin"] = True
        origins = table.get("allowed_origins", table.get("origins"))
        if origins:
            listener["allowed-origins"] = [origins] if isinstance(origins, str) else origins
        if table.get("compression"):
            listener["compression"] = True
        if table.get("no_auth_user"):
            listener["no-auth-user"] = table["no_auth_user"]
        names = {"jwt": "jwt_cookie", "token": "token_cookie", "user": "user_cookie", "password": "pass_cookie"}
        cookies = {ours: table[theirs] for ours, theirs in names.items() if table.get(theirs)}
        if cookies:
            listener["cookies"] = cookies
        known = {"listen", "host", "net", "port", "tls", "no_tls", "same_origin", "allowed_origins", "origins"}
        self._rest(path, table, known | {"compression", "no_auth_user", *names.values()})

    def _mqtt(self, path: str, table: Any) -> None:
        listener = self._listener(f"{path}.", "mqtt", table, table)
        if table.get("no_auth_user"):
            listener["no-auth-user"] = table["no_auth_user"]
        for theirs in ("max_ack_pending", "max_inflight"):
            if theirs in table:
                self.imported.put("mqtt", "max-inflight", table[theirs])
        known = {"listen", "host", "net", "port", "tls", "no_auth_user", "max_ack_pending", "max_inflight"}
        self._rest(path, table, known)

    def _leafnodes(self, path: str, table: Any) -> None:
        for index, remote in enumerate(table.get("remotes", [])):
            self._remote(f"{path}.remotes[{index}]", remote)
        if table.keys() & {"listen", "port"}:
            self._leafnode_listener(path, table)
        known = {"remotes", "listen", "port", "host", "net", "tls", "advertise", "min_version", "authorization"}
        self._rest(path, table, known | {"isolate_leafnode_interest", "isolate"})

    def _leafnode_listener(self, path: str, table: dict[str, Any]) -> None:
        listener = self._listener(f"{path}.", "leafnode", table, table)
        if table.get("isolate_leafnode_interest", table.get("isolate")):
            listener["isolate"] = True
        if table.get("min_version"):
            listener["min-version"] = str(table["min_version"]).lstrip("v")
        if table.get("advertise"):
            host, port = split_address(str(table["advertise"]))
            listener["advertise"] = [join_address(host, port or DEFAULT_PORTS["leafnode"])]
        rules = table.get("authorization", {})
        one = {key: rules[key] for key in ("user", "username", "password", "pass", "nkey", "account") if key in rules}
        for number, user in enumerate([*([one] if one else []), *rules.get("users", [])]):
            account = str(user.get("account", ""))
            by_leafnode = {key: value for key, value in user.items() if key != "account"}
            by_leafnode["allowed_connection_types"] = ["LEAFNODE", "LEAFNODE_WS"]
            self._user(f"{path}.authorization.users[{number}]", by_leafnode, account)

    def _remote(self, path: str, remote: dict[str, Any]) -> None:
        urls = remote.get("urls", remote.get("url", []))
        uplink: dict[str, Any] = {"urls": [urls] if isinstance(urls, str) else list(urls)}
        account = remote.get("account", remote.get("local", ""))
        if account:
            uplink["account"] = account
        credentials = remote.get("credentials", remote.get("creds", ""))
        if credentials:
            uplink["credentials"] = credentials
        seed = remote.get("nkey", remote.get("seed", ""))
        if seed:
            uplink["nkey"] = {"file": seed} if "/" in seed else seed
        tls = remote.get("tls")
        if isinstance(tls, dict):
            names = {"ca": "ca_file", "certificate": "cert_file", "key": "key_file"}
            uplink["tls"] = {ours: tls[theirs] for ours, theirs in names.items() if tls.get(theirs)}
            if tls.get("handshake_first") is True:
                uplink["tls"]["handshake-first"] = True
        for ours, theirs in REMOTE_FLAGS.items():
            if any(remote.get(key) for key in theirs):
                uplink[ours] = True
        for ours, theirs in REMOTE_DENIALS.items():
            denied: Any = next((remote[key] for key in theirs if remote.get(key)), [])
            if denied:
                uplink[ours] = [denied] if isinstance(denied, str) else list(denied)
        proxy = remote.get("proxy")
        if isinstance(proxy, dict) and proxy.get("url"):
            uplink["proxy"] = with_login(str(proxy["url"]), proxy.get("username", ""), proxy.get("password", ""))
        self.imported.document.setdefault("uplinks", []).append(uplink)
        known = {"urls", "url", "account", "local", "credentials", "creds", "nkey", "seed", "tls", "proxy"}
        self._rest(path, remote, known.union(*REMOTE_FLAGS.values(), *REMOTE_DENIALS.values()))

    # Who may come in.

    def _authorization(self, path: str, table: Any) -> None:
        if "token" in table:
            self.imported.put("authentication", "token", str(table["token"]))
        if "timeout" in table:
            seconds = self._seconds(f"{path}.timeout", table["timeout"])
            self.imported.put("authentication", "timeout-seconds", seconds)
        if "default_permissions" in table:
            rules = self._permissions(f"{path}.default_permissions", table["default_permissions"])
            self.imported.put("authentication", "default-permissions", rules)
        user = table.get("user", table.get("username"))
        if user is not None:
            self._user(path, {"user": user, "password": table.get("password", table.get("pass", ""))}, "")
        for index, one in enumerate(table.get("users", [])):
            self._user(f"{path}.users[{index}]", one, "")
        callout = table.get("auth_callout")
        if callout is not None:
            self._callout(f"{path}.auth_callout", callout)
        known = {"token", "timeout", "default_permissions", "user", "username", "password", "pass", "users"}
        self._rest(path, table, known | {"auth_callout"})

    def _callout(self, path: str, table: dict[str, Any]) -> None:
        names = {"issuer": "issuer", "users": "auth_users", "account": "account", "xkey": "xkey"}
        names["allowed-accounts"] = "allowed_accounts"
        callout = {ours: table[theirs] for ours, theirs in names.items() if table.get(theirs)}
        self.imported.put("authentication", "callout", callout)
        self._rest(path, table, set(names.values()))

    def _user(self, path: str, user: dict[str, Any], account: str) -> None:
        ours: dict[str, Any] = {}
        name = user.get("user", user.get("username"))
        if name is not None:
            ours["name"] = str(name)
        if user.get("nkey"):
            ours["nkey"] = user["nkey"]
        password = user.get("password", user.get("pass"))
        if password:
            ours["password"] = str(password)
        if account:
            ours["account"] = account
        types = user.get("allowed_connection_types", user.get("connection_types"))
        if types:
            ours["connection-types"] = self._connection_types(path, types)
        permissions = user.get("permissions", user.get("permission"))
        if permissions is not None:
            ours["permissions"] = self._permissions(f"{path}.permissions", permissions)
        self._users.append(ours)
        known = {"user", "username", "nkey", "password", "pass", "permissions", "permission"}
        self._rest(path, user, known | {"allowed_connection_types", "connection_types"})

    def _connection_types(self, path: str, types: list[str]) -> list[str]:
        found = [CONNECTION_TYPES.get(one.upper()) for one in types]
        for one, ours in zip(types, found, strict=True):
            if not ours:
                self.imported.note(f"{path}.allowed_connection_types", f"{one} {NONE}")
        return [one for one in found if one]

    def _permissions(self, path: str, table: Any) -> dict[str, Any]:
        rules: dict[str, Any] = {}
        for theirs, ours in (
            ("publish", "publish"),
            ("pub", "publish"),
            ("import", "publish"),
            ("subscribe", "subscribe"),
            ("sub", "subscribe"),
            ("export", "subscribe"),
        ):
            if theirs in table:
                rules[ours] = self._subjects(table[theirs])
        responses = table.get("allow_responses", table.get("allow_response"))
        if responses is True:
            rules["allow-responses"] = True
        elif isinstance(responses, dict):
            allowed: dict[str, Any] = {}
            most = responses.get("max", responses.get("max_msgs"))
            if most is not None:
                allowed["max"] = most
            expires = responses.get("expires", responses.get("ttl", responses.get("expiration")))
            if expires is not None:
                allowed["seconds"] = self._seconds(f"{path}.allow_responses.expires", expires)
            rules["allow-responses"] = allowed or True
        known = {"publish", "pub", "import", "subscribe", "sub", "export", "allow_responses", "allow_response"}
        self._rest(path, table, known)
        return rules

    def _subjects(self, given: Any) -> dict[str, Any]:
        if isinstance(given, str):
            return {"allow": [given]}
        if isinstance(given, list):
            return {"allow": given}
        found: dict[str, Any] = {}
        for key in ("allow", "deny"):
            if key in given:
                found[key] = [given[key]] if isinstance(given[key], str) else list(given[key])
        return found

    # Accounts.

    def _account(self, name: str) -> dict[str, Any]:
        return self._accounts.setdefault(name, {})

    def _read_accounts(self, path: str, accounts: Any) -> None:
        for name, table in accounts.items():
            if isinstance(table, list):  # Only users, in the short form.
                table = {"users": table}
            self._read_account(f"{path}.{name}", name, table)

    def _read_account(self, path: str, name: str, table: dict[str, Any]) -> None:
        account = self._account(name)
        for index, user in enumerate(table.get("users", table.get("nkeys", []))):
            self._user(f"{path}.users[{index}]", user, name)
        limits = table.get("limits", {})
        for theirs, ours in (
            ("max_connections", "max-connections"),
            ("max_conn", "max-connections"),
            ("max_subscriptions", "max-subscriptions"),
            ("max_subs", "max-subscriptions"),
            ("max_payload", "max-payload-bytes"),
            ("max_leafnodes", "max-leafnodes"),
        ):
            if limits.get(theirs, -1) >= 0:
                account[ours] = limits[theirs]
        if "default_permissions" in table:
            path_here = f"{path}.default_permissions"
            account["default-permissions"] = self._permissions(path_here, table["default_permissions"])
        mappings = table.get("mappings", table.get("maps"))
        if mappings:
            account["mappings"] = self._mappings(f"{path}.mappings", mappings)
        exports = [self._export(f"{path}.exports[{at}]", one) for at, one in enumerate(table.get("exports", []))]
        imports = [self._import(f"{path}.imports[{at}]", one) for at, one in enumerate(table.get("imports", []))]
        if exports:
            account["exports"] = exports
        if imports:
            account["imports"] = imports
        known = {"users", "nkeys", "limits", "default_permissions", "mappings", "maps", "exports", "imports"}
        self._rest(path, table, known)

    def _export(self, path: str, table: dict[str, Any]) -> dict[str, Any]:
        kind = "stream" if "stream" in table else "service"
        export: dict[str, Any] = {kind: table.get(kind, "")}
        if table.get("accounts"):
            export["accounts"] = list(table["accounts"])
        if table.get("account_token_position"):
            export["account-token-position"] = table["account_token_position"]
        response = str(table.get("response_type", table.get("response", ""))).lower()
        if response:
            export["response"] = response.removesuffix("ed") if response == "streamed" else response
        if "response_threshold" in table:
            export["response-seconds"] = self._seconds(f"{path}.response_threshold", table["response_threshold"])
        latency = table.get("latency")
        if isinstance(latency, str):
            export["latency"] = {"subject": latency}
        elif isinstance(latency, dict):
            sampling = str(latency.get("sampling", "100")).removesuffix("%")
            export["latency"] = {"subject": latency.get("subject", "")}
            if sampling.isdigit():
                export["latency"]["sampling"] = int(sampling)
            else:
                self.imported.note(f"{path}.latency.sampling", f"{sampling} {NONE}; a number is")
        known = {"stream", "service", "accounts", "account_token_position", "response_type", "response", "latency"}
        self._rest(path, table, known | {"response_threshold"})
        return export

    def _import(self, path: str, table: dict[str, Any]) -> dict[str, Any]:
        kind = "stream" if "stream" in table else "service"
        source = table.get(kind, {})
        found: dict[str, Any] = {"account": source.get("account", ""), kind: source.get("subject", "")}
        for key in ("prefix", "to"):
            if table.get(key):
                found[key] = table[key]
        if table.get("share"):
            found["share"] = True
        self._rest(path, table, {"stream", "service", "prefix", "to", "share"})
        return found

    def _global_mappings(self, path: str, table: Any) -> None:
        self._account(GLOBAL)["mappings"] = self._mappings(path, table)

    def _mappings(self, path: str, table: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for subject, given in table.items():
            if isinstance(given, str):
                found[subject] = given
                continue
            found[subject] = []
            for one in [given] if isinstance(given, dict) else given:
                weight = str(one.get("weight", "100")).removesuffix("%")
                found[subject].append({"to": one.get("destination", one.get("dest", "")), "weight": int(weight)})
                self._rest(f"{path}.{subject}", one, {"destination", "dest", "weight"})
        return found

    def _operator(self, path: str, value: Any) -> None:
        if isinstance(value, list):
            for extra in value[1:]:
                self.imported.note(path, f"there is one operator; {str(extra)[:20]} is left out")
            value = value[0]
        self.imported.put("authentication", "operator", value)

    def _resolver(self, path: str, value: Any) -> None:
        preload = self._document.get("resolver_preload", {})
        resolver: dict[str, Any] = {"preload": dict(preload)} if preload else {}
        if isinstance(value, dict):
            if "dir" in value:
                resolver["directory"] = value["dir"]
            self._rest(path, value, {"type", "dir"})
        elif str(value).upper() != "MEMORY":
            self.imported.note(path, f"{value} {NONE}; JWTs are here or in a directory")
        self.imported.put("authentication", "resolver", resolver)

    def _jetstream(self, path: str, value: Any) -> None:
        directory = value.get("store_dir") if isinstance(value, dict) else None
        if directory:
            self._put("data-directory", directory)
        self.imported.note(path, "streams are the hub's: they are reached over the leafnode link")

    # Small parts.

    def _seconds(self, path: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ConfigError(f"{self._path}: {path}: {value!r} is no duration")
        seconds = go_seconds(value) if isinstance(value, str) else float(value)
        if seconds is None:
            raise ConfigError(f"{self._path}: {path}: {value!r} is no duration")
        return seconds

    def _rest(self, path: str, table: dict[str, Any], known: set[str]) -> None:
        """Note what nobody has read."""
        for key in table:
            if key.lower() not in known:
                self.imported.note(f"{path}.{key}", NONE)


MONITORING = frozenset(("http", "https", "http_port", "monitor_port", "https_port"))


def with_login(url: str, user: str, password: str) -> str:
    """A URL with user and password in it, where there are some."""
    scheme, separator, address = url.partition("://")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"{scheme}{separator}{login}{address}"
