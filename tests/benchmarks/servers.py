"""How each server is found, configured and started: the gateway, nats-server, mosquitto, the byte relay.

Every server gets a fresh directory and free loopback ports, and opens only what a row needs.
"""

import importlib.util
import json
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from machine import disk_directory
from server_process import Address, ServerProcess, free_port

GATEWAY = "gateway"
NATS_SERVER = "nats-server"
MOSQUITTO = "mosquitto"
RELAY = "byte relay"

LEAF_USER = "bench"
LEAF_PASSWORD = "bench-secret"


Store = Literal["", "memory", "disk"]
Keeping = Literal["", "stream", "buffer"]

# Far above what any row stores.
_QUEUED_MESSAGES = 1_000_000
_QUEUED_BYTES = 1 << 30
_RETAINED_MESSAGES = 2_000_000
_KEPT_BYTES = 1 << 36


@dataclass(frozen=True)
class Wish:
    """What a row needs from a server: the protocols it shall listen for, and the hub it shall link to as a leafnode.

    With a `store` it takes large queues and many retained messages; where it can choose, in memory or on disk. With
    `accounts` there are two, each with a user of its name: what is published in `plant` comes into `office` under `in`.
    With `rights` there is a user `machine` that has some, and who comes without a name may do everything. With `tls`
    all its listeners are inside TLS, with the same certificate for all servers.

    `keeping`: what is published is kept on the disk, in a stream of JetStream or (the gateway, a bridge of mosquitto)
    for a hub, which may be away; ports are fixed, so that a server may be started again. `synced`: nats-server syncs
    each message. `commit_interval` is in milliseconds. With `streams` there is JetStream in any case. With
    `rules` the gateway has one (rule_measures).
    """

    protocols: frozenset[str]
    hub: Address | None = None
    store: Store = ""
    accounts: bool = False
    rights: bool = False
    python: str = sys.executable
    tls: bool = False
    keeping: Keeping = ""
    synced: bool = False
    commit_interval: int = 0
    streams: bool = False
    rules: bool = False

    @property
    def is_on_disk(self) -> bool:
        return self.store == "disk" or bool(self.keeping)


USER_PASSWORD = "bench-secret"
_ACCOUNTS = ("plant", "office")
_GATEWAY_ACCOUNTS = """
[[accounts]]
name = "plant"
[[accounts.exports]]
stream = "plant.>"
[[accounts]]
name = "office"
[[accounts.imports]]
stream = "plant.>"
account = "plant"
prefix = "in"
"""
_NATS_ACCOUNTS = """
accounts: {
  plant: { users: [{user: plant, password: %s}], exports: [{stream: "plant.>"}] }
  office: {
    users: [{user: office, password: %s}]
    imports: [{stream: {account: plant, subject: "plant.>"}, prefix: in}]
  }
}
"""
# What is published below it goes through a rule.
RULED = "ruled"
# What comes out is about of the size of what comes in.
_GATEWAY_RULES = f"""
[[rules]]
name = "bench"
from = "{RULED}.*"
to = "made.$1"
when = "quality > 5 and unit == 'F'"
fields = {{ id = "id", celsius = "round(convert(t, 'F', 'C'), 1)", quality = "quality", at = "ts" }}
"""
# What a machine of a plant may do; nats-server's MQTT needs subjects of its own.
_GATEWAY_RIGHTS = """
[authentication]
no-auth-user = "anybody"
[[users]]
name = "anybody"
password = "%s"
[[users]]
name = "machine"
password = "%s"
[users.permissions]
publish = { allow = ["plant.>", "status.*", "$MQTT.>"], deny = ["plant.*.*.admin"] }
subscribe = { allow = ["plant", "plant.>", "commands.machine.>", "$MQTT.>", "_INBOX.>"] }
"""
_NATS_RIGHTS = """
no_auth_user: anybody
authorization: {
  users: [
    {user: anybody, password: %s}
    {user: machine, password: %s, permissions: {
      publish: { allow: ["plant.>", "status.*", "$MQTT.>"], deny: ["plant.*.*.admin"] }
      subscribe: { allow: ["plant", "plant.>", "commands.machine.>", "$MQTT.>", "_INBOX.>"] }
    }}
  ]
}
"""


def program(name: str) -> str | None:
    """A program beside this interpreter (where PyPI puts nats-server), on PATH, or where Debian puts daemons."""
    return (
        shutil.which(name, path=str(Path(sys.executable).parent))
        or shutil.which(name)
        or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    )


def gateway_command(python: str) -> list[str] | None:
    """The command of the gateway installed for `python`; None where it is not installed."""
    script = Path(python).parent / "leafgate"
    if script.exists():
        return [str(script)]
    try:
        found = importlib.util.find_spec("gateway.__main__")
    except ModuleNotFoundError:
        return None
    return [python, "-m", "gateway"] if found else None


def available(name: str, python: str = sys.executable) -> bool:
    if name == GATEWAY:
        return gateway_command(python) is not None
    return name == RELAY or program(name) is not None


def version(name: str, python: str = sys.executable) -> str:
    """What the server says about itself, in one line."""
    if name == RELAY:
        return "recv_into and sendall, 256 KiB"
    command = gateway_command(python) if name == GATEWAY else [program(name) or name]
    flag = "-h" if name == MOSQUITTO else "--version"
    done = subprocess.run([*(command or []), flag], capture_output=True, text=True, timeout=20, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return lines[0].strip() if lines else "no version told"


def start(name: str, wish: Wish, core: int) -> ServerProcess:
    """Start a server on a core and return it once it listens; raises LoadError when it does not come up."""
    where = disk_directory() if wish.is_on_disk else None
    server = ServerProcess(name, tempfile.TemporaryDirectory(prefix="leafgate-bench-", dir=where))
    try:
        if wish.tls:
            server.trust = make_certificate(server.directory)
        _STARTERS[name](server, wish, core)
    except BaseException:
        server.stop()
        raise
    return server


def start_hub(core: int, keeping: Keeping = "") -> ServerProcess:
    """A nats-server that accepts leafnodes: the far end of the uplink rows; with streams where its spoke keeps."""
    return start(NATS_SERVER, Wish(frozenset({"nats", "leafnode"}), keeping="stream" if keeping else ""), core)


def make_certificate(directory: Path) -> ssl.SSLContext:
    """`server.pem` and `server.key`, EC P-256 as certificates are today, and what a client knows that trusts it."""
    certificate, key = directory / "server.pem", directory / "server.key"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    key.chmod(0o600)
    return ssl.create_default_context(cafile=str(certificate))


def _parse(address: str) -> Address:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _ports_file(path: Path) -> Callable[[], dict[str, Address] | None]:
    def read() -> dict[str, Address] | None:
        if not path.exists():
            return None
        try:
            told = json.loads(path.read_text())
        except json.JSONDecodeError:
            # Read between the file's opening and its last byte.
            return None
        found = {entry["protocol"]: _parse(entry["address"]) for entry in told["listeners"]}
        return found | ({"monitoring": _parse(told["monitoring"])} if told.get("monitoring") else {})

    return read


def _start_gateway(server: ServerProcess, wish: Wish, core: int) -> None:
    ports = server.directory / "ports.json"
    lines = [f"ports-file = {json.dumps(str(ports))}"]
    if wish.is_on_disk:
        data = server.directory / "data"
        data.mkdir()
        lines += [f"data-directory = {json.dumps(str(data))}"]
    for protocol in sorted(wish.protocols - {"monitoring"}):
        port = free_port() if wish.keeping else 0
        lines += ["[[listeners]]", f'protocol = "{protocol}"', f'address = "127.0.0.1:{port}"']
        if wish.tls:
            lines += [
                f'tls = {{ certificate = "{server.directory}/server.pem", key = "{server.directory}/server.key" }}'
            ]
    lines += ["[monitoring]", f'address = "{"127.0.0.1:0" if "monitoring" in wish.protocols else ""}"']
    if wish.store:
        lines += [
            "[mqtt]",
            f"max-queued-messages = {_QUEUED_MESSAGES}",
            f"max-queued-bytes = {_QUEUED_BYTES}",
            f"max-retained-messages = {_RETAINED_MESSAGES}",
            f"max-retained-bytes = {_QUEUED_BYTES}",
            "max-retained-messages-per-client = 0",
            "max-retained-bytes-per-client = 0",
        ]
    hub = wish.hub
    if hub is None and wish.keeping == "buffer":
        hub = "127.0.0.1", free_port()  # It is away.
    if hub is not None:
        lines += ["[[uplinks]]", f'urls = ["nats-leaf://{LEAF_USER}:{LEAF_PASSWORD}@{hub[0]}:{hub[1]}"]']
    if wish.keeping == "buffer":
        lines += ["reconnect-max-seconds = 0.5", "[[store-and-forward]]", 'subjects = ["sites.>"]']
        lines += [f"max-bytes = {_KEPT_BYTES}", f"commit-interval-ms = {wish.commit_interval}"]
    if wish.keeping == "stream":
        lines += ["[streams]", f"commit-interval-ms = {wish.commit_interval}"]
    if wish.accounts:
        lines += [_GATEWAY_ACCOUNTS]
        for name in _ACCOUNTS:
            lines += ["[[users]]", f'name = "{name}"', f'account = "{name}"', f'password = "{USER_PASSWORD}"']
    if wish.rights:
        lines += [_GATEWAY_RIGHTS % (USER_PASSWORD, USER_PASSWORD)]
    if wish.streams:
        lines += ["[streams]"]
    if wish.rules:
        lines += [_GATEWAY_RULES]
    config = server.directory / "leafgate.toml"
    config.write_text("\n".join(lines) + "\n")
    server.start([*(gateway_command(wish.python) or []), "run", "-c", str(config)], core)
    server.await_addresses(_ports_file(ports))


# nats-server names every listener in its log, and only there for MQTT.
_NATS_LOG_LINES = {
    "nats": re.compile(r"Listening for client connections on ([\d.]+:\d+)"),
    "mqtt": re.compile(r"Listening for MQTT clients on (?:mqtt|tls)://([\d.]+:\d+)"),
    "websocket": re.compile(r"Listening for websocket clients on ws://([\d.]+:\d+)"),
    "leafnode": re.compile(r"Listening for leafnode connections on ([\d.]+:\d+)"),
    "monitoring": re.compile(r"Starting http monitor on ([\d.]+:\d+)"),
}


# Each subscription above QoS 0 is a consumer (1,000 by default); each retained message that a new subscription fetches
# is a request (10,000 by default, within five seconds).
_NATS_STORE_OPTIONS = (
    ", request_queue_limit: 4000000, limits { default_max_consumers: 100000 }",
    ', js_api_timeout: "120s"',
)


def _nats_config(server: ServerProcess, wish: Wish) -> str:
    port, leafnodes = (free_port(), free_port()) if wish.keeping else (-1, -1)
    lines = ["host: 127.0.0.1", f"port: {port}", "server_name: bench"]
    inner = ""
    if wish.keeping:
        sync = "always" if wish.synced else "2m"
        lines += [f"jetstream {{ store_dir: {json.dumps(str(server.directory))}, sync_interval: {sync} }}"]
    if wish.tls:
        tls = f'tls {{ cert_file: "{server.directory}/server.pem", key_file: "{server.directory}/server.key" }}'
        lines += [tls]
        inner = f", {tls}"
    if "mqtt" in wish.protocols:
        # Its MQTT keeps sessions in JetStream, even for clean sessions and QoS 0.
        jetstream, mqtt = _NATS_STORE_OPTIONS if wish.store else ("", "")
        lines += [
            f"jetstream {{ store_dir: {json.dumps(str(server.directory))}{jetstream} }}",
            f"mqtt {{ host: 127.0.0.1, port: -1{mqtt}{inner} }}",
        ]
    if wish.streams and "mqtt" not in wish.protocols:
        lines += [f"jetstream {{ store_dir: {json.dumps(str(server.directory))} }}"]
    if "websocket" in wish.protocols:
        lines += ["websocket { host: 127.0.0.1, port: -1, no_tls: true, compression: true }"]
    if "monitoring" in wish.protocols:
        lines += ["http: 127.0.0.1:-1"]
    if "leafnode" in wish.protocols:
        lines += [
            f"leafnodes {{ host: 127.0.0.1, port: {leafnodes}, compression: off, "
            f"authorization {{ user: {LEAF_USER}, password: {LEAF_PASSWORD} }} }}"
        ]
    if wish.hub is not None:
        url = f"nats-leaf://{LEAF_USER}:{LEAF_PASSWORD}@{wish.hub[0]}:{wish.hub[1]}"
        # Uncompressed at both ends, as the gateway's link is.
        lines += [f'leafnodes {{ remotes: [ {{ url: "{url}", compression: off }} ] }}']
        lines[2] = "server_name: bench-spoke"
    if wish.accounts:
        lines += [_NATS_ACCOUNTS % (USER_PASSWORD, USER_PASSWORD)]
    if wish.rights:
        lines += [_NATS_RIGHTS % (USER_PASSWORD, USER_PASSWORD)]
    return "\n".join(lines) + "\n"


def _start_nats_server(server: ServerProcess, wish: Wish, core: int) -> None:
    config = server.directory / "nats.conf"
    config.write_text(_nats_config(server, wish))

    def read() -> dict[str, Address] | None:
        log = server.log
        if "Server is ready" not in log:
            return None
        found = {protocol: line.search(log) for protocol, line in _NATS_LOG_LINES.items()}
        return {protocol: _parse(match.group(1)) for protocol, match in found.items() if match}

    server.start([program(NATS_SERVER) or NATS_SERVER, "-c", str(config)], core)
    server.await_addresses(read)


def _start_mosquitto(server: ServerProcess, wish: Wish, core: int) -> None:
    port = free_port()
    config = server.directory / "mosquitto.conf"
    # Its defaults otherwise. `user` keeps it from leaving root, which could not read its own directory then.
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "user root"]
    if wish.tls:
        lines += [f"certfile {server.directory}/server.pem", f"keyfile {server.directory}/server.key"]
    if wish.store:
        lines += ["max_queued_messages 0", "max_queued_bytes 0"]
    if wish.is_on_disk:
        # Everything stays in memory until its snapshot, half an hour later or at its end.
        lines += ["persistence true", f"persistence_location {server.directory}/"]
    else:
        lines += ["persistence false"]
    if wish.keeping == "buffer":
        lines += ["max_queued_messages 0", "max_queued_bytes 0"]
        lines += ["connection up", f"address 127.0.0.1:{free_port()}", "topic # out 1"]
    config.write_text("\n".join(lines) + "\n")

    def read() -> dict[str, Address] | None:
        return {"mqtt": ("127.0.0.1", port)} if re.search(r"mosquitto version \S+ running", server.log) else None

    server.start([program(MOSQUITTO) or MOSQUITTO, "-c", str(config)], core)
    server.await_addresses(read)


def _start_relay(server: ServerProcess, _wish: Wish, core: int) -> None:
    ports = server.directory / "ports.json"
    server.start([sys.executable, str(Path(__file__).with_name("relay.py")), str(ports)], core)
    server.await_addresses(_ports_file(ports))


_STARTERS: dict[str, Callable[[ServerProcess, Wish, int], None]] = {
    GATEWAY: _start_gateway,
    NATS_SERVER: _start_nats_server,
    MOSQUITTO: _start_mosquitto,
    RELAY: _start_relay,
}
