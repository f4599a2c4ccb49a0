"""SCRAM-SHA-256: the example of RFC 7677, an independent client side, and whatever else somebody may say."""

import base64
import io
import os
import unicodedata

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.scram import ScramError, ScramExchange, make_verifier, mock_verifier, parse_verifier
from gateway.command.command_line import main
from gateway.settings.credential_forms import is_verifier

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
USER_NAMES = st.text(st.characters(codec="latin-1", categories=("L", "N", "S", "P")), min_size=1, max_size=20)


def exchange_with(client: scramp.ScramClient, password: str) -> tuple[ScramExchange, bool, bytes]:
    """An exchange up to the proof; whether that is right; and our signature."""
    verifier = make_verifier(password)
    exchange = ScramExchange()
    exchange.first(client.get_client_first().encode())
    client.set_server_first(exchange.challenge(verifier).decode())
    exchange.final(client.get_client_final().encode())
    return exchange, exchange.proves(verifier), exchange.signature(verifier)


def test_example_of_the_standard(monkeypatch: pytest.MonkeyPatch):
    ours = base64.b64decode("aaaa")
    monkeypatch.setattr(os, "urandom", lambda size: ours)
    monkeypatch.setattr("gateway.accounts.scram.encode", lambda data: encoded(data, ours))
    exchange = ScramExchange()
    exchange.first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    verifier = make_verifier("pencil", 4096, SALT)
    challenge = exchange.challenge(verifier)
    assert challenge == b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    exchange.final(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert exchange.proves(verifier)
    assert exchange.signature(verifier) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def encoded(data: bytes, ours: bytes) -> str:
    return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" if data == ours else base64.b64encode(data).decode()


@pytest.mark.parametrize("password", ["pencil", "größe ½", "no\N{NO-BREAK SPACE}break"])
def test_client_of_others_and_we_recognise_each_other(password: str):
    client = scramp.ScramClient(["SCRAM-SHA-256"], "Zoë, a=b", password)
    exchange, is_right, signature = exchange_with(client, password)
    assert (exchange.user, is_right) == ("Zoë, a=b", True)
    client.set_server_final(signature.decode())


def test_client_with_another_password_is_not_recognised():
    client = scramp.ScramClient(["SCRAM-SHA-256"], "user", "pencil")
    _, is_right, signature = exchange_with(client, "pencils")
    assert not is_right
    with pytest.raises(scramp.ScramException):
        client.set_server_final(signature.decode())


def test_proof_of_one_exchange_is_none_in_another():
    client = scramp.ScramClient(["SCRAM-SHA-256"], "user", "pencil")
    first, verifier = client.get_client_first().encode(), make_verifier("pencil")
    exchange, again = ScramExchange(), ScramExchange()
    for one in (exchange, again):
        one.first(first)
    again.challenge(verifier)
    client.set_server_first(exchange.challenge(verifier).decode())
    final = client.get_client_final().encode()
    exchange.final(final)
    assert exchange.proves(verifier)
    with pytest.raises(ScramError, match="not the header and the nonce"):
        again.final(final)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,,n=user",
        b"n,,n=,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=user,r=",
        b"n,,n=user,r=a\x7fc",
        b"n,,m=ext,n=user,r=abc",
        b"n,a=root,n=user,r=abc",
        b"p=tls-unique,,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"\xff",
        b"n,,n=user,r=" + bytes(5000),
    ],
)
def test_first_message_that_is_none_is_refused_without_being_repeated(message: bytes):
    with pytest.raises(ScramError) as caught:
        ScramExchange().first(message)
    assert b"user" not in str(caught.value).encode().replace(b"user name", b"").replace(b"no user and", b"")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_is_said_is_an_error_or_no_proof(first: bytes, final: bytes):
    exchange, verifier = ScramExchange(), make_verifier("pencil", 4096, SALT)
    try:
        exchange.first(first)
        exchange.challenge(verifier)
        exchange.final(final)
    except ScramError:
        return
    assert not exchange.proves(verifier)


def test_verifier_is_the_same_behind_its_text_which_others_can_read():
    verifier = make_verifier("pencil", 4096, SALT)
    assert is_verifier(str(verifier))
    assert parse_verifier(str(verifier)) == verifier
    mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
    salt, stored_key, server_key, iterations = mechanism.make_auth_info("pencil", 4096, SALT)
    assert (salt, stored_key, server_key, iterations) == (SALT, verifier.stored_key, verifier.server_key, 4096)
    assert "pencil" not in repr(verifier)
    assert "stored_key" not in repr(verifier)


@pytest.mark.parametrize(
    "text", ["", "SCRAM-SHA-256", "SCRAM-SHA-256$4096:YQ==$YQ==:YQ==", "SCRAM-SHA-1$4096:YQ==$a:b"]
)
def test_text_that_is_no_verifier(text: str):
    assert not is_verifier(text)


def test_verifier_of_few_iterations_is_none():
    assert not is_verifier(str(make_verifier("pencil", 4095, SALT)))


def test_who_does_not_exist_has_a_verifier_of_his_own_that_stays():
    one, again, other = (mock_verifier(b"key", name, 4096) for name in ("anna", "anna", "bert"))
    assert one == again
    assert one.salt != other.salt
    assert len(one.salt) == len(make_verifier("x").salt)


@given(USER_NAMES)
def test_names_come_through(name: str):
    exchange = ScramExchange()
    exchange.first(scramp.ScramClient(["SCRAM-SHA-256"], name, "x").get_client_first().encode())
    assert exchange.user == unicodedata.normalize("NFKC", name)


def test_verifier_that_the_command_prints_is_one_of_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.stdin", io.StringIO("pencil of some length\n"))
    assert main(["passwd", "--scram", "--stdin"]) == 0
    printed = parse_verifier(capsys.readouterr().out.strip())
    assert make_verifier("pencil of some length", printed.iterations, printed.salt) == printed
