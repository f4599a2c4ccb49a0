"""Rendering: the configuration of a gateway, made of its resource and of those that belong to it.

Each of them gives a fragment: tables of the configuration, and files beside it with what is secret. In the pod they are
in one folder, of which Kubernetes replaces the files all at a time.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.command.importing.toml_text import toml_text
from gateway.operator.kinds import ACCOUNT, BRIDGE, UPLINK, USER
from gateway.operator.objects import Document, Resource
from gateway.operator.openapi import Secrets, SpecError, configured
from gateway.settings.bridge import Bridge
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.logs import Logging
from gateway.settings.mqtt import Mqtt
from gateway.settings.security import AccountRules, User
from gateway.settings.serial import Serial
from gateway.settings.store_and_forward import StoreAndForward
from gateway.settings.streams import Streams
from gateway.settings.uplink import Uplink

FOLDER = "/etc/leafgate/config"
FILE = "leafgate.toml"
DATA = "/var/lib/leafgate"
CONTROL_SOCKET = "/run/leafgate/control.sock"
HEADING = "# Written by the operator: what is changed here is undone.\n"
MONITORING_PORT = 8222
PORTS = {"nats": 4222, "mqtt": 1883, "websocket": 8080, "leafnode": 7422}
TLS_PORTS = {"nats": 4222, "mqtt": 8883, "websocket": 8443, "leafnode": 7422}
DOORS = {"nats": True, "mqtt": True, "websocket": True, "leafnode": False}
DRAIN_SECONDS = 60
OPERATOR = "leafgate-operator"
OPERATOR_PASSWORD = "operator.password"  # noqa: S105 -- the name of a file
# All that it may do: ask JetStream's API, and be answered.
OPERATOR_PERMISSIONS = {"publish": {"allow": ["$JS.API.>"]}, "subscribe": {"allow": ["_INBOX.>"]}}

# What comes of a spec whose parts are not of the types that they shall be.
MISSHAPEN = (TypeError, AttributeError, KeyError)

# Keys of resources that name a Secret.
SECRET_KEYS = ("passwordSecret", "tokenSecret", "nkeySecret", "credentialsSecret", "sharedAccessKeySecret")
# Values of Secrets of the namespace, by their names and keys.
Values = Mapping[str, Mapping[str, bytes]]


class Fragment(NamedTuple):
    """`tables` are values by key of the document; those of one key that are lists are put behind one another."""

    tables: Document
    files: dict[str, bytes]


class FragmentSecrets(Secrets):
    """Files of one resource, each called after it."""

    def __init__(self, owner: Resource, values: Values) -> None:
        self.files: dict[str, bytes] = {}
        self._stem = f"{owner.kind.name.lower()}.{owner.name}"
        self._values = values

    def file_of(self, place: Any) -> str:
        return self.keep(str(place.get("name", "")), str(place.get("key", "")))

    def keep(self, secret: str, key: str) -> str:
        """The path of the file with a value. Raises SpecError where there is none."""
        return self.put(f"{secret}.{key}", value_in(self._values, secret, key))

    def put(self, name: str, value: bytes) -> str:
        name = f"{self._stem}.{name}"
        self.files[name] = value
        return f"{FOLDER}/{name}"

    def has(self, secret: str, key: str) -> bool:
        return key in self._values.get(secret, ())


def value_in(values: Values, secret: str, key: str) -> bytes:
    """Raises SpecError where there is none."""
    if secret not in values:
        raise SpecError(f"there is no Secret {secret}")
    if key not in values[secret]:
        raise SpecError(f"the Secret {secret} has no key {key}")
    return values[secret][key]


def given_password(place: Document, values: Values) -> bytes:
    """The password of a user's `passwordSecret`. Raises SpecError."""
    return value_in(values, str(place.get("name", "")), str(place.get("key") or "password")).removesuffix(b"\n")


def secrets_named_in(resource: Resource) -> set[str]:
    """The Secrets that a resource names."""
    spec = resource.spec
    places = [spec.get(key) for key in SECRET_KEYS]
    found = {str(place.get("name", "")) for place in places if isinstance(place, dict)}
    tls = spec.get("tls")
    found.add(str(tls.get("secretName", "")) if isinstance(tls, dict) else "")
    return found - {""}


def gateway_fragment(gateway: Resource, values: Values) -> Fragment:
    """What the Gateway itself says. Raises SpecError."""
    secrets = FragmentSecrets(gateway, values)
    try:
        return Fragment(_gateway(gateway, secrets), secrets.files)
    except MISSHAPEN as error:
        raise misshapen(error) from None


def misshapen(error: Exception) -> SpecError:
    """The cluster lets nothing of the kind in, as long as it has our schemas."""
    return SpecError(f"its spec has not the form that its schema asks for: {error}")


def _gateway(gateway: Resource, secrets: FragmentSecrets) -> Document:
    spec = gateway.spec
    tls = _listener_tls(spec["tls"], secrets) if spec.get("tls") else None
    listeners: list[Document] = []
    for protocol, port in ports_of(gateway).items():
        listener: Document = {"protocol": protocol, "address": f"0.0.0.0:{port}"}
        listeners.append(listener | ({"tls": tls} if tls else {}))
    drain = int(spec.get("drainSeconds") or DRAIN_SECONDS)
    document: Document = {
        "name": gateway.name,
        "data-directory": DATA,
        "control-socket": CONTROL_SOCKET,
        "listeners": listeners,
        "monitoring": {"address": f"0.0.0.0:{MONITORING_PORT}", "allow-anonymous": True},
        "timeouts": {"lame-duck-seconds": drain, "lame-duck-grace-seconds": min(drain, 10)}
        | configured(Timeouts, spec.get("timeouts") or {}, secrets),
    }
    for key, struct in (("limits", Limits), ("mqtt", Mqtt), ("logging", Logging), ("streams", Streams)):
        if spec.get(key) is not None:
            document[key] = configured(struct, spec[key], secrets)
    if spec.get("serial"):
        document["serial"] = [configured(Serial, one, secrets) for one in spec["serial"]]
    if spec.get("anonymousUser"):
        document["authentication"] = {"no-auth-user": spec["anonymousUser"]}
    return document


def ports_of(gateway: Resource) -> dict[str, int]:
    """The ports of the doors that a Gateway has, by protocol."""
    wanted = DOORS | (gateway.spec.get("listeners") or {}) | {"nats": True}
    ports = TLS_PORTS if gateway.spec.get("tls") else PORTS
    return {protocol: port for protocol, port in ports.items() if wanted.get(protocol)}


def _listener_tls(spec: Document, secrets: FragmentSecrets) -> Document:
    name, verify = str(spec.get("secretName", "")), spec.get("verify", "none")
    tls: Document = {"certificate": secrets.keep(name, "tls.crt"), "key": secrets.keep(name, "tls.key")}
    return tls if verify == "none" else tls | {"verify": verify, "client-ca": secrets.keep(name, "ca.crt")}


def operator_fragment(accounts: Iterable[str], hashed: str) -> Fragment:
    """The users as whom the operator comes, one for each account; "" is the default one."""
    users = [
        {
            "name": operator_user(account),
            "password": {"file": f"{FOLDER}/{OPERATOR_PASSWORD}"},
            "connection-types": ["nats"],
            "permissions": OPERATOR_PERMISSIONS,
        }
        | ({"account": account} if account else {})
        for account in accounts
    ]
    return Fragment({"users": users}, {OPERATOR_PASSWORD: hashed.encode()})


def operator_user(account: str) -> str:
    return f"{OPERATOR}.{account}" if account else OPERATOR


def part_fragment(part: Resource, values: Values, hashed: str) -> Fragment:
    """What a resource says that belongs to a Gateway; `hashed` is the hash of a user's password, "" for none.

    Raises SpecError.
    """
    secrets = FragmentSecrets(part, values)
    make = {ACCOUNT: _account, USER: _user, UPLINK: _uplink, BRIDGE: _bridge}[part.kind]
    try:
        return Fragment(make(part, secrets, hashed), secrets.files)
    except MISSHAPEN as error:
        raise misshapen(error) from None


def _rest(part: Resource, struct: Any, secrets: Secrets, apart: frozenset[str]) -> Document:
    """Those keys of the spec that are the configuration's own."""
    spec = {key: value for key, value in part.spec.items() if key not in apart | {"gateway", "name"}}
    found: Document = configured(struct, spec, secrets)
    return found


def _account(part: Resource, secrets: FragmentSecrets, hashed: str) -> Document:
    return {"accounts": [{"name": part.title} | _rest(part, AccountRules, secrets, frozenset())]}


def _user(part: Resource, secrets: FragmentSecrets, hashed: str) -> Document:
    user: Document = {"name": part.title} | _rest(
        part, User, secrets, frozenset(("passwordSecret", "rotateAfterSeconds"))
    )
    if hashed:
        user["password"] = {"file": secrets.put("password", hashed.encode())}
    return {"users": [user]}


def _uplink(part: Resource, secrets: FragmentSecrets, hashed: str) -> Document:
    apart = ("passwordSecret", "tokenSecret", "nkeySecret", "credentialsSecret", "tls", "storeAndForward")
    uplink: Document = {"name": part.title} | _rest(part, Uplink, secrets, frozenset(apart))
    for key in ("password", "token", "nkey"):
        if place := part.spec.get(f"{key}Secret"):
            uplink[key] = {"file": secrets.file_of({"key": key} | place)}
    if place := part.spec.get("credentialsSecret"):
        uplink["credentials"] = secrets.file_of({"key": "credentials"} | place)
    if part.spec.get("tls"):
        uplink["tls"] = _link_tls(part.spec["tls"], Uplink, secrets)
    buffers = [
        {"name": part.title, "uplink": part.title} | configured(StoreAndForward, one, secrets)
        for one in part.spec.get("storeAndForward") or ()
    ]
    return {"uplinks": [uplink]} | ({"store-and-forward": buffers} if buffers else {})


def _bridge(part: Resource, secrets: FragmentSecrets, hashed: str) -> Document:
    bridge: Document = {"name": part.title} | _rest(
        part, Bridge, secrets, frozenset(("passwordSecret", "sharedAccessKeySecret", "tls"))
    )
    for key, resource_key in (("password", "passwordSecret"), ("shared-access-key", "sharedAccessKeySecret")):
        if place := part.spec.get(resource_key):
            bridge[key] = {"file": secrets.file_of({"key": key} | place)}
    if part.spec.get("tls"):
        bridge["tls"] = _link_tls(part.spec["tls"], Bridge, secrets)
    return {"bridges": [bridge]}


def _link_tls(spec: Document, struct: Any, secrets: FragmentSecrets) -> Document:
    """The table `tls` of an uplink or a bridge, with the certificates of a Secret."""
    name = str(spec.get("secretName", ""))
    rest = {key: value for key, value in spec.items() if key != "secretName"}
    tls: Document = configured(struct, {"tls": rest}, secrets)["tls"]
    if name:
        for key, file in (("ca", "ca.crt"), ("certificate", "tls.crt"), ("key", "tls.key")):
            if key == "ca" or secrets.has(name, file):
                tls[key] = secrets.keep(name, file)
    return tls


def joined(fragments: Iterable[Fragment]) -> Fragment:
    """One fragment of several."""
    tables: Document = {}
    files: dict[str, bytes] = {}
    for fragment in fragments:
        for key, value in fragment.tables.items():
            tables[key] = tables[key] + value if isinstance(value, list) and key in tables else value
        files |= fragment.files
    return Fragment(tables, files)


def configuration_text(fragment: Fragment) -> str:
    return HEADING + toml_text(fragment.tables)
