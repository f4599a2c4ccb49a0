"""The files of TLS: certificates, keys, shared keys. Every fault is a ValueError with one sentence for a person, which
names the file and nothing that is in it.
"""

import hashlib
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.settings.paths import path_of, read_file
from gateway.transport.tls_session import PeerCertificate

# What a certificate that OpenSSL takes may still come to, where it is read.
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
LARGEST_FILE = 1 << 20
# As OpenSSL has it.
LONGEST_SHARED_KEY = 256

# What tells that a file is another one, or written anew.
Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """None while there is no such file, which a change of several files may leave for a moment."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def load_chain(context: ssl.SSLContext, certificate: str, key: str) -> x509.Certificate:
    """Load a certificate with its chain and its key into the context; returns the certificate."""
    chain_path, key_path = path_of(certificate), path_of(key or certificate)
    chain = read_certificates(chain_path, secret=not key)
    read_file(key_path, LARGEST_FILE, secret=True)
    try:
        context.load_cert_chain(chain_path, key_path, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key_path} is not the key of {chain_path}") from None
        raise ValueError(f"{key_path} holds no private key") from None
    except OSError as error:
        raise ValueError(f"{key_path} cannot be read: {(error.strerror or '').lower()}") from None
    except _EncryptedError:
        raise ValueError(f"{key_path} is encrypted, and nobody is there to type its password") from None
    return chain[0]


class _EncryptedError(Exception):
    """Stays inside this module."""


def _no_password() -> str:
    raise _EncryptedError


def load_authorities(context: ssl.SSLContext, authorities: str) -> None:
    path = path_of(authorities)
    read_certificates(path, secret=False)
    try:
        context.load_verify_locations(path)
    except OSError:
        raise ValueError(f"{path} holds no certificate of an authority") from None


def read_certificates(path: Path, *, secret: bool) -> list[x509.Certificate]:
    """At least one."""
    content = read_file(path, LARGEST_FILE, secret=secret)
    try:
        return x509.load_pem_x509_certificates(content)
    except UNREADABLE:
        raise ValueError(f"{path} holds no certificate in PEM form") from None


def read_shared_keys(path: Path) -> dict[str, bytes]:
    """Keys by identity, from lines `identity:hexadecimal`; a line that begins with # is none."""
    try:
        lines = read_file(path, LARGEST_FILE, secret=True).decode().splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        identity, _, key = line.strip().rpartition(":")
        try:
            keys[identity] = bytes.fromhex(key)
        except ValueError:
            key = ""
        if not identity or not key:
            raise ValueError(f"{path}, line {number}: expected identity:key, the key in hexadecimal")
        if len(keys[identity]) > LONGEST_SHARED_KEY:
            raise ValueError(f"{path}, line {number}: a key has {LONGEST_SHARED_KEY} bytes at most")
    if not keys:
        raise ValueError(f"{path} holds no keys")
    return keys


def names_of(certificate: x509.Certificate) -> list[str]:
    """The DNS names that it is for, in lower case."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]


def has_slow_key(certificate: x509.Certificate) -> bool:
    """Whether a signature with its key takes a good part of a turn, or several."""
    return isinstance(certificate.public_key(), rsa.RSAPublicKey)


def key_digest(certificate: x509.Certificate) -> str:
    """SHA-256 of the public key (SPKI), in hexadecimal."""
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


def describe(certificate: bytes) -> PeerCertificate:
    """What is told of a peer's certificate, which is DER. Raises one of UNREADABLE."""
    parsed = x509.load_der_x509_certificate(certificate)
    return PeerCertificate(parsed.subject.rfc4514_string(), key_digest(parsed), hashlib.sha256(certificate).hexdigest())


def is_current(certificate: x509.Certificate) -> bool:
    """Whether it is valid today."""
    return certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc
