"""Whatever peers and files say of credentials, it is understood or refused in the words for it, and nothing else."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.accounts import jwt, nkeys
from gateway.accounts.certificates import parse_name
from gateway.accounts.credentials_file import CredentialsFileError, parse_credentials
from gateway.accounts.scram import MECHANISM, ScramError, ScramExchange, make_verifier, parse_verifier
from gateway.monitoring.guard import login_in
from gateway.settings.credential_forms import is_user_key, is_verifier
from gateway.settings.secret import Secret
from gateway.transport.tls_files import read_shared_keys

VERIFIER = make_verifier("pencil")
PAIR = nkeys.KeyPair.new(nkeys.USER)
CREDENTIALS = f"-----BEGIN-----\na.b.c\n------END------\n\n-----BEGIN-----\n{PAIR.seed.value}\n------END------\n"
KEY_LETTERS = st.text(alphabet="SUOANCXabc234567ABCDEF= \n\u0661", max_size=64)
PIECES = st.sampled_from(
    ["n", "y", "p=x", ",", "n=", "r=", "a=", "=2C", "=3D", "=", "\u00ad", "\ufdfa", "x", "\0", "c=", "p="]
)


def refused(error: type[Exception], call, *arguments: object) -> bool:  # type: ignore[no-untyped-def]
    """Whether it was refused; any other exception comes out."""
    try:
        call(*arguments)
    except error:
        return True
    return False


@given(text=KEY_LETTERS | st.text(max_size=60))
@example(text=PAIR.public[:-1] + "\u0130")
def test_keys(text: str) -> None:
    assert nkeys.is_public(text, nkeys.USER) == is_user_key(text)
    assert refused(nkeys.NKeyError, nkeys.decode_seed, text) or len(text) == 58
    nkeys.decode_signature(text)
    nkeys.verify_text(PAIR.public, b"nonce", text)


@given(place=st.integers(0, 57), letter=st.characters())
def test_seed_with_another_letter_is_refused_without_it(place: int, letter: str) -> None:
    text = PAIR.seed.value[:place] + letter + PAIR.seed.value[place + 1 :]
    if text == PAIR.seed.value:
        return
    with pytest.raises(nkeys.NKeyError) as caught:
        nkeys.KeyPair.of_seed(text)
    assert text[10:30] not in str(caught.value)


@given(
    place=st.integers(0, len(CREDENTIALS)),
    inserted=st.text(alphabet="-\n\r a.\0\u0661", max_size=6),
    gap=st.integers(0, 9),
)
def test_credentials_files(place: int, inserted: str, gap: int) -> None:
    text = CREDENTIALS[:place] + inserted + CREDENTIALS[place + gap :]
    said = ""
    try:
        found = parse_credentials(Secret(text))
        assert found.key.public == PAIR.public
        said = repr(found)
    except CredentialsFileError as error:
        said = str(error)
    assert PAIR.seed.value[8:20] not in said


@given(
    parts=st.lists(st.binary(max_size=40) | st.just(b'{"typ":"JWT","alg":"ed25519-nkey"}'), max_size=4),
    raw=st.text(max_size=30),
)
@example(parts=[jwt.HEADER, b"[" * 100_000, b""], raw="")
@example(parts=[jwt.HEADER, b'{"iat":1e999,"exp":NaN}', b"x" * 64], raw="")
@example(parts=[jwt.HEADER, b'{"iss":7,"sub":null,"nats":[]}', b"x" * 64], raw="")
@example(parts=[jwt.HEADER, b'{"exp":' + b"9" * 5000 + b"}", b"x" * 64], raw="")
def test_tokens(parts: list[bytes], raw: str) -> None:
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    for text in (token, token + raw, raw):
        for read in (jwt.UserClaims, jwt.AccountClaims, jwt.OperatorClaims):
            assert refused(jwt.JwtError, jwt.decode, text, read)


@given(text=st.text(max_size=80) | st.text(alphabet="SCRAM-HA256$:=409a+/", max_size=80), place=st.integers(0, 120))
@example(text="", place=0)
def test_verifiers(text: str, place: int) -> None:
    for one in (text, f"{MECHANISM}${text}", str(VERIFIER)[:place] + text + str(VERIFIER)[place:]):
        if is_verifier(one):
            assert parse_verifier(one).iterations >= 4096


@given(
    first=st.lists(PIECES, max_size=9).map("".join),
    final=st.lists(PIECES, max_size=9).map("".join),
    raw=st.binary(max_size=40),
)
@example(first="n,,n=\u00ad,r=x", final="", raw=b"")
def test_scram(first: str, final: str, raw: bytes) -> None:
    for message in (first.encode(), b"n,," + first.encode(), b"n,,n=" + first.encode() + b",r=x", raw):
        exchange = ScramExchange()
        if refused(ScramError, exchange.first, message):
            continue
        assert exchange.user
        challenge = exchange.challenge(VERIFIER).decode()
        nonce = challenge.partition(",")[0]
        for answer in (final, f"c=biws,{nonce},p={final}", f"c=biws,{nonce},p={'A' * 43}="):
            if not refused(ScramError, exchange.final, answer.encode()):
                assert not exchange.proves(VERIFIER)


@given(field=st.binary(max_size=60), login=st.binary(max_size=40))
def test_basic_authentication(field: bytes, login: bytes) -> None:
    assert login_in(field) is None or field[:5].lower() == b"basic"
    for encoded in (base64.b64encode(login), base64.b64encode(login) + field):
        found = login_in(b"Basic " + encoded)
        assert found is None or found[0]


@given(text=st.text(max_size=50) | st.text(alphabet='CNOU=,;+"\\ #<>12.a', max_size=50))
def test_distinguished_names(text: str) -> None:
    name = parse_name(text)
    assert name is None or all(name)


@given(content=st.binary(max_size=80) | st.text(alphabet="ab01:#\n \u2028", max_size=80).map(str.encode))
@example(content=b"anna:" + b"00" * 300)
def test_files_of_shared_keys(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "shared-keys"
    file.touch(mode=0o600)
    file.write_bytes(content)
    if not refused(ValueError, read_shared_keys, file):
        assert all(identity and 0 < len(key) <= 256 for identity, key in read_shared_keys(file).items())
