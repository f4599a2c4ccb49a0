"""Who a device is: an NKey of its own or a user with a password, made here and never twice.

NKeys: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth. A text form is
base32 of a type, 32 bytes, and their CRC-16; what begins with SU is secret, what begins with U is public.
"""

import base64
import binascii
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firmware.errors import DeviceError

if TYPE_CHECKING:
    from nacl.signing import SigningKey

SEED_TYPE = 18 << 3
USER_TYPE = 20 << 3
PASSWORD_BYTES = 18


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """`settings` go into the device's configuration and are secret; `snippet` is for the server's."""

    settings: dict[str, str] = field(repr=False)
    snippet: str


def make_identity(kind: str, name: str, seed: bytes | None = None) -> DeviceIdentity:
    """An identity of a kind: `nkey`, `password` or `none`. `seed`, 32 bytes, is for an NKey that exists already."""
    if kind == "nkey":
        return _nkey(seed if seed is not None else secrets.token_bytes(32))
    if kind == "password":
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        user = f"{{ user: {json.dumps(name)}, password: {json.dumps(password)} }}"
        return DeviceIdentity({"user": name, "password": password}, _authorization(user))
    return DeviceIdentity({}, "")


def _nkey(seed: bytes) -> DeviceIdentity:
    public = public_key(seed)
    # The device signs with the expanded key (RFC 8032 5.1.5), so that it never has to hash the seed.
    expanded = hashlib.sha512(seed).digest()
    settings = {
        "nkey": encode_nkey(bytes((USER_TYPE,)), public),
        "nkey_seed": encode_seed(seed),
        "nkey_expanded": (expanded + public).hex(),
    }
    return DeviceIdentity(settings, _authorization(f"{{ nkey: {settings['nkey']} }}"))


def public_key(seed: bytes) -> bytes:
    """The Ed25519 public key of a seed of 32 bytes."""
    return bytes(_signing_key(seed).verify_key)


def sign(seed: bytes, message: bytes) -> bytes:
    """The Ed25519 signature of a message, 64 bytes."""
    return _signing_key(seed).sign(message).signature


def _signing_key(seed: bytes) -> "SigningKey":
    try:
        from nacl.signing import SigningKey
    except ImportError:
        raise DeviceError("making keys needs pynacl; run pip install '.[flash]' in a checkout of leafgate") from None
    return SigningKey(seed)


def encode_nkey(prefix: bytes, key: bytes) -> str:
    """The text form of a key behind its type byte or bytes."""
    data = prefix + key
    checksum = binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(data + checksum).decode().rstrip("=")


def encode_seed(seed: bytes) -> str:
    """The secret text form of a user's key, beginning with SU."""
    return encode_nkey(bytes((SEED_TYPE | USER_TYPE >> 5, (USER_TYPE & 31) << 3)), seed)


def decode_seed(text: str) -> bytes:
    """The 32 bytes of a seed in text form. Raises DeviceError, which never repeats the text."""
    text = text.strip()
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        data = b""
    seed = data[2:-2]
    if len(seed) != 32 or encode_seed(seed) != text:
        raise DeviceError("not the seed of a user's NKey: it begins with SU and has 58 characters")
    return seed


def _authorization(user: str) -> str:
    return f"authorization {{\n    users: [\n        {user}\n    ]\n}}"
