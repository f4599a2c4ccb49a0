"""Configuration: the file that lists every key, the defaults, and what is said about each fault."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from gateway.errors import ConfigError
from gateway.settings.addresses import ServerUrl
from gateway.settings.bridge import Bridge, BridgeTopic, BrokerUrl
from gateway.settings.kafka import In, Kafka, KafkaTls, Out
from gateway.settings.listener import Listener
from gateway.settings.monitoring import Monitoring
from gateway.settings.schema import Config, load_config
from gateway.settings.secret import Secret
from gateway.settings.security import LinkTls, UplinkTls, User
from gateway.settings.serial import Serial
from gateway.settings.store_and_forward import KeepOne, StoreAndForward, name_of, uplinks_of
from gateway.settings.uplink import ProxyUrl, Uplink

CONFIGS = Path(__file__).parents[3] / "configs"
COMMENTED_OUT = re.compile(r"^# (?=# |\[|[a-z-]+ = )", re.MULTILINE)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a text as `leafgate.toml`."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str | bytes) -> Config:
        Path("leafgate.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(Path("leafgate.toml"))

    return load_text


def test_without_a_file_the_default_listens_on_loopback_only():
    config = load_config(None)
    assert [(listener.protocol, listener.host, listener.port) for listener in config.listeners] == [
        ("nats", "127.0.0.1", 4222),
        ("mqtt", "127.0.0.1", 1883),
        ("websocket", "127.0.0.1", 8080),
    ]
    assert (config.monitoring.host, config.monitoring.port) == ("127.0.0.1", 8222)
    assert config.uplinks == ()


def test_empty_file_is_the_default(load):
    assert load("") == Config()


def test_reference_file_is_the_default():
    assert load_config(CONFIGS / "leafgate.toml") == Config()


def test_reference_file_with_its_optional_tables_has_their_defaults(load):
    text = COMMENTED_OUT.sub("", (CONFIGS / "leafgate.toml").read_text())
    config = load(text.replace('data-directory = ""', 'data-directory = "/var/lib/leafgate"'))
    urls = (ServerUrl("nats-leaf", "hub.example", 7422, "user", "password"),)
    (uplink,) = config.uplinks
    plain = {"nkey": None, "password": None, "token": None, "tls": None, "proxy": None}
    denied = {"deny_imports": (), "deny_exports": ()}
    assert msgspec.structs.replace(uplink, **plain, **denied) == Uplink(urls=urls)
    assert uplink.tls == UplinkTls()
    assert uplink.proxy == ProxyUrl("http", "proxy.example", 3128, "user", "password")
    assert config.serial == (Serial(port="/dev/ttyUSB0"),)
    assert config.store_and_forward == (StoreAndForward(subjects=("sensors.>",)),)
    (bridge,) = config.bridges
    topics = (BridgeTopic(filter="sensors/#", remote_prefix="site-7/"),)
    urls = (BrokerUrl("mqtts", "broker.example", 8883),)
    assert bridge.tls == LinkTls()
    assert msgspec.structs.replace(bridge, tls=None, password=None, proxy=None) == Bridge(
        name="cloud", urls=urls, topics=topics, user="site-7"
    )
    (kafka,) = config.kafka
    assert kafka.tls == KafkaTls()
    assert msgspec.structs.replace(kafka, tls=None, password=None, user="", publish=None, properties={}) == Kafka(
        name="plant",
        servers=("broker.example:9092",),
        out=(Out(subject="sensors.*.temperature", topic="temperature", key="$1"),),
        in_=(In(topic="orders.*", subject="orders.$1.{{key}}"),),
        group="leafgate",
    )


def keys_of(kind: inspect.Type, path: str = "") -> set[str]:
    """Every key that a file can have, with the tables in which it stands."""
    if isinstance(kind, inspect.StructType):
        found = {f"{path}{field.encode_name}" for field in kind.fields}
        return found.union(*(keys_of(field.type, f"{path}{field.encode_name}.") for field in kind.fields))
    if isinstance(kind, inspect.VarTupleType):
        return keys_of(kind.item_type, path)
    if isinstance(kind, inspect.UnionType):
        return set().union(*(keys_of(one, path) for one in kind.types))
    return set()


def test_reference_file_names_every_key():
    document = tomllib.loads(COMMENTED_OUT.sub("", (CONFIGS / "leafgate.toml").read_text()))

    def keys(value, path=""):
        if isinstance(value, dict):
            return {key for name, part in value.items() for key in ({f"{path}{name}"} | keys(part, f"{path}{name}."))}
        if isinstance(value, (list, tuple)):
            return {key for part in value for key in keys(part, path)}
        return set()

    named = keys(document)
    # Explained where they come first: the same tables stand in several places.
    repeated = (
        "store-and-forward.when-full.",
        "monitoring.tls.",
        "authentication.default-permissions.",
        "accounts.default-permissions.",
        # In place of user and password.
        "remote-write.token",
        "influx.token",
        "bridges.shared-access-key",
    )
    assert {key for key in keys_of(inspect.type_info(Config)) - named if not key.startswith(repeated)} == set()
    free = (
        "accounts.mappings.",
        "authentication.resolver.preload.",
        "users.password.",
        "uplinks.nkey.",
        "uplinks.password.",
        "uplinks.token.",
        "bridges.password.",
        "kafka.password.",
        "kafka.properties.",
        "rules.fields.",
        "fluent.password.",
        "fluent.shared-key.",
        "remote-write.password.",
        "remote-write.labels.",
        "influx.password.",
        "influx.tags.",
        "sparkplug-node.password.",
        "sparkplug-host.password.",
        "home-assistant.devices.entities.more.",
    )
    assert {key for key in named - keys_of(inspect.type_info(Config)) if not key.startswith(free)} == set()


def test_reference_file_comments_every_key():
    lines = (CONFIGS / "leafgate.toml").read_text().splitlines()
    seen: set[str] = set()
    for before, line in zip(["", *lines], lines, strict=False):
        match = re.match(r"(?:# )?(?P<key>[a-z-]+) = ", line)
        if match and match["key"] not in seen:
            seen.add(match["key"])
            assert before.startswith("# "), f"no comment above {line}"


@pytest.mark.parametrize("path", sorted((CONFIGS / "examples").glob("*.toml")), ids=lambda path: path.name)
def test_example_loads(path):
    assert load_config(path).listeners


BRIDGE = """
[[bridges]]
name = "cloud"
urls = ["mqtt://broker"]
topics = [{ filter = "a/#" }]
"""
PAIR = """
[pair]
secret = "one secret of the two"
sessions = false
"""
LEAFNODES = """
[[listeners]]
protocol = "leafnode"
address = "127.0.0.1:7422"
"""
FAULTS = {
    "pair with a secret that can be guessed": (
        LEAFNODES + PAIR.replace("one secret of the two", "secret"),
        "pair.secret: it has fewer than 16 characters",
    ),
    "pair without a way to the other gateway": (
        '[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:4222"\n' + PAIR,
        "pair.uplink: name the uplink that leads to the other gateway, or have a leafnode listener that it comes to",
    ),
    "pair with an uplink that is not there": (
        PAIR + 'uplink = "other"',
        "pair.uplink: there is no uplink with name = 'other'",
    ),
    "pair in no account": (LEAFNODES + PAIR + 'account = "x"', "pair.account: there is no account 'x'"),
    "pair with streams and none": (
        LEAFNODES + PAIR + 'streams = ["S"]',
        "pair.streams: without a table [streams] there are none",
    ),
    "pair with sessions on no disk": (
        LEAFNODES + PAIR.replace("sessions = false", ""),
        "pair.sessions: without a data-directory there are none to mirror; write sessions = false, or give it one",
    ),
    "pair with an address without a port": (
        LEAFNODES + PAIR + 'nats = ["box-1.local"]',
        "pair.nats[0]: the port is missing, as in box-1.local:4222",
    ),
    "bucket without streams": (
        '[mqtt]\nretained-bucket = "STATE"',
        "mqtt.retained-bucket: without a table [streams] there are no buckets",
    ),
    "bridge without topics": (
        BRIDGE.replace('{ filter = "a/#" }', ""),
        "bridges[0].topics: at least one is needed: nothing else passes a bridge",
    ),
    "bridge without url": (BRIDGE.replace('"mqtt://broker"', ""), "bridges[0].urls: at least one URL is needed"),
    "two bridges of one name": (BRIDGE + BRIDGE, "bridges[1].name: cloud is at bridges[0].name too"),
    "bridge in no account": (BRIDGE + 'account = "x"', "bridges[0].account: there is no account 'x'"),
    "bridge with a scheme of nats": (
        BRIDGE.replace("mqtt:", "nats:"),
        "bridges[0].urls[0]: the scheme must be mqtt:// or mqtts:// or ws:// or wss://",
    ),
    "bridge with a filter that is none": (
        BRIDGE.replace("a/#", "a#"),
        "bridges[0].topics[0].filter: 'a#' is no topic filter, as in sensors/#",
    ),
    "bridge with a wildcard in a prefix": (
        BRIDGE.replace('"a/#"', '"a", local-prefix = "+/"'),
        "bridges[0].topics[0].local-prefix: a prefix is the begin of a topic, without + and #",
    ),
    "bridge with a filter that is nobody's": (
        BRIDGE.replace("a/#", "$MQTT/a"),
        "bridges[0].topics[0].filter: '$MQTT/a' is not for clients",
    ),
    "bridge with a shared filter": (
        BRIDGE.replace("a/#", "$share/a/b"),
        "bridges[0].topics[0].filter: '$share/a/b' is no topic filter, as in sensors/#",
    ),
    "bridge with a password of nobody": (BRIDGE + 'password = "x"', "bridges[0].user: a password needs a user"),
    "bridge with tls and no mqtts": (BRIDGE + "tls = {}", "bridges[0].tls: no URL is mqtts:// or wss://"),
    "bridge with a state topic that is none": (
        BRIDGE + 'state-topic = "a/#"',
        "bridges[0].state-topic: a topic has neither + nor #",
    ),
    "unknown key": ("colour = 1", "colour: unknown key"),
    "misspelt key": (
        "[limits]\nmax-payload-byte = 1",
        "limits.max-payload-byte: unknown key; did you mean max-payload-bytes?",
    ),
    "key in the wrong style": (
        "[limits]\nmax_payload_bytes = 1",
        "limits.max_payload_bytes: unknown key; did you mean max-payload-bytes?",
    ),
    "wrong type": ("[limits]\nmax-payload-bytes = 'a'", "limits.max-payload-bytes: expected an integer, got a string"),
    "boolean for a number": (
        "[limits]\nmax-connections = true",
        "limits.max-connections: expected an integer, got true or false",
    ),
    "range in a table with keys of one's own": (
        '[[accounts]]\nname = "a"\n[accounts.mappings]\nx = [{ to = "y", weight = 0 }]',
        "accounts[0].mappings[...][0].weight: expected an integer >= 1",
    ),
    "table for a value": ("limits = 1", "limits: expected a table, got an integer"),
    "below its range": (
        "[limits]\nmax-payload-bytes = 0",
        "limits.max-payload-bytes: expected an integer >= 1, got 0",
    ),
    "not a number": (
        "[timeouts]\nconnect-seconds = nan",
        "timeouts.connect-seconds: expected a number >= 0.01, got nan",
    ),
    "endless": ("[timeouts]\ndrain-seconds = inf", "timeouts.drain-seconds: expected a number <= 86400.0, got inf"),
    "none of the choices": ("[logging]\nformat = 'xml'", "logging.format: expected json or text, got 'xml'"),
    "name with a space": ("name = 'a b'", "name: expected a string matching regex '^[!-~]*$', got 'a b'"),
    "missing key": ("[[listeners]]\naddress = 'localhost:1'", "listeners[0].protocol: missing"),
    "no listener": (
        "listeners = []",
        "listeners: at least one is needed; leave the key out for the default ones",
    ),
    "payload over the outbox": (
        "[limits]\nmax-payload-bytes = 9000\nmax-pending-bytes = 8000",
        "limits.max-payload-bytes: 9000 is above max-pending-bytes, 8000: no such message could be delivered",
    ),
    "grace over the whole": (
        "[timeouts]\nlame-duck-grace-seconds = 121",
        "timeouts.lame-duck-grace-seconds: 121 is above lame-duck-seconds, 120",
    ),
    "back-off upside down": (
        "[[uplinks]]\nurls = ['nats://h']\nreconnect-min-seconds = 31",
        "uplinks[0].reconnect-min-seconds: 31 is above reconnect-max-seconds, 30",
    ),
    "uplink without URL": ("[[uplinks]]\nurls = []", "uplinks[0].urls: at least one URL is needed"),
    "URL of another type": ("[[uplinks]]\nurls = [5]", "uplinks[0].urls[0]: a URL is a string"),
    "URL of another protocol": (
        "[[uplinks]]\nurls = ['nats://a', 'mqtt://b']",
        "uplinks[0].urls[1]: the scheme must be nats-leaf:// or nats:// or tls:// or ws:// or wss://",
    ),
    "URL with a path": (
        "[[uplinks]]\nurls = ['nats://a/b']",
        "uplinks[0].urls[0]: a URL has no path here; in a user or password write /, ? and # percent-encoded",
    ),
    "WebSocket with a query": (
        "[[uplinks]]\nurls = ['wss://a/b?c']",
        "uplinks[0].urls[0]: the path of a URL is of letters, digits and -._~%/",
    ),
    "proxy of another protocol": (
        "[[uplinks]]\nurls = ['nats://a']\nproxy = 'socks5://b'",
        "uplinks[0].proxy: the scheme must be http://",
    ),
    "user without a password": (
        "[[uplinks]]\nurls = ['nats://a']\nuser = 'edge'",
        "uplinks[0].password: a user has one; a token has a key of its own",
    ),
    "denied subject with a space": (
        "[[uplinks]]\nurls = ['nats://a']\ndeny-exports = ['a', 'b c']",
        "uplinks[0].deny-exports[1]: 'b c' is no subject; write it as local.>",
    ),
    "two uplinks of one name": (
        "[[uplinks]]\nurls = ['nats://a']\nname = 'x'\n[[uplinks]]\nurls = ['nats://b']\nname = 'x'",
        "uplinks[1].name: x is at uplinks[0].name too",
    ),
    "serial port without a device": (
        "[[serial]]\nport = ''",
        "serial[0].port: expected a string of length >= 1, got ''",
    ),
    "serial subject with a wildcard": (
        "[[serial]]\nport = 'a'\nsubject = 'x.*'",
        "serial[0].subject: 'x.*' is no subject; write it as devices.{{name}}",
    ),
    "serial pattern that is none": (
        "[[serial]]\nport = 'a'\npattern = '('",
        "serial[0].pattern: is no regular expression: missing ), unterminated subpattern at position 0",
    ),
    "serial pattern without groups": (
        "[[serial]]\nport = 'a'\npattern = '.*'",
        "serial[0].pattern: needs the groups (?P<subject>...) and (?P<payload>...)",
    ),
    "serial URL without a port": (
        "[[serial]]\nport = 'socket://host'",
        "serial[0].port: a networked port is written as socket://host:port or rfc2217://host:port",
    ),
    "serial URL with a host that is none": (
        "[[serial]]\nport = 'rfc2217://a..b:1'",
        "serial[0].port: 'a..b' is not a host name",
    ),
    "rate of a socket": (
        "[[serial]]\nport = 'socket://host:1'\nauto-baud = true",
        "serial[0].auto-baud: a socket:// port has no rate that could be changed; use rfc2217://",
    ),
    "syntax": ("name = 'a'\n[limits\n", "line 2, column 8: Expected ']' at the end of a table declaration"),
    "unfinished": ("name = 'a", 'end of document: Expected "\'"'),
    "too deep": ("x = " + "[" * 5000, "arrays or tables are nested too deeply"),
    "not text": (b"name = '\xff'", "is not UTF-8 text (byte 9)"),
}


@pytest.mark.parametrize(("text", "complaint"), FAULTS.values(), ids=FAULTS)
def test_fault_is_told_with_file_key_and_cause(load, text, complaint):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"leafgate.toml: {complaint}"


ADDRESS_FAULTS = {
    "127.0.0.1:70000": "the port is above 65535",
    "127.0.0.1:http": "the port is not a number",
    "127.0.0.1:": "the port is not a number",
    "127.0.0.1:-1": "the port is not a number",
    "127.0.0.1": "the port is missing, as in 127.0.0.1:4222",
    "": "the host is missing; every interface is written as 0.0.0.0 or [::]",
    ":4222": "the host is missing; every interface is written as 0.0.0.0 or [::]",
    "::1:4222": "an IPv6 address needs brackets, as in [::1]:4222",
    "[::1:4222": "an IPv6 address is written as [::1]:4222",
    "[127.0.0.1]:4222": "'127.0.0.1' is not an IPv6 address",
    "300.0.0.1:4222": "'300.0.0.1' is not an IPv4 address",
    "my host:4222": "'my host' is not a host name",
}


@pytest.mark.parametrize(("address", "complaint"), ADDRESS_FAULTS.items(), ids=ADDRESS_FAULTS)
def test_address_fault_names_the_listener(load, address, complaint):
    with pytest.raises(ConfigError) as caught:
        load(f"""
            [[listeners]]
            protocol = "nats"
            address = "localhost:4222"
            [[listeners]]
            protocol = "mqtt"
            address = "{address}"
        """)
    assert str(caught.value) == f"leafgate.toml: listeners[1].address: {complaint}"


def test_unreadable_file_is_told(tmp_path):
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError) as caught:
        load_config(missing)
    assert str(caught.value) == f"{missing}: cannot be read: No such file or directory"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback_needs_no_permission(address):
    assert Listener(protocol="nats", address=address).port == 1


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "192.168.1.2:1", "gateway.local:1"])
def test_other_addresses_need_allow_anonymous(address):
    with pytest.raises(ValueError, match=r"^listeners\[0\].address: .* set allow-anonymous = true$"):
        Config(listeners=(Listener(protocol="nats", address=address),))
    with pytest.raises(ValueError, match=r"^monitoring.address: .* set allow-anonymous = true$"):
        Config(monitoring=Monitoring(address=address))
    config = Config(
        listeners=(Listener(protocol="nats", address=address, allow_anonymous=True),),
        monitoring=Monitoring(address=address.replace(":1", ":2"), allow_anonymous=True),
    )
    assert config.listeners[0].port == 1


def test_other_addresses_need_no_permission_where_clients_say_who_they_are():
    listener = Listener(protocol="nats", address="0.0.0.0:1")
    assert Config(listeners=(listener,), users=(User(name="a", password=Secret("b")),)).authenticates


def test_what_leafnodes_are_told_belongs_to_listeners_that_take_them():
    for protocol in ("leafnode", "websocket"):
        Listener(protocol=protocol, address="127.0.0.1:1", isolate=True, advertise=("hub.example:7422",))
    with pytest.raises(ValueError, match="isolate: only leafnode and websocket listeners have it, this one is nats"):
        Listener(protocol="nats", address="127.0.0.1:1", isolate=True)
    with pytest.raises(ValueError, match=r"advertise\[1\]: the port is missing"):
        Listener(protocol="leafnode", address="127.0.0.1:1", advertise=("a:1", "hub.example"))


def test_browser_rules_belong_to_websocket_listeners():
    with pytest.raises(ValueError, match="compression: only websocket listeners have it, this one is nats"):
        Listener(protocol="nats", address="127.0.0.1:1", compression=True)


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "ftp://a", "https://", "https://a:x", "*"])
def test_origin_must_be_one(origin):
    with pytest.raises(ValueError, match=r"^allowed-origins\[1\]: "):
        Listener(protocol="websocket", address="127.0.0.1:1", allowed_origins=("http://a:1", origin))


def test_address_twice_is_refused():
    with pytest.raises(
        ValueError, match=r"^monitoring.address: \[::1\]:5 is the address of listeners\[0\].address too$"
    ):
        Config(listeners=(Listener(protocol="nats", address="[::1]:5"),), monitoring=Monitoring(address="[0::1]:5"))


def test_port_zero_may_be_asked_for_twice():
    listener = Listener(protocol="nats", address="127.0.0.1:0")
    assert len(Config(listeners=(listener, listener)).listeners) == 2


def test_empty_monitoring_address_turns_it_off(load):
    assert load("monitoring.address = ''").monitoring.address == ""


def test_server_name_falls_back_to_the_host_name():
    assert Config(name="edge-1").server_name == "edge-1"
    assert Config().server_name


def test_passwords_are_not_shown(load):
    config = load("[[uplinks]]\nurls = ['nats-leaf://me:t%40psecret@hub']")
    assert config.uplinks[0].urls[0].password == "t@psecret"
    assert "psecret" not in repr(config)
    assert "psecret" not in str(config)


@pytest.mark.parametrize(
    "urls",
    ["'nats://u:psecret@h'", "['nats://u:psecret']", "['nats://u:p/psecret@h']", "['x://u:psecret@h']"],
)
def test_passwords_are_not_shown_in_errors(load, urls):
    with pytest.raises(ConfigError) as caught:
        load(f"[[uplinks]]\nurls = {urls}")
    assert "psecret" not in str(caught.value)


BUFFER = '[[store-and-forward]]\nsubjects = ["sensors.>"]\n'
LINK = 'data-directory = "data"\n[[uplinks]]\nurls = ["nats-leaf://hub"]\n'


def test_buffer_is_for_the_only_uplink_and_has_its_name(load):
    config = load(LINK + 'name = "cloud"\n' + BUFFER + "when-full = { keep-one-in-seconds = 60 }\n")
    (buffer,) = config.store_and_forward
    assert uplinks_of(buffer, config.uplinks) == config.uplinks
    assert name_of(buffer, config.uplinks) == "cloud"
    assert buffer.when_full == KeepOne(keep_one_in_seconds=60)


def named_link(name: str, account: str = "") -> str:
    return LINK[LINK.index("[[") :] + f'name = "{name}"\naccount = "{account}"\n'


def test_buffer_is_for_all_uplinks_that_it_names_in_its_order(load):
    links = 'data-directory = "data"\n' + "".join(named_link(name) for name in "abc")
    config = load(links + BUFFER + 'uplink = ["c", "a"]\n')
    (buffer,) = config.store_and_forward
    assert uplinks_of(buffer, config.uplinks) == (config.uplinks[2], config.uplinks[0])
    assert name_of(buffer, config.uplinks) == "c"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (BUFFER, "store-and-forward[0].uplink: there is no uplink"),
        (
            LINK + 'name = "a"\n' + BUFFER + 'uplink = ["a", "b"]\n',
            "store-and-forward[0].uplink: there is no uplink with name = 'b'",
        ),
        (
            'data-directory = "data"\n[[accounts]]\nname = "x"\n'
            + named_link("a")
            + named_link("b", "x")
            + BUFFER
            + 'uplink = ["a", "b"]\n',
            "store-and-forward[0].uplink: these uplinks are of several accounts",
        ),
        (
            'data-directory = "data"\n'
            + named_link("a")
            + named_link("b")
            + BUFFER
            + 'uplink = "b"\n'
            + BUFFER
            + 'name = "two"\nuplink = ["a", "b"]\n',
            "store-and-forward[1].subjects[0]: sensors.> and sensors.> overlap",
        ),
        (LINK + BUFFER + 'uplink = "north"\n', "store-and-forward[0].uplink: there is no uplink with name = 'north'"),
        (LINK + LINK[LINK.index("[[") :] + BUFFER, "store-and-forward[0].uplink: there are several uplinks"),
        (LINK[LINK.index("[[") :] + BUFFER, "store-and-forward[0].memory: without a data-directory"),
        (LINK + BUFFER + BUFFER, "store-and-forward[1].name: uplink is at store-and-forward[0].name too"),
        (
            LINK + BUFFER + BUFFER + 'name = "two"\n',
            "store-and-forward[1].subjects[0]: sensors.> and sensors.> overlap",
        ),
        (LINK + BUFFER.replace("sensors.>", "$JS.>"), "store-and-forward[0].subjects[0]: '$JS.>' is the servers' own"),
        (LINK + BUFFER.replace("sensors.>", "a..b"), "store-and-forward[0].subjects[0]: 'a..b' is no subject"),
    ],
)
def test_buffer_that_cannot_be_is_refused(load, text, complaint):
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(text)
