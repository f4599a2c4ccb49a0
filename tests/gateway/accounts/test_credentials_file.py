"""Credentials files: the JWT and the seed in them, found as nats-server's regular expression finds them."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounts import nkeys
from gateway.accounts.credentials_file import (
    CredentialsFileError,
    decorated,
    parse_credentials,
    read_credentials,
    undecorated,
)
from gateway.accounts.nkeys import KeyPair
from gateway.settings.secret import Secret

USER = KeyPair.new(nkeys.USER)
FILE = f"""-----BEGIN NATS USER JWT-----
eyJ0.eyJq.c2ln
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
{USER.seed.value}
------END USER NKEY SEED------

*************************************************************
"""
# nats-server/server/leafnode.go, credsRe; it finds what it finds in Go's way.
THEIRS = re.compile(r"\s*(?:(?:[-]{3,}.*[-]{3,}\r?\n)([A-Za-z0-9_\-.=]+)(?:\r?\n[-]{3,}.*[-]{3,}(\r?\n|\Z)))")


@pytest.mark.parametrize("text", [FILE, FILE.replace("\n", "\r\n"), FILE.rstrip("*\n")])
def test_a_file_has_a_jwt_and_a_key(text: str):
    found = parse_credentials(Secret(text))
    assert (found.jwt, found.key.public) == ("eyJ0.eyJq.c2ln", USER.public)


@pytest.mark.parametrize(
    "text",
    ["", "eyJ0.eyJq.c2ln", FILE[:120], FILE.replace(USER.seed.value, "SUAAAA"), FILE.replace("-----B", "--B")],
)
def test_a_damaged_file_is_refused_without_being_repeated(text: str, tmp_path: Path):
    path = tmp_path / "ann.creds"
    path.write_text(text or " ")
    path.chmod(0o600)
    with pytest.raises(CredentialsFileError) as caught:
        read_credentials(str(path))
    told = str(caught.value)
    assert str(path) in told
    assert "eyJ" not in told
    assert USER.seed.value not in told


def test_a_file_that_everybody_may_read_is_refused(tmp_path: Path):
    path = tmp_path / "ann.creds"
    path.write_text(FILE)
    path.chmod(0o644)
    with pytest.raises(CredentialsFileError, match="chmod"):
        read_credentials(str(path))


def test_credentials_do_not_tell_what_they_hold():
    told = repr(parse_credentials(Secret(FILE)))
    assert USER.seed.value not in told
    assert "eyJ" not in told


def test_a_token_may_stand_alone_or_between_lines():
    assert undecorated(" eyJ0.a.b\n") == "eyJ0.a.b"
    assert undecorated("-----BEGIN A-----\neyJ0.a.b\n------END A------\n") == "eyJ0.a.b"


LINES = st.lists(
    st.sampled_from(["---a---", "------", "-----", "---", "--a--", "x---y---", "---a", "word", "a b", "", "-_.=", "é"]),
    max_size=12,
)


@settings(max_examples=1000)
@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_blocks_are_those_that_nats_server_finds(lines: list[str], end: str, ends_last: bool):
    text = end.join(lines) + (end if ends_last else "")
    assert decorated(text) == [found[0] for found in THEIRS.findall(text)]
