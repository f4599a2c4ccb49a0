"""Users and accounts of a nats-server as ours: who may come in, what they may do, and what accounts share."""

from typing import Any

from gateway.accounts.claim_rules import CONNECTION_TYPES
from gateway.command.importing.nats_tables import NONE, NatsTables, Table
from gateway.settings.account_names import DEFAULT_ACCOUNT

# Keys of a table of limits by ours.
ACCOUNT_LIMITS = {
    "max_connections": "max-connections",
    "max_conn": "max-connections",
    "max_subscriptions": "max-subscriptions",
    "max_subs": "max-subscriptions",
    "max_payload": "max-payload-bytes",
    "max_leafnodes": "max-leafnodes",
}
# For nats-server, to import is to publish, and to export is to subscribe.
RIGHTS = {
    "publish": "publish",
    "pub": "publish",
    "import": "publish",
    "subscribe": "subscribe",
    "sub": "subscribe",
    "export": "subscribe",
}


class NatsUsers:
    """`users` and `accounts`, by name, are our tables."""

    def __init__(self, tables: NatsTables) -> None:
        self._tables = tables
        self.users: list[Table] = []
        self.accounts: dict[str, Table] = {}

    def authorization(self, path: str, table: Any) -> None:
        if "token" in table:
            self._tables.imported.put("authentication", "token", str(table["token"]))
        if "timeout" in table:
            seconds = self._tables.seconds(f"{path}.timeout", table["timeout"])
            self._tables.imported.put("authentication", "timeout-seconds", seconds)
        if "default_permissions" in table:
            rules = self._permissions(f"{path}.default_permissions", table["default_permissions"])
            self._tables.imported.put("authentication", "default-permissions", rules)
        user = table.get("user", table.get("username"))
        if user is not None:
            self.user(path, {"user": user, "password": table.get("password", table.get("pass", ""))}, "")
        for index, one in enumerate(table.get("users", [])):
            self.user(f"{path}.users[{index}]", one, "")
        callout = table.get("auth_callout")
        if callout is not None:
            self._callout(f"{path}.auth_callout", callout)
        known = {"token", "timeout", "default_permissions", "user", "username", "password", "pass", "users"}
        self._tables.rest(path, table, known | {"auth_callout"})

    def _callout(self, path: str, table: Table) -> None:
        names = {"issuer": "issuer", "users": "auth_users", "account": "account", "xkey": "xkey"}
        names["allowed-accounts"] = "allowed_accounts"
        callout = {ours: table[theirs] for ours, theirs in names.items() if table.get(theirs)}
        self._tables.imported.put("authentication", "callout", callout)
        self._tables.rest(path, table, set(names.values()))

    def user(self, path: str, user: Table, account: str) -> None:
        ours: Table = {}
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
        self.users.append(ours)
        known = {"user", "username", "nkey", "password", "pass", "permissions", "permission"}
        self._tables.rest(path, user, known | {"allowed_connection_types", "connection_types"})

    def _connection_types(self, path: str, types: list[str]) -> list[str]:
        found = [CONNECTION_TYPES.get(one.upper()) for one in types]
        for one, ours in zip(types, found, strict=True):
            if not ours:
                self._tables.imported.note(f"{path}.allowed_connection_types", f"{one} {NONE}")
        return [one for one in found if one]

    def _permissions(self, path: str, table: Any) -> Table:
        rules: Table = {}
        for theirs, ours in RIGHTS.items():
            if theirs in table:
                rules[ours] = self._subjects(table[theirs])
        responses = table.get("allow_responses", table.get("allow_response"))
        if responses is True:
            rules["allow-responses"] = True
        elif isinstance(responses, dict):
            allowed: Table = {}
            most = responses.get("max", responses.get("max_msgs"))
            if most is not None:
                allowed["max"] = most
            expires = responses.get("expires", responses.get("ttl", responses.get("expiration")))
            if expires is not None:
                allowed["seconds"] = self._tables.seconds(f"{path}.allow_responses.expires", expires)
            rules["allow-responses"] = allowed or True
        known = {"publish", "pub", "import", "subscribe", "sub", "export", "allow_responses", "allow_response"}
        self._tables.rest(path, table, known)
        return rules

    def _subjects(self, given: Any) -> Table:
        if isinstance(given, str):
            return {"allow": [given]}
        if isinstance(given, list):
            return {"allow": given}
        found: Table = {}
        for key in ("allow", "deny"):
            if key in given:
                found[key] = [given[key]] if isinstance(given[key], str) else list(given[key])
        return found

    # Accounts.

    def _account(self, name: str) -> Table:
        return self.accounts.setdefault(name, {})

    def read_accounts(self, path: str, accounts: Any) -> None:
        for name, table in accounts.items():
            if isinstance(table, list):  # Only users, in the short form.
                table = {"users": table}
            self._read_account(f"{path}.{name}", name, table)

    def _read_account(self, path: str, name: str, table: Table) -> None:
        account = self._account(name)
        users: list[Table] = table.get("users") or table.get("nkeys", [])
        for index, user in enumerate(users):
            self.user(f"{path}.users[{index}]", user, name)
        limits = table.get("limits", {})
        for theirs, ours in ACCOUNT_LIMITS.items():
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
        self._tables.rest(path, table, known)

    def _export(self, path: str, table: Table) -> Table:
        kind = "stream" if "stream" in table else "service"
        export: Table = {kind: table.get(kind, "")}
        if table.get("accounts"):
            export["accounts"] = list(table["accounts"])
        if table.get("account_token_position"):
            export["account-token-position"] = table["account_token_position"]
        response = str(table.get("response_type", table.get("response", ""))).lower()
        if response:
            export["response"] = response.removesuffix("ed") if response == "streamed" else response
        if "response_threshold" in table:
            export["response-seconds"] = self._tables.seconds(f"{path}.response_threshold", table["response_threshold"])
        latency = table.get("latency")
        if isinstance(latency, str):
            export["latency"] = {"subject": latency}
        elif isinstance(latency, dict):
            sampling = str(latency.get("sampling", "100")).removesuffix("%")
            export["latency"] = {"subject": latency.get("subject", "")}
            if sampling.isdigit():
                export["latency"]["sampling"] = int(sampling)
            else:
                self._tables.imported.note(f"{path}.latency.sampling", f"{sampling} {NONE}; a number is")
        known = {"stream", "service", "accounts", "account_token_position", "response_type", "response", "latency"}
        self._tables.rest(path, table, known | {"response_threshold"})
        return export

    def _import(self, path: str, table: Table) -> Table:
        kind = "stream" if "stream" in table else "service"
        source = table.get(kind, {})
        found: Table = {"account": source.get("account", ""), kind: source.get("subject", "")}
        for key in ("prefix", "to"):
            if table.get(key):
                found[key] = table[key]
        if table.get("share"):
            found["share"] = True
        self._tables.rest(path, table, {"stream", "service", "prefix", "to", "share"})
        return found

    def map_global(self, path: str, table: Any) -> None:
        """Mappings of the default account."""
        self._account(DEFAULT_ACCOUNT)["mappings"] = self._mappings(path, table)

    def _mappings(self, path: str, table: Table) -> Table:
        found: Table = {}
        for subject, given in table.items():
            if isinstance(given, str):
                found[subject] = given
                continue
            found[subject] = []
            for one in [given] if isinstance(given, dict) else given:
                weight = str(one.get("weight", "100")).removesuffix("%")
                found[subject].append({"to": one.get("destination", one.get("dest", "")), "weight": int(weight)})
                self._tables.rest(f"{path}.{subject}", one, {"destination", "dest", "weight"})
        return found
