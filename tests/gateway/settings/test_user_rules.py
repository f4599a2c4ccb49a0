"""Users and secrets in a configuration: what is said about each fault, and that none of it repeats a secret."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.schema import Config, load_config
from gateway.settings.secret import read_secret
from gateway.settings.security import Authentication, User

KEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
HASH = "$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu"
LISTENER = '[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:0"\n'

BOARD = '[[users]]\nname = "board"\npassword = "x"\n'
SERIAL = '[[serial]]\nport = "/dev/ttyUSB0"\nuser = "board"\n'
MONITORING = '[monitoring]\naddress = "127.0.0.1:0"\nusers = ["board"]\n'


def load(directory: Path, text: str) -> Config:
    file = directory / "leafgate.toml"
    file.write_text(text)
    return load_config(file)


def user(**keys: str) -> str:
    return "[[users]]\n" + "".join(f'{key.replace("_", "-")} = "{value}"\n' for key, value in keys.items())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[users]]\n", "users[0].name: a user has a name, an nkey, or both"),
        (user(nkey=KEY, password="s3cret-word"), "users[0].password: it needs a name with which it is given"),
        (user(name="anna"), "users[0].password: nobody could come in as this user: give it a password or an nkey"),
        (user(name="anna", password=""), "users[0].password: it is empty"),
        (user(name="anna", password=HASH[:-1]), "users[0].password: a bcrypt hash has 60 characters, this one 59"),
        (user(name="anna", password=HASH.replace("$04$", "$31$")), "users[0].password: the cost of the hash is not"),
        (user(name="anna", password=HASH[:-1] + "!"), "users[0].password: there is a character in it"),
        (user(name="anna", password=HASH.replace("$04$", "$٠٤$")), "users[0].password: a hash of a kind"),
        (user(name="anna", password="$7$101$s3cret$s3cret"), "users[0].password: this is no hash as"),
        (user(name="anna", password="$7$99999999$YQ==$" + "A" * 86 + "=="), "users[0].password: this is no hash as"),
        (user(name="anna", password="$6$$" + "A" * 86 + "=="), "users[0].password: this is no hash as"),
        (user(name="anna", password="$argon2id$v=19$s3cret"), "users[0].password: a hash of a kind that is not known"),
        (user(name="anna", password="x") * 2, "users[1].name: anna is at users[0].name too"),
        (user(nkey=KEY) * 2, f"users[1].nkey: {KEY} is at users[0].nkey too"),
        (user(nkey=KEY[:-1] + "A"), "users[0].nkey: the public key of a user is needed"),
        (user(nkey="A" + KEY[1:]), "users[0].nkey: the public key of a user is needed"),
        (user(nkey="1" * 56), "users[0].nkey: the public key of a user is needed"),
        (user(nkey="ü" * 56), "users[0].nkey: the public key of a user is needed"),
        (user(name="anna", password="x", account="plant"), "users[0].account: there is no account plant"),
        ('[[accounts]]\nname = "a"\n' * 2, "accounts[1].name: a is at accounts[0].name too"),
        ('[authentication]\nno-auth-user = "eve"\n', "authentication.no-auth-user: there is no user eve"),
        (LISTENER + 'no-auth-user = "eve"\n', "listeners[0].no-auth-user: there is no user eve"),
        (user(name="anna", password="x") + SERIAL, "serial[0].user: there is no user board"),
        (MONITORING, "monitoring.users[0]: there is no user board"),
        (BOARD + 'connection-types = ["mqtt"]\n' + SERIAL, "serial[0].user: the connection-types of board have not"),
        (BOARD + 'addresses = ["10.0.0.0/8"]\n' + SERIAL, "serial[0].user: board has addresses, and a serial port"),
        (BOARD + 'connection-types = ["mqtt"]\n' + MONITORING, "monitoring.users[0]: the connection-types of board"),
        (
            BOARD + 'connection-types = ["mqtt"]\n' + LISTENER + 'no-auth-user = "board"\n',
            "listeners[0].no-auth-user: the connection-types of board have not nats, so it cannot come here",
        ),
        (
            LISTENER + "allow-anonymous = true\n" + user(name="anna", password="x"),
            "listeners[0].allow-anonymous: users",
        ),
        (user(name="anna", password="x") + 'addresses = ["10.0.0.1/8"]', "users[0].addresses[0]: 10.0.0.1/8 has host"),
        (user(name="anna", password="x") + 'connection-types = ["telnet"]', "users[0].connection-types[0]: expected"),
    ],
)
def test_fault_is_said_where_it_is(tmp_path: Path, text: str, complaint: str):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert f"leafgate.toml: {complaint}" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert HASH[7:40] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        user(name="anna", password=HASH),
        user(nkey=KEY),
        user(name="anna", nkey=KEY, password="x"),
        user(name="anna", password="x", account="$G"),
        user(name="guest") + '[authentication]\nno-auth-user = "guest"\n',
        user(name="board") + '[[serial]]\nport = "/dev/ttyUSB0"\nuser = "board"\n',
        BOARD + 'connection-types = ["serial", "monitoring"]\n' + SERIAL + MONITORING,
        LISTENER + 'tls = { certificate = "c.pem", client-ca = "ca.pem", verify = "map" }\n' + user(name="CN=anna"),
        '[[accounts]]\nname = "plant"\n' + user(name="anna", password="x", account="plant"),
    ],
)
def test_what_is_right_is_taken(tmp_path: Path, text: str):
    assert load(tmp_path, text).users


@pytest.mark.parametrize(
    "text", [user(name="anna", password="x"), user(nkey=KEY), '[authentication]\ntoken = "x"\n'], ids=str.split
)
def test_listener_may_be_reached_from_elsewhere_where_somebody_is_asked(tmp_path: Path, text: str):
    door = '[[listeners]]\nprotocol = "nats"\naddress = "0.0.0.0:4222"\n'
    assert load(tmp_path, door + text).authenticates
    with pytest.raises(ConfigError, match=r"listeners\[0\]\.address: 0\.0\.0\.0 can be reached from other machines"):
        load(tmp_path, door)


def test_only_passwords_that_stand_in_the_file_in_plain_text_are_told_of(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("in a file\n")
    secret.chmod(0o600)
    text = user(name="anna", password="plain") + user(name="ben", password=HASH)
    text += f'[[users]]\nname = "carl"\npassword = {{ file = "{secret}" }}\n'
    assert load(tmp_path, text).plain_passwords == ["anna"]


# Secrets.


def test_secret_comes_from_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "token"
    file.write_bytes(b"in a file\r\n")
    file.chmod(0o640)
    monkeypatch.setenv("LEAFGATE_TOKEN", "in the environment")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret("inline").value == "inline"
    assert read_secret({"file": str(file)}).value == "in a file"
    assert read_secret({"file": str(file)}).path == file
    assert read_secret({"env": "LEAFGATE_TOKEN"}).value == "in the environment"
    assert read_secret({"credential": "token"}).value == "in a file"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o666, 0o777])
def test_secret_that_everybody_can_reach_is_refused(tmp_path: Path, mode: int):
    file = tmp_path / "token"
    file.write_text("s3cret-word")
    file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f'[authentication]\ntoken = {{ file = "{file}" }}\n')
    assert "authentication.token: " in str(caught.value)
    assert "can be read or written by everybody; chmod o-rwx it" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "is not UTF-8 text"), (b"x" * 70_000, "is longer than 65536")],
)
def test_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, complaint: str):
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ValueError, match=complaint):
        read_secret({"file": str(file)})


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"file": "/nowhere/token"}, "cannot be read: no such file"),
        ({"env": "LEAFGATE_NOT_THERE"}, "the environment has no variable"),
        ({"credential": "../token"}, "without /"),
        ({"file": "a", "env": "b"}, "a secret is a text, or"),
        ({"value": "s3cret-word"}, "a secret is a text, or"),
        ({"file": 7}, "as a text"),
        (7, "a secret is a text, or"),
        (["s3cret-word"], "a secret is a text, or"),
    ],
)
def test_secret_that_is_not_there_is_said_to_be_so(given: object, complaint: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    with pytest.raises(ValueError, match=complaint) as caught:
        read_secret(given)
    assert "s3cret" not in str(caught.value)


def test_secret_never_shows_itself():
    secret = read_secret("s3cret-word")
    config = Config(authentication=Authentication(token=secret), users=(User(name="anna", password=secret),))
    assert "s3cret" not in f"{secret} {secret!r} {[secret]} {config}"
    assert secret == read_secret("s3cret-word")
    assert secret != read_secret("other")
