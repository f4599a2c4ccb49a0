"""Certificates: the names in one that may be a user's, and distinguished names in text (RFC 2253, RFC 4514).

What is loaded here is large; only who maps certificates to users imports it.
"""

from collections.abc import Iterator
from typing import TypeAlias

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

# The attribute types that have a name in text; others are their numbers.
ATTRIBUTE_TYPES = {
    "CN": "2.5.4.3",
    "SERIALNUMBER": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "STREET": "2.5.4.9",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "POSTALCODE": "2.5.4.17",
    "UID": "0.9.2342.19200300.100.1.1",
    "DC": "0.9.2342.19200300.100.1.25",
    "EMAILADDRESS": "1.2.840.113549.1.9.1",
}
SPECIAL = frozenset(',=+<>#;"\\ ')
HEXADECIMAL = frozenset("0123456789abcdefABCDEF")

# Types and values of one level, and the levels, the most particular first as text has them.
RelativeName: TypeAlias = frozenset[tuple[str, str]]
DistinguishedName: TypeAlias = tuple[RelativeName, ...]


def alternative_names(certificate: x509.Certificate) -> Iterator[str]:
    """E-mail addresses, host names and URIs of a certificate, in this order, as nats-server tries them."""
    try:
        found = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return
    assert isinstance(found, x509.SubjectAlternativeName)
    yield from found.get_values_for_type(x509.RFC822Name)
    yield from found.get_values_for_type(x509.DNSName)
    yield from found.get_values_for_type(x509.UniformResourceIdentifier)


def subject_of(certificate: x509.Certificate) -> DistinguishedName:
    """The subject of a certificate, which has the least particular level first."""
    levels = [
        frozenset((one.oid.dotted_string, value_text(one.value)) for one in level) for level in certificate.subject.rdns
    ]
    return tuple(reversed(levels))


def value_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else f"#{value.hex()}"


def parse_name(text: str) -> DistinguishedName | None:
    """The name that a text says, as `CN=anna,OU=plant,O=example`; None where it says none."""
    levels: list[RelativeName] = []
    level: set[tuple[str, str]] = set()
    place = 0
    while True:
        equals = text.find("=", place)
        kind = attribute_type(text[place:equals].strip(" ")) if equals > 0 else None
        if kind is None:
            return None
        read = read_value(text, equals + 1)
        if read is None:
            return None
        value, place = read
        level.add((kind, value))
        if place == len(text) or text[place] in ",;":
            levels.append(frozenset(level))
            level = set()
        if place == len(text):
            return tuple(levels)
        place += 1


def attribute_type(name: str) -> str | None:
    number = ATTRIBUTE_TYPES.get(name.upper())
    if number is not None:
        return number
    bare = name.upper().removeprefix("OID.")
    return bare if bare and all(part.isascii() and part.isdecimal() for part in bare.split(".")) else None


def read_value(text: str, place: int) -> tuple[str, int] | None:
    """An attribute's value that begins there, and the place of the separator behind it; None where there is none."""
    while place < len(text) and text[place] == " ":
        place += 1
    quoted = place < len(text) and text[place] == '"'
    if quoted:
        place += 1
    value = bytearray()
    # Blanks behind a value are no part of it, unless they were escaped.
    kept = 0
    while place < len(text):
        letter = text[place]
        if letter == "\\":
            pair = text[place + 1 : place + 3]
            if len(pair) == 2 and HEXADECIMAL.issuperset(pair):
                value += bytes.fromhex(pair)
                place += 3
            elif pair[:1] in SPECIAL and pair:
                value += pair[0].encode()
                place += 2
            else:
                return None
            kept = len(value)
            continue
        if quoted and letter == '"':
            place += 1
            while place < len(text) and text[place] == " ":
                place += 1
            if place < len(text) and text[place] not in ",;+":
                return None
            return _decoded(value, place)
        if not quoted and letter in ",;+":
            break
        if not quoted and letter in '"<>':
            return None
        value += letter.encode("utf-8", "surrogatepass")
        if letter != " " or quoted:
            kept = len(value)
        place += 1
    return None if quoted else _decoded(value[:kept], place)


def _decoded(value: bytearray, place: int) -> tuple[str, int] | None:
    try:
        return value.decode(), place
    except UnicodeDecodeError:
        return None


def is_reordered(one: DistinguishedName, other: DistinguishedName) -> bool:
    """Whether two names are the same but for the order of their levels."""
    return len(one) == len(other) and sorted(map(sorted, one)) == sorted(map(sorted, other))
