"""Users in files of their own beside the configuration's."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.schema import Config, load_config
from gateway.settings.user_files import read_user_files, remove_user_file, write_user_file

NKEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
HASH = "$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu"


def configured(tmp_path: Path, text: str = "") -> Config:
    file = tmp_path / "leafgate.toml"
    file.write_text(f'[authentication]\nusers-directory = "{tmp_path / "users"}"\n{text}')
    return load_config(file)


def test_users_of_files_come_behind_those_of_the_configuration(tmp_path: Path):
    directory = tmp_path / "users"
    write_user_file(directory, "shed", [("nkey", NKEY), ("permissions.publish.allow", ["a.>", 'q"uote'])])
    write_user_file(directory, "barn", [("password", HASH), ("permissions.allow-responses", True)])
    (directory / "README").write_text("no user")
    (directory / ".draft.toml").write_text("no user")
    config = configured(tmp_path, f'[[users]]\nname = "anna"\npassword = "{HASH}"')
    assert [user.name for user in config.users] == ["anna", "barn", "shed"]
    barn, shed = config.users[1:]
    assert barn.password is not None
    assert barn.password.value == HASH
    assert barn.permissions is not None
    assert barn.permissions.allow_responses is True
    assert shed.nkey == NKEY
    assert shed.permissions is not None
    assert shed.permissions.publish is not None
    assert shed.permissions.publish.allow == ("a.>", 'q"uote')
    assert config.authenticates
    assert config.challenges


def test_directory_without_users_still_asks_who_comes(tmp_path: Path):
    (tmp_path / "users").mkdir()
    config = configured(tmp_path, '[[listeners]]\nprotocol = "nats"\naddress = "0.0.0.0:4222"')
    assert config.users == ()
    assert config.authenticates


def test_directory_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"authentication\.users-directory: .*users: no such file or directory"):
        configured(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("shed", 'password = "plain-words"', "only a hash may stand here"),
        ("shed", f'name = "barn"\npassword = "{HASH}"', "the user has the name of its file"),
        ("sh ed", f'password = "{HASH}"', "the user has the name of its file"),
        ("shed", "password = plain-words", "is no TOML"),
        ("shed", "", "nobody could come in as this user"),
        ("shed", f'password = "{HASH}"\naccount = "nowhere"', "there is no account nowhere"),
        ("shed", f'pasword = "{HASH}"', "unknown key; did you mean password"),
        ("anna", f'password = "{HASH}"', "anna is at users"),
        ("shed", "#" * 100_000, "is longer than"),
    ],
)
def test_file_that_is_wrong_is_told_and_its_secrets_are_not(tmp_path: Path, name: str, text: str, complaint: str):
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / f"{name}.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, f'[[users]]\nname = "anna"\npassword = "{HASH}"')
    assert complaint in str(caught.value)
    assert "plain-words" not in str(caught.value)
    assert HASH not in str(caught.value)


def test_user_is_never_written_over(tmp_path: Path):
    path = write_user_file(tmp_path, "shed", [("nkey", NKEY)])
    with pytest.raises(ConfigError, match="there is such a user"):
        write_user_file(tmp_path, "shed", [("password", HASH)])
    assert path.read_text() == f'nkey = "{NKEY}"\n'
    assert [one.name for one in tmp_path.iterdir()] == ["shed.toml"]


def test_user_that_is_removed_is_none_any_more(tmp_path: Path):
    write_user_file(tmp_path, "shed", [("nkey", NKEY)])
    remove_user_file(tmp_path, "shed")
    assert read_user_files(tmp_path) == []
    with pytest.raises(ConfigError, match="there is no such user"):
        remove_user_file(tmp_path, "shed")


@pytest.mark.parametrize("name", ["", "../shed", "a/b", ".hidden", "x" * 129])
def test_name_that_is_no_file(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match="cannot be the name of a user's file"):
        write_user_file(tmp_path, name, [])
    with pytest.raises(ConfigError, match="cannot be the name of a user's file"):
        remove_user_file(tmp_path, name)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[monitoring]\nusers = ["nobody"]', r"monitoring\.users\[0\]"),
        ('[[serial]]\nport = "/dev/x"\nuser = "nobody"', r"serial\[0\]\.user"),
    ],
)
def test_user_that_is_named_and_not_there(tmp_path: Path, text: str, place: str):
    (tmp_path / "users").mkdir()
    with pytest.raises(ConfigError, match=f"{place}: there is no user nobody"):
        configured(tmp_path, text)
