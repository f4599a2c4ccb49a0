"""Configuration: the file that lists every key, the defaults, and what is said about each fault."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from gateway.errors import ConfigError
from gateway.settings.addresses import ServerUrl
from gateway.settings.schema import Config, Listener, Monitoring, Serial, Uplink, load_config

CONFIGS = Path(__file__).parents[3] / "configs"
COMMENTED_OUT = re.compile(r"^# (?=# |\[\[|[a-z-]+ = )", re.MULTILINE)


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
    config = load(COMMENTED_OUT.sub("", (CONFIGS / "leafgate.toml").read_text()))
    urls = (ServerUrl("nats-leaf", "hub.example", 7422, "user", "password"),)
    assert config == msgspec.structs.replace(
        Config(), uplinks=(Uplink(urls=urls),), serial=(Serial(port="/dev/ttyUSB0"),)
    )


def test_reference_file_names_every_key():
    document = tomllib.loads(COMMENTED_OUT.sub("", (CONFIGS / "leafgate.toml").read_text()))

    def keys(value, path=""):
        if isinstance(value, dict):
            return {key for name, part in value.items() for key in ({f"{path}{name}"} | keys(part, f"{path}{name}."))}
        if isinstance(value, (list, tuple)):
            return {key for part in value for key in keys(part, path)}
        return set()

    expected = keys(msgspec.to_builtins(Config()))
    expected |= {f"uplinks.{field.encode_name}" for field in msgspec.structs.fields(Uplink)}
    expected |= {f"serial.{field.encode_name}" for field in msgspec.structs.fields(Serial)}
    assert keys(document) == expected


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


FAULTS = {
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
    "URL with TLS": (
        "[[uplinks]]\nurls = ['nats://a', 'tls://b']",
        "uplinks[0].urls[1]: tls:// is not supported yet; use nats-leaf:// or nats://",
    ),
    "serial port without a device": (
        "[[serial]]\nport = ''",
        "serial[0].port: expected a string of length >= 1, got ''",
    ),
    "serial subject with a wildcard": (
        "[[serial]]\nport = 'a'\nsubject = 'x.*'",
        "serial[0].subject: 'x.*' is no subject; write it as devices.{name}",
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
    "127.0.0.1:70000": "port 70000 is above 65535",
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
    with pytest.raises(ValueError, match=r"^address: .* set allow-anonymous = true$"):
        Listener(protocol="nats", address=address)
    with pytest.raises(ValueError, match=r"^address: .* set allow-anonymous = true$"):
        Monitoring(address=address)
    assert Listener(protocol="nats", address=address, allow_anonymous=True).port == 1
    assert Monitoring(address=address, allow_anonymous=True).port == 1


def test_leafnode_listeners_are_refused_with_what_to_use_instead():
    with pytest.raises(ValueError, match="do not exist yet; use nats, mqtt or websocket"):
        Listener(protocol="leafnode", address="127.0.0.1:7422")


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
