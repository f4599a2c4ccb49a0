"""The handshake: both ends read what the other writes, and what others write."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fluent import handshake
from protocols.fluent.handshake import Helo, Ping, Pong

pack = msgspec.msgpack.encode


def test_digests_are_those_of_the_specification():
    salt, host, nonce, key = b"salt", b"client", b"nonce", b"key"
    assert (
        handshake.shared_key_digest(salt, host, nonce, key)
        == hashlib.sha512(b"saltclientnoncekey").hexdigest().encode()
    )
    assert handshake.password_digest(b"auth", b"user", b"pw") == hashlib.sha512(b"authuserpw").hexdigest().encode()


def test_what_is_written_is_read():
    ping = Ping(b"host", b"0011", b"abc", b"user", b"def")
    assert handshake.read_helo(handshake.encode_helo(b"\xff\x01", b"\xfe")) == Helo(b"\xff\x01", b"\xfe")
    assert handshake.read_ping(handshake.encode_ping(ping)) == ping
    for pong in (Pong(True, "", b"server", b"abc"), Pong(False, "no", b"", b"")):
        assert handshake.read_pong(handshake.encode_pong(pong)) == pong


def test_bytes_that_a_sender_calls_text_are_read():
    """As Fluent Bit sends its salt."""
    data = b"\x96" + pack("PING") + pack("host") + b"\xa4\xff\xfe\x00\x01" + pack("digest") + pack("") + pack("")
    assert handshake.read_ping(data) == Ping(b"host", b"\xff\xfe\x00\x01", b"digest", b"", b"")


def test_helo_without_a_salt_asks_for_no_user():
    assert handshake.read_helo(pack(["HELO", {"nonce": "n", "keepalive": True}])) == Helo(b"n", b"")


@pytest.mark.parametrize(
    "value", [None, 1, [], ["PING"], ["HELO", {}], ["PONG", 1, "", "", ""], ["PING", 1, 2, 3, 4, 5]]
)
def test_what_is_none_of_them_is_none(value):
    data = pack(value)
    assert (handshake.read_helo(data), handshake.read_ping(data), handshake.read_pong(data)) == (None, None, None)


@given(st.binary(max_size=100))
def test_ping_of_whole_values_never_raises(data):
    value = pack([data, data, {"a": data}])
    assert handshake.read_ping(value) is None
