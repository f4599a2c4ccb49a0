"""The handshake: HELO, PING and PONG, by which both ends prove that they share a key, and a client who it is.

Neither keys nor passwords are sent, but digests of them (SHA-512, in hexadecimal) with what the other end has made up.
"""

import hashlib
import hmac
from typing import NamedTuple

from protocols.fluent.scanning import NotMessagePackError
from protocols.fluent.values import decode_raw, encode

SALT_BYTES = 16
HELO, PING, PONG = "HELO", "PING", "PONG"


class Helo(NamedTuple):
    """`auth` is a salt where a user and a password are asked for, else empty."""

    nonce: bytes
    auth: bytes


class Ping(NamedTuple):
    """Who a client says it is, and the digests that prove it."""

    hostname: bytes
    salt: bytes
    key_digest: bytes
    user: bytes
    password_digest: bytes


class Pong(NamedTuple):
    is_welcome: bool
    reason: str
    hostname: bytes
    key_digest: bytes


def shared_key_digest(salt: bytes, hostname: bytes, nonce: bytes, key: bytes) -> bytes:
    return hashlib.sha512(salt + hostname + nonce + key).hexdigest().encode()


def password_digest(auth: bytes, user: bytes, password: bytes) -> bytes:
    return hashlib.sha512(auth + user + password).hexdigest().encode()


def is_same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one.lower(), other)


def encode_helo(nonce: bytes, auth: bytes) -> bytes:
    return encode([HELO, {"nonce": nonce, "auth": auth, "keepalive": True}])


def encode_ping(ping: Ping) -> bytes:
    """All of it is text: some servers take nothing else."""
    hostname, salt, key_digest, user, password = ping
    return encode([PING, hostname.decode(), salt.decode(), key_digest.decode(), user.decode(), password.decode()])


def encode_pong(pong: Pong) -> bytes:
    return encode([PONG, pong.is_welcome, pong.reason, pong.hostname.decode(), pong.key_digest.decode()])


def read_ping(data: bytes) -> Ping | None:
    """A PING; None where it is something else."""
    match _values(data):
        case [b"PING", bytes(hostname), bytes(salt), bytes(digest), bytes(user), bytes(password)]:
            return Ping(hostname, salt, digest, user, password)
    return None


def read_helo(data: bytes) -> Helo | None:
    """A HELO; None where it is something else."""
    match _values(data):
        case [b"HELO", {"nonce": bytes(nonce), "auth": bytes(auth)}]:
            return Helo(nonce, auth)
        case [b"HELO", {"nonce": bytes(nonce)}]:
            return Helo(nonce, b"")
    return None


def read_pong(data: bytes) -> Pong | None:
    """A PONG; None where it is something else."""
    match _values(data):
        case [b"PONG", bool(welcome), bytes(reason), bytes(hostname), bytes(digest)]:
            return Pong(welcome, reason.decode("utf-8", "replace"), hostname, digest)
        case [b"PONG", False, *_]:
            return Pong(False, "", b"", b"")
    return None


def _values(data: bytes) -> object:
    try:
        return decode_raw(data)
    except NotMessagePackError:
        return None
