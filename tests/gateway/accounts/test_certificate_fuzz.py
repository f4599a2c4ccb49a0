"""Certificates with bytes changed, added and cut: each says who a user is, or that nobody is meant; none raises."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounts.identity import Credentials
from gateway.accounts.user_directory import UserDirectory
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.settings.security import Tls, User
from gateway.transport.tls_files import UNREADABLE, describe
from tests.gateway.accounts.certificate_maker import certificate

SOUND = certificate(
    "CN=anna,OU=plant,O=example,DC=example,DC=com",
    x509.RFC822Name("anna@example.com"),
    x509.DNSName("anna.example.com"),
    x509.UniformResourceIdentifier("spiffe://example/anna"),
).public_bytes(Encoding.DER)
EDITS = st.lists(
    st.tuples(st.integers(0, len(SOUND) - 1), st.sampled_from(["set", "insert", "cut"]), st.binary(max_size=4)),
    min_size=1,
    max_size=6,
)


def edited(edits: list[tuple[int, str, bytes]]) -> bytes:
    der = bytearray(SOUND)
    for place, kind, data in edits:
        if kind == "set":
            der[place : place + len(data)] = data
        elif kind == "insert":
            der[place:place] = data
        else:
            del der[place : place + len(data)]
    return bytes(der)


MAPPING = Listener(
    protocol="nats", address="127.0.0.1:0", tls=Tls(certificate="x.pem", client_ca="ca.pem", verify="map")
)
NAMED = (User(name="anna@example.com"), User(name="CN=anna,O=example"))
DIRECTORY = UserDirectory(Config(users=NAMED, listeners=(MAPPING,)))
WHO = Credentials(kind="nats", address="127.0.0.1")


@given(EDITS)
@settings(max_examples=150)
def test_edited_certificates(edits: list[tuple[int, str, bytes]]) -> None:
    der = edited(edits)
    DIRECTORY.of_certificate(der, WHO)
    try:
        described = describe(der)
    except UNREADABLE:
        return
    assert described.subject.isprintable() or described.subject == ""


@given(st.binary(max_size=300))
def test_any_bytes(der: bytes) -> None:
    assert DIRECTORY.of_certificate(der, WHO) is None


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_ones(depth: int) -> None:
    der = b""
    for _ in range(min(depth, 2000)):
        der = b"\x30\x82" + len(der).to_bytes(2, "big") + der
    assert DIRECTORY.of_certificate(der, WHO) is None
    assert DIRECTORY.of_certificate(b"\x30\x80" * depth, WHO) is None


def test_ten_thousand_names() -> None:
    names = [x509.DNSName(f"{number}.example.com") for number in range(10_000)]
    many = certificate("CN=x", *names, x509.RFC822Name("anna@example.com")).public_bytes(Encoding.DER)
    user = DIRECTORY.of_certificate(many, WHO)
    assert user is not None
    assert user.name == "anna@example.com"
