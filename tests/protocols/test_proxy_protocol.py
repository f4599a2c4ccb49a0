"""The PROXY protocol: whom a header speaks for, and what is none, however the stream is cut."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import PeerViolation
from protocols.proxy_protocol import (
    FIRST_VERSION,
    FIXED,
    LONGEST_LINE,
    LONGEST_REST,
    SIGNATURE,
    ProxyHeader,
    ProxyHeaderDecoder,
)

V4 = bytes((192, 0, 2, 7, 10, 0, 0, 1)) + struct.pack("!HH", 50_000, 4222)
V6 = bytes.fromhex("20010db8" + "00" * 11 + "07" + "20010db8" + "00" * 11 + "01") + struct.pack("!HH", 50_001, 4222)
MAPPED = bytes.fromhex("00" * 10 + "ffffc0000207" + "00" * 15 + "01") + struct.pack("!HH", 5, 4222)
# PP2_TYPE_SSL with what follows, as HAProxy writes it with send-proxy-v2-ssl.
TLV = b"\x20\x00\x0f\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3"


def binary(body: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def read(data: bytes) -> ProxyHeader | PeerViolation | None:
    return ProxyHeaderDecoder().receive(data)


HEADERS = [
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 4222\r\n", ("192.0.2.7", 50_000)),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 50001 4222\r\n", ("2001:db8::7", 50_001)),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 5 4222\r\n", ("192.0.2.7", 5)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (binary(V4), ("192.0.2.7", 50_000)),
    (binary(V4 + TLV), ("192.0.2.7", 50_000)),
    (binary(V6, family=0x21), ("2001:db8::7", 50_001)),
    (binary(MAPPED, family=0x21), ("192.0.2.7", 5)),
    (binary(b"", command=0x20, family=0x00), None),
    (binary(V4, command=0x20), None),
    (binary(b"", family=0x00), None),
    (binary(b"/run/a.sock".ljust(216, b"\0"), family=0x31), None),
]


@pytest.mark.parametrize(("header", "source"), HEADERS)
def test_header_tells_the_client_however_it_is_cut(header: bytes, source: tuple[str, int] | None) -> None:
    assert read(header + b"INFO") == ProxyHeader(source, b"INFO")
    decoder = ProxyHeaderDecoder()
    answers = [decoder.receive(header[at : at + 1]) for at in range(len(header))]
    assert answers == [None] * (len(header) - 1) + [ProxyHeader(source, b"")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"CONNECT {}\r\n", "does not begin with its header"),
        (b"\x10", "does not begin"),
        (b"PROXZ", "does not begin"),
        (b"PROXY TCP4 192.0.2.7\r\n", "the line is none"),
        (b"PROXY TCP5 a b 1 2\r\n", "the line is none"),
        (b"PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n", "the line is none"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 \r\n", "the line is none"),
        (b"PROXY TCP4 2001:db8::7 10.0.0.1 1 2\r\n", "an address that is none of TCP4"),
        (b"PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n", "an address that is none"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n", "a port that is none"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n", "a port that is none"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n", "a port that is none"),
        (b"PROXY TCP4 \xff 10.0.0.1 1 2\r\n", "an address that is none"),
        (FIRST_VERSION.ljust(LONGEST_LINE, b"x"), "more than 107 bytes"),
        (binary(V4, command=0x31), "version 3 and command 1"),
        (binary(V4, command=0x22), "version 2 and command 2"),
        (binary(V4, family=0x12), "no stream"),
        (binary(V4[:11]), "hold no addresses"),
        (binary(V4, family=0x21), "hold no addresses"),
        (SIGNATURE + struct.pack("!BBH", 0x21, 0x11, LONGEST_REST + 1), "more than 4096"),
    ],
)
def test_what_is_no_header_is_said_at_once(data: bytes, said: str) -> None:
    found = read(data)
    assert isinstance(found, PeerViolation)
    assert said in found.detail


@given(st.binary(max_size=300), st.sampled_from([b"", FIRST_VERSION, SIGNATURE, SIGNATURE + b"\x21\x11\x00\x20"]))
def test_no_bytes_raise_and_no_more_is_kept_than_a_header_may_have(data: bytes, lead: bytes) -> None:
    decoder = ProxyHeaderDecoder()
    for at in range(0, len(lead + data), 7):
        if decoder.receive((lead + data)[at : at + 7]) is not None:
            break
        assert decoder.pending <= FIXED + LONGEST_REST
