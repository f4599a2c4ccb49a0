"""Names of certificates: what one calls itself, and distinguished names in text."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.certificates import alternative_names, is_reordered, parse_name, subject_of
from tests.gateway.accounts.certificate_maker import certificate

CN, OU, ORGANISATION, DC = "2.5.4.3", "2.5.4.11", "2.5.4.10", "0.9.2342.19200300.100.1.25"


def levels(*parts: tuple[str, str]) -> tuple[frozenset, ...]:
    return tuple(frozenset([part]) for part in parts)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CN=anna", levels((CN, "anna"))),
        ("cn=anna,ou=plant", levels((CN, "anna"), (OU, "plant"))),
        ("CN=anna, OU=plant ; O=Example Ltd", levels((CN, "anna"), (OU, "plant"), (ORGANISATION, "Example Ltd"))),
        ("CN=anna+OU=plant,O=x", (frozenset([(CN, "anna"), (OU, "plant")]), frozenset([(ORGANISATION, "x")]))),
        (r"CN=Carroll\, Lewis\+", levels((CN, "Carroll, Lewis+"))),
        (r"CN=\c3\a4\20", levels((CN, "ä "))),
        (r"CN=a\ ", levels((CN, "a "))),
        ('CN="a, b = c"  ,O=x', levels((CN, "a, b = c"), (ORGANISATION, "x"))),
        ("2.5.4.3=anna", levels((CN, "anna"))),
        ("OID.2.5.4.3=anna", levels((CN, "anna"))),
        ("CN=,O=x", levels((CN, ""), (ORGANISATION, "x"))),
        ("DC=example,DC=com", levels((DC, "example"), (DC, "com"))),
        ("CN=a=b", levels((CN, "a=b"))),
    ],
)
def test_name_is_read_as_its_text_says(text: str, name: object):
    assert parse_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "anna",
        "=x",
        "CN",
        "XX=anna",
        "CN=a,",
        "CN=a,,O=b",
        'CN="a',
        'CN="a"b',
        "CN=a\\",
        "CN=a\\g",
        r"CN=\c3",
        "CN=<",
    ],
)
def test_what_is_no_name_is_none(text: str):
    assert parse_name(text) is None


@given(st.text(alphabet='CNOU=+,;\\"# <>\u00e4\ud800a1c3.', max_size=60))
def test_any_text_is_a_name_or_none(text: str):
    name = parse_name(text)
    assert name is None or len(name) >= 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["CN", "OU", "O", "DC"]), st.text(min_size=1, max_size=12)), min_size=1, max_size=4
    )
)
def test_what_another_implementation_writes_is_read_back(parts: list[tuple[str, str]]):
    oids = {"CN": CN, "OU": OU, "O": ORGANISATION, "DC": DC}
    try:
        encoded = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oids[kind]), value) for kind, value in parts])
    except (ValueError, UnicodeEncodeError):
        return  # It has rules of its own about values.
    text = encoded.rfc4514_string()
    assert parse_name(text) == levels(*((oids[kind], value) for kind, value in reversed(parts)))


def test_certificate_tells_its_names_in_order():
    made = certificate(
        "CN=anna,O=Example",
        x509.UniformResourceIdentifier("spiffe://example/anna"),
        x509.DNSName("anna.example"),
        x509.RFC822Name("anna@example.org"),
    )
    assert list(alternative_names(made)) == ["anna@example.org", "anna.example", "spiffe://example/anna"]
    assert subject_of(made) == parse_name("CN=anna,O=Example")


def test_certificate_may_have_no_other_names():
    assert list(alternative_names(certificate("CN=anna"))) == []


def test_order_of_levels_is_told_apart_from_others():
    one, other = parse_name("CN=anna,OU=a,OU=b"), parse_name("OU=b,CN=anna,OU=a")
    assert one is not None
    assert other is not None
    assert one != other
    assert is_reordered(one, other)
    for text in ("CN=anna,OU=a", "CN=anna,OU=a,OU=a", "CN=Anna,OU=a,OU=b", "CN=anna+OU=a,OU=b,O=c"):
        different = parse_name(text)
        assert different is not None
        assert not is_reordered(one, different)
