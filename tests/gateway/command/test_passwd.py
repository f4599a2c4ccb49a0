"""`leafgate passwd` and `leafgate nkey`: what they print is taken by others and by the configuration."""

import getpass
import io

import bcrypt
import nkeys
import pytest

from gateway.command.command_line import EXIT_FAILURE, EXIT_OK, main
from gateway.settings.credential_forms import hash_fault
from gateway.settings.security import User


def typed(monkeypatch: pytest.MonkeyPatch, *passwords: str) -> None:
    answers = iter(passwords)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(answers))


def test_hash_is_of_what_was_typed_twice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    typed(monkeypatch, "a long wonderland", "a long wonderland")
    assert main(["passwd", "--cost", "4"]) == EXIT_OK
    told = capsys.readouterr()
    assert bcrypt.checkpw(b"a long wonderland", told.out.strip().encode())
    assert hash_fault(told.out.strip()) == ""
    assert told.err == ""


def test_password_may_come_on_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.stdin", io.StringIO("wönder \nland\n"))
    assert main(["passwd", "--cost", "4", "--stdin"]) == EXIT_OK
    told = capsys.readouterr()
    assert bcrypt.checkpw("wönder ".encode(), told.out.strip().encode())
    assert "7 characters is found by trying; take 12 or more" in told.err
    assert "wönder" not in told.err


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("", "an empty password would let everybody in"),
        ("ü" * 37, "bcrypt reads 72 bytes of a password, this one has 74"),
    ],
)
def test_password_that_cannot_be_hashed_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str, complaint: str
):
    typed(monkeypatch, said, said)
    assert main(["passwd"]) == EXIT_FAILURE
    told = capsys.readouterr()
    assert complaint in told.err
    assert told.out == ""


def test_two_different_passwords_are_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    typed(monkeypatch, "wonderland-1", "wonderland-2")
    assert main(["passwd"]) == EXIT_FAILURE
    assert capsys.readouterr().err == "leafgate: those are two different passwords\n"


@pytest.mark.parametrize("cost", ["3", "18", "x", "-4"])
def test_cost_is_one_that_the_configuration_takes(cost: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["passwd", "--cost", cost])
    assert "is not between 4 and 14" in capsys.readouterr().err or cost == "-4"


def test_key_pair_is_one_of_a_user(capsys: pytest.CaptureFixture[str]):
    assert main(["nkey"]) == EXIT_OK
    seed, public = capsys.readouterr().out.split()
    pair = nkeys.from_seed(seed.encode())
    assert pair.public_key.decode() == public
    assert User(nkey=public).nkey == public
