"""Listeners, monitoring and leafnode remotes of a nats-server as ours."""

from typing import Any
from urllib.parse import quote

from gateway.command.importing.nats_tables import NatsTables, Table
from gateway.command.importing.nats_users import NatsUsers
from gateway.errors import ConfigError
from gateway.settings.addresses import is_loopback, join_address, split_address

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nats-server's default, which is said in a note
DEFAULT_PORTS = {"nats": 4222, "websocket": 8080, "mqtt": 1883, "leafnode": 7422}
MONITORING = frozenset(("http", "https", "http_port", "monitor_port", "https_port"))
# Keys of a remote by ours.
REMOTE_FLAGS = {
    "no-randomize": ("no_randomize", "dont_randomize"),
    "ignore-discovered-servers": ("ignore_discovered_servers",),
    "isolate": ("isolate", "isolate_leafnode_interest", "request_isolation"),
}
REMOTE_DENIALS = {"deny-imports": ("deny_imports", "deny_import"), "deny-exports": ("deny_exports", "deny_export")}


class NatsListeners:
    """`listeners` are our tables; monitoring and uplinks go straight where they belong."""

    def __init__(self, tables: NatsTables, users: NatsUsers) -> None:
        self._tables = tables
        self._users = users
        self.listeners: list[Table] = []

    def listener(self, path: str, protocol: str, table: Table) -> Table:
        """One more listener, of which a caller may say more."""
        address = self._address(table, DEFAULT_PORTS[protocol])
        listener: Table = {"protocol": protocol, "address": address}
        if isinstance(table.get("tls"), dict):
            listener["tls"] = self._tls(f"{path}tls", table["tls"])
        self.listeners.append(listener)
        return listener

    def _address(self, table: Table, port: int) -> str:
        host = str(table.get("host", table.get("net", EVERYWHERE)))
        listen = table.get("listen")
        if isinstance(listen, int):
            port = listen
        elif isinstance(listen, str):
            try:
                found, given = split_address(listen if not listen.startswith(":") else EVERYWHERE + listen)
            except ValueError as error:
                raise ConfigError(f"{self._tables.path}: listen: {error}") from None
            host, port = found, given if given is not None else port
        port = int(table.get("port", port))
        return join_address(host, max(port, 0))

    def monitoring(self) -> None:
        document = self._tables.document
        for key in sorted(MONITORING & document.keys()):
            value = document[key]
            host = str(document.get("host", document.get("net", EVERYWHERE)))
            try:
                given, port = split_address(str(value)) if ":" in str(value) else (host, int(value))
            except ValueError as error:
                raise ConfigError(f"{self._tables.path}: {key}: {error}") from None
            monitoring: Table = {"address": join_address(given, port or 0)}
            if not is_loopback(given):
                monitoring["allow-anonymous"] = True
                self._tables.imported.note(key, "monitoring asks nobody who he is, as before: monitoring.users would")
            if key.startswith("https") and isinstance(document.get("tls"), dict):
                monitoring["tls"] = self._tls("tls", document["tls"])
            self._tables.imported.document["monitoring"] = monitoring
            return
        self._tables.imported.document["monitoring"] = {"address": ""}

    def _tls(self, path: str, table: Table) -> Table:
        tls: Table = {"certificate": table.get("cert_file", "")}
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
            self._tables.imported.note(f"{path}.handshake_first", "there is yes or no; INFO comes first")
        if "timeout" in table:
            tls["handshake-seconds"] = self._tables.seconds(f"{path}.timeout", table["timeout"])
        if "min_version" in table:
            tls["minimum-version"] = str(table["min_version"])
        known = {"cert_file", "key_file", "ca_file", "pinned_certs", "verify", "verify_and_map", "handshake_first"}
        self._tables.rest(path, table, known | {"first", "immediate", "timeout", "min_version"})
        return tls

    def websocket(self, path: str, table: Any) -> None:
        listener = self.listener(f"{path}.", "websocket", table)
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
        self._tables.rest(path, table, known | {"compression", "no_auth_user", *names.values()})

    def mqtt(self, path: str, table: Any) -> None:
        listener = self.listener(f"{path}.", "mqtt", table)
        if table.get("no_auth_user"):
            listener["no-auth-user"] = table["no_auth_user"]
        for theirs in ("max_ack_pending", "max_inflight"):
            if theirs in table:
                self._tables.imported.put("mqtt", "max-inflight", table[theirs])
        known = {"listen", "host", "net", "port", "tls", "no_auth_user", "max_ack_pending", "max_inflight"}
        self._tables.rest(path, table, known)

    def leafnodes(self, path: str, table: Any) -> None:
        for index, remote in enumerate(table.get("remotes", [])):
            self._remote(f"{path}.remotes[{index}]", remote)
        if table.keys() & {"listen", "port"}:
            self._leafnode_listener(path, table)
        known = {"remotes", "listen", "port", "host", "net", "tls", "advertise", "min_version", "authorization"}
        self._tables.rest(path, table, known | {"isolate_leafnode_interest", "isolate"})

    def _leafnode_listener(self, path: str, table: Table) -> None:
        listener = self.listener(f"{path}.", "leafnode", table)
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
            self._users.user(f"{path}.authorization.users[{number}]", by_leafnode, account)

    def _remote(self, path: str, remote: Table) -> None:
        urls: str | list[str] = remote.get("urls") or remote.get("url", [])
        uplink: Table = {"urls": [urls] if isinstance(urls, str) else list(urls)}
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
        self._tables.imported.document.setdefault("uplinks", []).append(uplink)
        known = {"urls", "url", "account", "local", "credentials", "creds", "nkey", "seed", "tls", "proxy"}
        self._tables.rest(path, remote, known.union(*REMOTE_FLAGS.values(), *REMOTE_DENIALS.values()))


def with_login(url: str, user: str, password: str) -> str:
    """A URL with user and password in it, where there are some."""
    scheme, separator, address = url.partition("://")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"{scheme}{separator}{login}{address}"
