"""mosquitto's configuration becomes ours; mosquitto_passwd itself makes the passwords."""

import subprocess
from pathlib import Path

import pytest

from gateway.command.importing.imported import Imported
from gateway.command.importing.mosquitto import import_mosquitto
from gateway.command.importing.toml_text import toml_text
from gateway.errors import ConfigError
from gateway.settings.schema import Config, load_config
from gateway.settings.security import SubjectRule
from tests.integration.peers import require_peer


def convert(tmp_path: Path, text: str) -> tuple[Config, Imported]:
    path = tmp_path / "mosquitto.conf"
    path.write_text(text)
    imported = import_mosquitto(path)
    ours = tmp_path / "leafgate.toml"
    ours.write_text(toml_text(imported.document))
    return load_config(ours), imported


def passwords(tmp_path: Path, **users: str) -> None:
    program = require_peer("mosquitto_passwd")
    file = tmp_path / "passwords"
    file.touch()
    for name, password in users.items():
        subprocess.run([program, "-b", str(file), name, password], check=True, capture_output=True)


def test_listeners_and_limits(tmp_path: Path):
    config, imported = convert(
        tmp_path,
        """
        # a site
        listener 1883 127.0.0.1
        listener 8080 127.0.0.1
        protocol websockets
        max_inflight_messages 20
        max_queued_messages 500
        message_size_limit 100000
        persistence true
        persistence_location /var/lib/mosquitto/
        allow_anonymous true
        connection bridge
        """,
    )
    assert [(one.protocol, one.address) for one in config.listeners] == [
        ("mqtt", "127.0.0.1:1883"),
        ("websocket", "127.0.0.1:8080"),
    ]
    assert (config.mqtt.max_inflight, config.mqtt.max_queued_messages) == (20, 500)
    assert config.limits.max_payload_bytes == 100_000
    assert config.data_directory == "/var/lib/mosquitto/"
    assert imported.notes == ["mosquitto.conf:12: connection has no counterpart"]


def test_passwords_and_access_lists(tmp_path: Path):
    passwords(tmp_path, anna="secret", bert="word")
    (tmp_path / "access").write_text(
        "topic read public/#\n\nuser anna\ntopic sensors/1/#\ntopic deny sensors/1/admin\ntopic write log/anna\n\n"
        "user nobody\ntopic x\n\npattern readwrite private/%u/+\npattern read of/%c\n"
    )
    config, imported = convert(
        tmp_path,
        "listener 1883\npassword_file passwords\nacl_file access\nallow_anonymous false\n",
    )
    assert not config.listeners[0].allow_anonymous
    anna, bert = config.users
    assert anna.password is not None
    assert anna.password.value.startswith("$7$")
    assert anna.permissions is not None
    assert anna.permissions.publish == SubjectRule(
        allow=("sensors.1.>", "sensors.1", "log.anna", "private.anna.*"), deny=("sensors.1.admin",)
    )
    assert anna.permissions.subscribe == SubjectRule(
        allow=("sensors.1.>", "sensors.1", "private.anna.*"), deny=("sensors.1.admin",)
    )
    assert bert.permissions is not None
    assert bert.permissions.publish == SubjectRule(allow=("private.bert.*",))
    assert [note.partition(" ")[0] for note in imported.notes] == ["access:", "access:9:", "access:12:"]


def test_user_with_a_hash_of_another_kind_is_left_out(tmp_path: Path):
    (tmp_path / "passwords").write_text("anna:$argon2id$v=19$m=47104,t=1,p=1$YWJj$YWJj\nbert:plain\ncarl:$7$x$y$z\n")
    config, imported = convert(tmp_path, "listener 1883\npassword_file passwords\n")
    assert [user.name for user in config.users] == ["bert"]
    assert [note.partition(" ")[0] for note in imported.notes] == ["passwords:1:", "passwords:2:", "passwords:3:"]
    assert not any("argon2id" in note for note in imported.notes)


@pytest.mark.parametrize("access", ["", "acl_file access\n"])
def test_anonymous_user_passes_the_check(tmp_path: Path, access: str):
    passwords(tmp_path, anna="secret")
    (tmp_path / "access").write_text("topic read public/#\n")
    config, _ = convert(tmp_path, f"listener 1883\npassword_file passwords\nallow_anonymous true\n{access}")
    assert config.authentication.no_auth_user == "anonymous"
    assert [user.name for user in config.users] == ["anna", "anonymous"]


def test_who_may_come_without_a_name_is_a_user_of_its_own(tmp_path: Path):
    passwords(tmp_path, anna="secret")
    (tmp_path / "access").write_text("topic read public/#\nuser anna\ntopic #\n")
    document = convert_document(
        tmp_path, "listener 1883\npassword_file passwords\nacl_file access\nallow_anonymous true\n"
    )
    assert document["authentication"] == {"no-auth-user": "anonymous"}
    users = {user["name"]: user["permissions"] for user in document["users"]}
    assert users["anonymous"] == {"subscribe": {"allow": ["public.>", "public"]}, "publish": {"allow": []}}
    assert users["anna"]["publish"] == {"allow": [">"]}


def convert_document(tmp_path: Path, text: str) -> dict:
    path = tmp_path / "mosquitto.conf"
    path.write_text(text)
    return import_mosquitto(path).document


def test_tls(tmp_path: Path):
    document = convert_document(
        tmp_path,
        "listener 8883\ncafile ca.pem\ncertfile s.pem\nkeyfile s.key\n"
        "require_certificate true\nuse_identity_as_username true\n",
    )
    assert document["listeners"][0]["tls"] == {
        "certificate": "s.pem",
        "client-ca": "ca.pem",
        "verify": "map",
        "key": "s.key",
    }


def test_server_that_asks_nobody_says_so(tmp_path: Path):
    config, imported = convert(tmp_path, "listener 1883\nallow_anonymous true\n")
    assert config.listeners[0].allow_anonymous
    assert imported.notes == ["listener 0.0.0.0:1883: nobody is asked who he is: allow-anonymous"]


def test_without_a_listener_it_is_the_local_one(tmp_path: Path):
    config, _ = convert(tmp_path, "")
    assert [one.address for one in config.listeners] == ["127.0.0.1:1883"]


def test_number_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"^mosquitto.conf:1: 'x' is no number$"):
        convert(tmp_path, "listener x\n")
