"""NKeys: the same keys, texts and signatures as another implementation of them (PyPI nkeys)."""

import base64
import os

import nkeys as other
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts import nkeys
from gateway.accounts.nkeys import CurvePair, KeyPair, NKeyError

KINDS = {
    nkeys.SERVER: other.PREFIX_BYTE_SERVER,
    nkeys.CLUSTER: other.PREFIX_BYTE_CLUSTER,
    nkeys.OPERATOR: other.PREFIX_BYTE_OPERATOR,
    nkeys.ACCOUNT: other.PREFIX_BYTE_ACCOUNT,
    nkeys.USER: other.PREFIX_BYTE_USER,
}
# nkeys and nkeys-js write it into their documentation.
KNOWN_SEED = "SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY"


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_made_elsewhere_is_the_same_key_here(kind: str) -> None:
    seed = bytes(other.encode_seed(os.urandom(32), KINDS[kind])).decode()
    theirs, ours = other.from_seed(bytearray(seed.encode())), KeyPair.of_seed(seed)
    assert ours.public == bytes(theirs.public_key).decode()
    assert ours.public.startswith(kind)
    assert ours.seed.value == seed
    assert nkeys.verify(ours.public, b"nonce", theirs.sign(b"nonce"))
    theirs.verify(b"nonce", ours.sign(b"nonce"))


def test_a_signature_is_taken_in_both_alphabets_and_fits_one_message_and_one_key() -> None:
    pair = KeyPair.of_seed(KNOWN_SEED)
    signature = pair.sign(b"nonce")
    for text in (
        nkeys.encode_signature(signature),
        base64.b64encode(signature).decode(),
        base64.urlsafe_b64encode(signature).decode(),
    ):
        assert nkeys.verify_text(pair.public, b"nonce", text)
        assert not nkeys.verify_text(pair.public, b"ecnon", text)
        assert not nkeys.verify_text(KeyPair.new(nkeys.USER).public, b"nonce", text)


@pytest.mark.parametrize("text", ["", "=", "AA", "é", "A" * 86, "A" * 5000, "=" * 5000])
def test_what_is_no_signature_is_refused(text: str) -> None:
    assert not nkeys.verify_text(KeyPair.of_seed(KNOWN_SEED).public, b"nonce", text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        KNOWN_SEED[:-1],
        KNOWN_SEED + "A",
        KNOWN_SEED.lower(),
        KNOWN_SEED[:20] + "A" + KNOWN_SEED[21:],
        "SX" + KNOWN_SEED[2:],
        KNOWN_SEED[:-1] + "Z",
    ],
)
def test_a_damaged_seed_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(NKeyError) as caught:
        KeyPair.of_seed(text)
    assert not text or text not in str(caught.value)


def test_a_key_is_taken_for_what_it_is_for_only() -> None:
    public = KeyPair.of_seed(KNOWN_SEED).public
    assert nkeys.is_public(public, nkeys.USER)
    assert not nkeys.is_public(public, nkeys.ACCOUNT)
    assert not nkeys.is_public("A" + public[1:], nkeys.ACCOUNT)
    assert not nkeys.is_public(public[:-1] + ("A" if public[-1] != "A" else "B"), nkeys.USER)


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_an_error(text: str) -> None:
    assert not nkeys.is_public(text, text[:1])
    with pytest.raises(NKeyError):
        nkeys.decode_seed(text)


def test_keys_do_not_tell_their_seed() -> None:
    pair, curve = KeyPair.new(nkeys.USER), CurvePair.new()
    assert pair.seed.value not in f"{pair!r} {pair} {pair.seed!r}"
    assert curve.seed.value not in f"{curve!r} {curve} {curve.seed!r}"


def test_what_a_curve_key_seals_only_the_other_one_opens() -> None:
    sender, receiver, stranger = CurvePair.new(), CurvePair.of_seed(CurvePair.new().seed.value), CurvePair.new()
    sealed = sender.seal(b"hello", receiver.public)
    assert sealed.startswith(b"xkv1")
    assert receiver.open(sealed, sender.public) == b"hello"
    for opener, author, what in (
        (stranger, sender, sealed),
        (receiver, stranger, sealed),
        (receiver, sender, sealed[:-1] + bytes((sealed[-1] ^ 1,))),
        (receiver, sender, b"xkv2" + sealed[4:]),
        (receiver, sender, b"xkv1"),
    ):
        with pytest.raises(NKeyError):
            opener.open(what, author.public)
