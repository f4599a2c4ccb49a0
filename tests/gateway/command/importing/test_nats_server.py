"""nats-server's configuration becomes ours; nats-server itself says that what is read here is one."""

import subprocess
from pathlib import Path

import pytest

from gateway.command.importing.imported import Imported
from gateway.command.importing.nats_server import import_nats_server
from gateway.command.importing.toml_text import toml_text
from gateway.errors import ConfigError
from gateway.settings.schema import Config, load_config
from gateway.settings.secret import Secret
from tests.integration.peers import require_peer

SITE = """
server_name: edge
listen: 127.0.0.1:4222
http: 127.0.0.1:8222
WORD = "s3cret"
max_payload: 2MB; max_connections = 100
max_pending: 64MB
ping_interval: "30s"
write_deadline: "5s"
no_auth_user: guest
accounts {
  plant {
    users = [
      { user: sensor, password: $WORD, allowed_connection_types: [MQTT, MQTT_WS],
        permissions {
          publish: ["x.>", y], subscribe { allow: "z.>", deny: ["z.no"] }, allow_responses { max: 5, expires: "1m" }
        } }
      { nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 }
    ]
    exports = [
      { stream: "telemetry.>", accounts: [office] }
      { service: "calc.*", response_type: singleton, latency { sampling: 50%, subject: "latency.calc" } }
    ]
    mappings { "orders.*": "orders.v2.$1", canary: [ { destination: canary.new, weight: 10% } ] }
    limits { max_connections: 5, max_payload: 1000, max_subscriptions: -1 }
    default_permissions { publish: "open.>" }
  }
  office {
    users = [ { user: guest, password: "$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG" } ]
    imports = [
      { stream { account: plant, subject: "telemetry.>" }, prefix: plant }
      { service { account: plant, subject: "calc.add" }, to: add }
    ]
  }
}
websocket { listen: "127.0.0.1:8080", no_tls: true, allowed_origins: ["https://a.example"], token_cookie: t }
leafnodes { remotes = [ { url: "nats-leaf://hub.example:7422", account: plant } ] }
"""


def convert(tmp_path: Path, text: str) -> tuple[Config, Imported]:
    """What a configuration becomes, and is right as; nats-server takes it too."""
    path = tmp_path / "nats.conf"
    path.write_text(text)
    program = require_peer("nats-server")
    tried = subprocess.run([program, "-t", "-c", str(path)], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    imported = import_nats_server(path)
    ours = tmp_path / "leafgate.toml"
    ours.write_text(toml_text(imported.document))
    return load_config(ours), imported


def test_site_is_read_whole(tmp_path: Path):
    config, imported = convert(tmp_path, SITE)
    assert imported.notes == []
    assert config.name == "edge"
    assert [(one.protocol, one.address) for one in config.listeners] == [
        ("nats", "127.0.0.1:4222"),
        ("websocket", "127.0.0.1:8080"),
    ]
    assert config.listeners[1].allowed_origins == ("https://a.example",)
    assert config.listeners[1].cookies is not None
    assert config.listeners[1].cookies.token == "t"
    assert config.monitoring.address == "127.0.0.1:8222"
    assert config.limits.max_payload_bytes == 2 << 20
    assert (config.timeouts.ping_interval_seconds, config.timeouts.write_deadline_seconds) == (30, 5)
    assert config.authentication.no_auth_user == "guest"
    sensor, board, guest = config.users
    assert (sensor.name, sensor.password, sensor.account) == ("sensor", Secret("s3cret"), "plant")
    assert sensor.connection_types == ("mqtt", "mqtt-websocket")
    rules = sensor.permissions
    assert rules is not None
    assert rules.publish is not None
    assert rules.publish.allow == ("x.>", "y")
    assert rules.subscribe is not None
    assert (rules.subscribe.allow, rules.subscribe.deny) == (("z.>",), ("z.no",))
    assert not isinstance(rules.allow_responses, bool)
    assert (rules.allow_responses.max, rules.allow_responses.seconds) == (5, 60)
    assert (board.nkey[:4], board.account) == ("UDXU", "plant")
    assert guest.account == "office"
    plant, office = config.accounts
    assert (plant.max_connections, plant.max_payload_bytes, plant.max_subscriptions) == (5, 1000, 0)
    telemetry, calc = plant.exports
    assert (telemetry.stream, telemetry.accounts) == ("telemetry.>", ("office",))
    assert (calc.service, calc.response) == ("calc.*", "singleton")
    assert calc.latency is not None
    assert (calc.latency.subject, calc.latency.sampling) == ("latency.calc", 50)
    assert plant.mappings["orders.*"] == "orders.v2.$1"
    (canary,) = plant.mappings["canary"]
    assert not isinstance(canary, str)
    assert (canary.to, canary.weight) == ("canary.new", 10)
    assert [(one.stream, one.service, one.prefix, one.to) for one in office.imports] == [
        ("telemetry.>", "", "plant", ""),
        ("", "calc.add", "", "add"),
    ]
    assert [str(url) for url in config.uplinks[0].urls] == ["nats-leaf://hub.example:7422"]
    assert config.uplinks[0].account == "plant"


def test_leafnodes_have_a_listener_and_their_own_users(tmp_path: Path):
    config, imported = convert(
        tmp_path,
        """
        port: 4333
        accounts { plant { users = [ { user: ann, password: secret } ] } }
        leafnodes {
          port: 7422, advertise: "hub.example", min_version: "2.10.0", isolate_leafnode_interest: true
          authorization { users = [ { user: shed, password: secret, account: plant } ] }
        }
        """,
    )
    assert imported.notes == []
    listener = config.listeners[1]
    assert (listener.protocol, listener.address, listener.advertise) == (
        "leafnode",
        "0.0.0.0:7422",
        ("hub.example:7422",),
    )
    assert (listener.min_version, listener.isolate) == ("2.10.0", True)
    shed = next(user for user in config.users if user.name == "shed")
    assert (shed.account, shed.connection_types) == ("plant", ("leafnode", "leafnode-websocket"))


def test_token_and_open_addresses(tmp_path: Path):
    config, imported = convert(tmp_path, 'port: 4333\nauthorization { token: "t0ken", timeout: 3 }\n')
    assert config.authentication.token == Secret("t0ken")
    assert config.authentication.timeout_seconds == 3
    assert config.listeners[0].address == "0.0.0.0:4333"
    assert not config.listeners[0].allow_anonymous
    assert imported.notes == []


def test_server_that_asks_nobody_says_so(tmp_path: Path):
    config, imported = convert(tmp_path, "port: 4333\n")
    assert config.listeners[0].allow_anonymous
    assert imported.notes == ["listener 0.0.0.0:4333: nobody is asked who he is there: allow-anonymous"]


def test_what_has_no_counterpart_is_said(tmp_path: Path):
    _, imported = convert(
        tmp_path, "listen: 127.0.0.1:1\ncluster { name: c }\nmax_traced_msg_len: 5\njetstream: enabled\n"
    )
    assert [note.partition(":")[0] for note in imported.notes] == ["cluster", "max_traced_msg_len", "jetstream"]


def test_variables_are_no_keys(tmp_path: Path):
    config, imported = convert(tmp_path, "listen: 127.0.0.1:1\nMINE = 5\nmax_connections: $MINE\n")
    assert (config.limits.max_connections, imported.notes) == (5, [])


def test_duration_that_is_none_is_refused(tmp_path: Path):
    path = tmp_path / "nats.conf"
    path.write_text("ping_interval: soon\n")
    with pytest.raises(ConfigError, match=r"nats.conf: ping_interval: 'soon' is no duration$"):
        import_nats_server(path)


REMOTE = """
listen: "127.0.0.1:4222"
leafnodes { remotes = [ {
  urls: ["ws://a.example:80", "ws://b.example:80"], no_randomize: true, ignore_discovered_servers: true
  deny_imports: "in.>", deny_exports: ["out.>", secret], request_isolation: true
  proxy { url: "http://proxy.example:3128", username: site, password: "p/w" }
} ] }
"""


def test_a_remote_is_read_whole(tmp_path: Path):
    config, imported = convert(tmp_path, REMOTE)
    assert imported.notes == []
    (uplink,) = config.uplinks
    assert [str(url) for url in uplink.urls] == ["ws://a.example:80", "ws://b.example:80"]
    assert (uplink.no_randomize, uplink.ignore_discovered_servers, uplink.isolate) == (True, True, True)
    assert (uplink.deny_imports, uplink.deny_exports) == (("in.>",), ("out.>", "secret"))
    assert uplink.proxy is not None
    assert (str(uplink.proxy), uplink.proxy.user, uplink.proxy.password) == ("http://proxy.example:3128", "site", "p/w")
