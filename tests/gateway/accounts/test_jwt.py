"""JWTs: what is one, what is none, and that nothing else comes of any text."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounts import nkeys
from gateway.accounts.jwt import (
    LONGEST,
    LONGEST_USER,
    AccountClaims,
    ActivationClaims,
    Claims,
    DeletionClaims,
    JwtError,
    OperatorClaims,
    ResponseClaims,
    Role,
    UserClaims,
    decode,
    encode,
    is_revoked,
)
from gateway.accounts.nkeys import KeyPair

ACCOUNT = KeyPair.new(nkeys.ACCOUNT)
USER = KeyPair.new(nkeys.USER)
SHAPES: list[type[Claims]] = [
    OperatorClaims,
    AccountClaims,
    UserClaims,
    ActivationClaims,
    ResponseClaims,
    DeletionClaims,
]


def user_claims(**more: Any) -> dict[str, Any]:
    return {"sub": USER.public, "name": "ann", "nats": {"type": "user", "version": 2, "subs": -1, **more}}


def signed(pair: KeyPair, header: Any, claims: Any, over_header: bool = True) -> str:
    """A token of any header and claims, whether or not there is such a one."""
    chunks = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in (header, claims)]
    message = ".".join(chunks) if over_header else chunks[1]
    return f"{chunks[0]}.{chunks[1]}.{nkeys.encode_signature(pair.sign(message.encode()))}"


HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
HEADER_CHUNK = base64.urlsafe_b64encode(json.dumps(HEADER).encode()).rstrip(b"=").decode()


def test_a_token_says_who_signed_it_and_what():
    claims = decode(encode(ACCOUNT, user_claims(tags=["a:b"], pub={"allow": ["x"]})), UserClaims)
    assert (claims.issuer, claims.subject, claims.name) == (ACCOUNT.public, USER.public, "ann")
    assert (claims.user.tags, claims.user.pub.allow, claims.user.subs) == (("a:b",), ("x",), -1)
    assert claims.issued_at > 0


def test_a_token_of_the_first_version_is_signed_over_its_claims_alone():
    claims = {
        "type": "user",
        "iss": ACCOUNT.public,
        "sub": USER.public,
        "tags": ["x"],
        "nats": {"src": "10.0.0.0/8, ::/0"},
    }
    header = {"typ": "jwt", "alg": "ed25519"}
    read = decode(signed(ACCOUNT, header, claims, over_header=False), UserClaims)
    assert (read.user.subs, read.user.payload, read.user.tags) == (-1, -1, ("x",))
    assert read.user.networks == ("10.0.0.0/8", "::/0")
    with pytest.raises(JwtError, match="signature"):
        decode(signed(ACCOUNT, header, claims), UserClaims)


def test_a_token_of_the_second_version_is_signed_over_its_header_too():
    claims = {"iss": ACCOUNT.public, **user_claims()}
    decode(signed(ACCOUNT, HEADER, claims), UserClaims)
    with pytest.raises(JwtError, match="signature"):
        decode(signed(ACCOUNT, HEADER, claims, over_header=False), UserClaims)


@pytest.mark.parametrize(
    ("header", "claims", "complaint"),
    [
        ({"typ": "JWT", "alg": "none"}, {}, "another algorithm"),
        ({"typ": "JWT", "alg": "HS256"}, {}, "another algorithm"),
        ({"typ": "JWE", "alg": "ed25519-nkey"}, {}, "another type"),
        ([], {}, "no header"),
        (HEADER, [], "no claims"),
        (HEADER, {"nats": {"type": "account", "version": 2}}, "none of type user"),
        (HEADER, {"nats": {"type": "user", "version": 3}}, "version"),
        (HEADER, {"nats": {"type": "user", "version": 0}}, "version"),
        (HEADER, {"nats": {"type": "user", "version": 2}, "iss": USER.public}, "signs no such thing"),
        (HEADER, {"nats": {"type": "user", "version": 2}, "iss": ""}, "signs no such thing"),
        (HEADER, {"nats": {"type": "user", "version": 2}, "exp": "soon"}, "no claims of type user"),
        (HEADER, {"nats": {"type": "user", "version": 2, "pub": {"allow": "x"}}}, "no claims of type user"),
        (HEADER, {"nats": {"type": 5, "version": 2}}, "no type"),
    ],
)
def test_what_is_no_token_of_a_user_is_refused(header: Any, claims: Any, complaint: str):
    if isinstance(claims, dict):
        claims = {"iss": ACCOUNT.public, "sub": USER.public, **claims}
    with pytest.raises(JwtError, match=complaint):
        decode(signed(ACCOUNT, header, claims), UserClaims)


def test_the_signature_is_that_of_the_issuer_it_names():
    other = KeyPair.new(nkeys.ACCOUNT)
    with pytest.raises(JwtError, match="signature"):
        decode(signed(ACCOUNT, HEADER, {"iss": other.public, **user_claims()}), UserClaims)


def test_nulls_are_as_good_as_nothing():
    claims = {"iss": ACCOUNT.public, "exp": None, **user_claims(times=None, resp=None, tags=[None, "a"])}
    assert decode(signed(ACCOUNT, HEADER, claims), UserClaims).user.tags == ("a",)


def test_templates_of_roles_have_no_limits_where_they_name_none():
    operator = KeyPair.new(nkeys.OPERATOR)
    role = {"kind": "user_scope", "key": ACCOUNT.public, "template": {"payload": 5}}
    claims = {"sub": ACCOUNT.public, "nats": {"type": "account", "version": 2, "signing_keys": ["A1", role]}}
    plain, scoped = decode(encode(operator, claims), AccountClaims).account.signing_keys
    assert plain == "A1"
    assert isinstance(scoped, Role)
    assert (scoped.template.subs, scoped.template.payload) == (-1, 5)
    role["kind"] = "server_scope"
    with pytest.raises(JwtError, match="scope"):
        decode(encode(operator, claims), AccountClaims)


def test_only_empty_grants_are_empty():
    def of(**more: Any) -> bool:
        return decode(encode(ACCOUNT, user_claims(**{"subs": 0, **more})), UserClaims).user.is_empty()

    assert of()
    assert of(tags=["x"], issuer_account="A")
    for more in (
        {"subs": -1},
        {"bearer_token": True},
        {"pub": {"deny": ["x"]}},
        {"resp": {"max": 1}},
        {"src": ["::/0"]},
    ):
        assert not of(**more)


def test_revocations_are_of_a_key_or_of_everybody_until_a_time():
    assert is_revoked({"U1": 10}, "U1", 10)
    assert not is_revoked({"U1": 10}, "U1", 11)
    assert not is_revoked({"U1": 10}, "U2", 5)
    assert is_revoked({"*": 10, "U1": 2}, "U1", 9)
    assert not is_revoked({}, "U1", 0)


def test_long_tokens_are_refused_at_once():
    for shape, length in ((UserClaims, LONGEST_USER), (AccountClaims, LONGEST)):
        with pytest.raises(JwtError, match="too long"):
            decode("a" * (length + 1), shape)


def test_deep_tokens_are_refused():
    deep = base64.urlsafe_b64encode(b"[" * 40_000).rstrip(b"=").decode()
    with pytest.raises(JwtError):
        decode(f"{base64.urlsafe_b64encode(json.dumps(HEADER).encode()).rstrip(b'=').decode()}.{deep}.AA", UserClaims)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ("type", "version", "pub", "sub", "resp", "src", "times", "tags", "signing_keys", "imports", "exports", "limits")
)


@settings(max_examples=300)
@given(
    st.dictionaries(NAMES, JSON, max_size=4),
    st.sampled_from(["user", "account", "operator", 7]),
    st.sampled_from(SHAPES),
)
def test_signed_nonsense_is_claims_or_an_error(inner: dict[str, Any], kind: Any, shape: type[Claims]):
    pair = KeyPair.new(nkeys.OPERATOR) if shape in (OperatorClaims, AccountClaims, DeletionClaims) else ACCOUNT
    token = encode(pair, {"sub": "S", "nats": {"type": kind, "version": 2, **inner}})
    with suppress(JwtError):
        assert decode(token, shape).issuer == pair.public


@settings(max_examples=300)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_is_refused(text: str):
    for shape in SHAPES:
        for token in (text, f"{text}.{text}.{text}", f"..{text}"):
            with pytest.raises(JwtError):
                decode(token, shape)


@settings(max_examples=200)
@given(st.data())
def test_a_token_with_one_letter_changed_is_refused(data: st.DataObject):
    token = encode(ACCOUNT, user_claims())
    place = data.draw(st.integers(0, len(token) - 2))  # The last letter has bits that mean nothing.
    letter = data.draw(st.sampled_from("ABCxyz019-_."))
    if token[place] != letter:
        with pytest.raises(JwtError):
            decode(token[:place] + letter + token[place + 1 :], UserClaims)


@pytest.mark.parametrize("depth", [200, 400, 800, 900, 950, 980, 100_000])
def test_a_token_may_be_nested_as_deeply_as_it_likes(depth: int):
    """It is read, or is none: between how deep the decoder goes and how deep we do there is nothing else."""
    for nested in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        chunks = [HEADER_CHUNK, base64.urlsafe_b64encode(b'{"nats":%b}' % nested.encode()).rstrip(b"=").decode(), "AA"]
        with pytest.raises(JwtError):
            decode(".".join(chunks), UserClaims)


@pytest.mark.parametrize("field", ["exp", "nbf", "iat"])
def test_a_time_is_one_that_can_be_reckoned_with(field: str):
    with pytest.raises(JwtError, match="no claims"):
        decode(encode(ACCOUNT, user_claims(data=10**400)), UserClaims)
    with pytest.raises(JwtError, match="no claims"):
        decode(signed(ACCOUNT, HEADER, user_claims() | {"iss": ACCOUNT.public, field: 10**400}), UserClaims)


def test_the_answer_of_a_service_is_no_longer_than_a_user_s_token_needs():
    body = {"type": "authorization_response", "version": 2, "error": "x" * LONGEST_USER * 2}
    with pytest.raises(JwtError, match="too long"):
        decode(encode(ACCOUNT, {"sub": USER.public, "nats": body}), ResponseClaims)
