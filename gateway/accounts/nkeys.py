"""NKeys: the text form of Ed25519 keys in NATS, signatures by them, and Curve25519 keys (xkeys) that seal messages.

A key's text is base32 of a prefix that says what it is for, 32 bytes, and a CRC-16; a seed's prefix says both.
"""

import base64
import binascii
import re
from typing import NamedTuple, TypeAlias

from gateway.settings.secret import Secret

SERVER, CLUSTER, OPERATOR, ACCOUNT, USER, CURVE = "N", "C", "O", "A", "U", "X"
# The first byte's upper five bits are the first letter of the text.
PREFIXES = {OPERATOR: 14 << 3, ACCOUNT: 0, USER: 20 << 3, SERVER: 13 << 3, CLUSTER: 2 << 3, CURVE: 23 << 3}
_KINDS = {prefix: kind for kind, prefix in PREFIXES.items()}
_SEED_PREFIX = 18 << 3
_PUBLIC_TEXT = re.compile(r"[OAUNCX][A-Z2-7]{55}")
_SEED_TEXT = re.compile(r"S[OAUNCX][A-Z2-7]{56}")
# Of Ed25519, and what its base64 takes at most.
SIGNATURE_BYTES = 64
LONGEST_SIGNATURE_TEXT = 96
SEAL_VERSION = b"xkv1"
NONCE_BYTES = 24

KeyText: TypeAlias = str


class NKeyError(ValueError):
    """A text that is no key, or something that a key does not open. It never repeats what it was given."""


class Seed(NamedTuple):
    """What a seed's text holds: what the key is for, and its 32 bytes."""

    kind: str
    raw: bytes


def decode_public(text: KeyText, kind: str) -> bytes:
    """The 32 bytes of a public key of this kind. Raises NKeyError."""
    if not _PUBLIC_TEXT.fullmatch(text) or text[0] != kind:
        raise NKeyError(f"that is no public key that begins with {kind}")
    raw = _decode(text)
    if raw[0] != PREFIXES[kind]:
        raise NKeyError(f"that is no public key that begins with {kind}")
    return raw[1:]


def is_public(text: KeyText, kind: str) -> bool:
    """Whether this is a public key of this kind."""
    try:
        decode_public(text, kind)
    except NKeyError:
        return False
    return True


def decode_seed(text: KeyText) -> Seed:
    """The seed that a text holds. Raises NKeyError."""
    if not _SEED_TEXT.fullmatch(text):
        raise NKeyError("that is no seed of an NKey")
    raw = _decode(text)
    kind = _KINDS.get((raw[0] & 7) << 5 | raw[1] >> 3)
    if raw[0] & 0xF8 != _SEED_PREFIX or raw[1] & 7 or kind is None:
        raise NKeyError("that is no seed of an NKey")
    return Seed(kind, raw[2:])


def encode_public(kind: str, raw: bytes) -> KeyText:
    """The text of a public key of 32 bytes."""
    return _encode(bytes((PREFIXES[kind],)) + raw)


def encode_seed(kind: str, raw: bytes) -> KeyText:
    """The text of a seed of 32 bytes."""
    prefix = PREFIXES[kind]
    return _encode(bytes((_SEED_PREFIX | prefix >> 5, (prefix & 31) << 3)) + raw)


def verify(public: KeyText, message: bytes, signature: bytes) -> bool:
    """Whether this public key, of whatever kind, signed the message."""
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    if len(signature) != SIGNATURE_BYTES or not public or public[0] == CURVE:
        return False
    try:
        VerifyKey(decode_public(public, public[0])).verify(message, signature)
    except (NKeyError, BadSignatureError):
        return False
    return True


def decode_signature(text: str) -> bytes:
    """The bytes of a signature in base64, of either alphabet, padded or not; empty where it is none."""
    if not text or len(text) > LONGEST_SIGNATURE_TEXT or not text.isascii():
        return b""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return b""


def verify_text(public: KeyText, message: bytes, signature: str) -> bool:
    """Whether this public key signed the message, the signature as peers send it (`decode_signature`)."""
    return verify(public, message, decode_signature(signature))


def encode_signature(signature: bytes) -> str:
    """A signature as peers send it: base64 of the alphabet of URLs, not padded."""
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


class KeyPair:
    """A key that signs. Its text never tells the seed."""

    __slots__ = ("_key", "kind", "public", "seed")

    def __init__(self, kind: str, raw: bytes) -> None:
        from nacl.signing import SigningKey

        self.kind = kind
        self._key = SigningKey(raw)
        self.public = encode_public(kind, bytes(self._key.verify_key))
        self.seed = Secret(encode_seed(kind, raw))

    @classmethod
    def of_seed(cls, text: KeyText) -> "KeyPair":
        """The key of a seed's text. Raises NKeyError, also where it is a curve key's."""
        seed = decode_seed(text)
        if seed.kind == CURVE:
            raise NKeyError("that is the seed of a curve key, which signs nothing")
        return cls(seed.kind, seed.raw)

    @classmethod
    def new(cls, kind: str) -> "KeyPair":
        """A new key of this kind."""
        from nacl.utils import random

        return cls(kind, random(32))

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, of 64 bytes."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


class CurvePair:
    """A curve key, which seals messages to others and opens theirs. Its text never tells the seed."""

    __slots__ = ("_key", "public", "seed")

    def __init__(self, raw: bytes) -> None:
        from nacl.public import PrivateKey

        self._key = PrivateKey(raw)
        self.public = encode_public(CURVE, bytes(self._key.public_key))
        self.seed = Secret(encode_seed(CURVE, raw))

    @classmethod
    def of_seed(cls, text: KeyText) -> "CurvePair":
        """The key of a seed's text. Raises NKeyError."""
        seed = decode_seed(text)
        if seed.kind != CURVE:
            raise NKeyError("that is no seed of a curve key; it begins with SX")
        return cls(seed.raw)

    @classmethod
    def new(cls) -> "CurvePair":
        """A new curve key."""
        from nacl.utils import random

        return cls(random(32))

    def seal(self, message: bytes, to: KeyText) -> bytes:
        """A message that only the owner of the public curve key `to` opens. Raises NKeyError."""
        from nacl.public import Box, PublicKey

        return SEAL_VERSION + bytes(Box(self._key, PublicKey(decode_public(to, CURVE))).encrypt(message))

    def open(self, sealed: bytes, sender: KeyText) -> bytes:
        """What `sender` sealed to this key. Raises NKeyError."""
        from nacl.exceptions import CryptoError
        from nacl.public import Box, PublicKey

        if not sealed.startswith(SEAL_VERSION) or len(sealed) <= len(SEAL_VERSION) + NONCE_BYTES:
            raise NKeyError("that is nothing that a curve key has sealed")
        try:
            return Box(self._key, PublicKey(decode_public(sender, CURVE))).decrypt(sealed[len(SEAL_VERSION) :])
        except CryptoError:
            raise NKeyError("this curve key does not open it") from None

    def __repr__(self) -> str:
        return f"CurvePair({self.public})"


def _encode(raw: bytes) -> KeyText:
    checksum = binascii.crc_hqx(raw, 0)  # CRC-16/XMODEM, low byte first
    return base64.b32encode(raw + checksum.to_bytes(2, "little")).rstrip(b"=").decode()


def _decode(text: KeyText) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise NKeyError("that is no key") from None
    # 58 letters hold two bits more than the bytes: they are zero, so that a key has one text.
    if binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != raw[-2:] or _encode(raw[:-2]) != text:
        raise NKeyError("that is no key: its checksum does not fit")
    return raw[:-2]
