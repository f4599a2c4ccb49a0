"""A small certificate authority for one site: its own key, certificates for servers and for devices, and their renewal.

All of it is files in one directory: `ca.pem` and `ca.key`, and for each name `NAME.pem` and `NAME.key`. Keys are EC
P-256, readable by their owner alone.
"""

import ipaddress
import os
import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import GatewayError

AUTHORITY = "ca"
AUTHORITY_DAYS = 3650
DAYS = 825
# Clocks of devices may be behind.
BACKDATED = timedelta(hours=1)
# What stands in a file name, and nothing that a path could be made of.
LETTERS = frozenset(string.ascii_letters + string.digits + "_.@-")
LONGEST_NAME = 64


class CertificateError(GatewayError):
    """A certificate cannot be made. The text is one line."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One certificate of a directory. `role` is authority, server or client."""

    name: str
    role: str
    names: tuple[str, ...]
    ends: datetime
    path: Path


def make_authority(directory: Path, name: str, days: int = AUTHORITY_DAYS) -> Path:
    """The authority of a site, once and for all. Raises CertificateError where there is one."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{AUTHORITY}.pem"
    if path.exists():
        raise CertificateError(f"{path} is there already; what it has signed would be worth nothing with another one")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = _usage(key_cert_sign=True, crl_sign=True)
    builder = (
        _builder(subject, subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    _write_key(directory / f"{AUTHORITY}.key", key)
    _write(path, _pem(builder.sign(key, hashes.SHA256())), 0o644)
    return path


def make_server(directory: Path, hosts: list[str], name: str = "server", days: int = DAYS) -> Path:
    """A certificate for a listener, for these names and addresses."""
    return _issue(directory, name, "server", _alternatives(hosts), days)


def make_client(directory: Path, name: str, days: int = DAYS) -> Path:
    """A certificate for a device or a program; its common name, and its DNS name where it is one, is the user's."""
    alternatives: list[x509.GeneralName] = []
    if "@" in name:
        alternatives.append(x509.RFC822Name(name))
    elif "_" not in name:
        alternatives.append(x509.DNSName(name))
    return _issue(directory, name, "client", alternatives, days)


def renew(directory: Path, within: timedelta, days: int = DAYS) -> list[Path]:
    """New certificates, with the keys that are there, for those that end within this time; returns their files.

    The authority itself is not among them: everybody would have to get the new one.
    """
    renewed: list[Path] = []
    authority, authority_key = _load_authority(directory)
    for one in listed(directory):
        if one.role == "authority" or one.ends > datetime.now(UTC) + within:
            continue
        old = _read_certificate(one.path)
        alternatives: list[x509.GeneralName] = []
        for extension in old.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                alternatives = list(extension.value)
        public = old.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        certificate = _sign(authority, authority_key, public, one.name, one.role, alternatives, days)
        _write(one.path, _pem(certificate) + _pem(authority), 0o644)
        renewed.append(one.path)
    return renewed


def listed(directory: Path) -> list[Listed]:
    """What the authority of this directory has signed, and itself, by when it ends."""
    authority = _read_certificate(directory / f"{AUTHORITY}.pem")
    found: list[Listed] = []
    for path in sorted(directory.glob("*.pem")):
        certificate = _read_certificate(path)
        if certificate.issuer != authority.subject:
            continue
        role, names = "authority", []
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.ExtendedKeyUsage):
                role = "server" if ExtendedKeyUsageOID.SERVER_AUTH in extension.value else "client"
            elif isinstance(extension.value, x509.SubjectAlternativeName):
                names = [str(one.value) for one in extension.value]
        found.append(Listed(path.stem, role, tuple(names), certificate.not_valid_after_utc, path))
    return sorted(found, key=lambda one: one.ends)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text[0] not in ".-@" and LETTERS.issuperset(text)


def _issue(directory: Path, name: str, role: str, alternatives: list[x509.GeneralName], days: int) -> Path:
    if not _is_name(name) or name == AUTHORITY:
        raise CertificateError(
            f"{name!r} is no name: letters, digits and _ . @ - only, 64 at most, and not {AUTHORITY}"
        )
    authority, authority_key = _load_authority(directory)
    path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    if path.exists() or key_path.exists():
        raise CertificateError(f"{path} is there already; `leafgate certs renew` renews it, or remove both its files")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(authority, authority_key, key.public_key(), name, role, alternatives, days)
    _write_key(key_path, key)
    _write(path, _pem(certificate) + _pem(authority), 0o644)
    return path


def _sign(
    authority: x509.Certificate,
    authority_key: CertificateIssuerPrivateKeyTypes,
    public: ec.EllipticCurvePublicKey,
    name: str,
    role: str,
    alternatives: list[x509.GeneralName],
    days: int,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    # A gateway's certificate is also the one that it shows a hub.
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role == "server":
        purposes.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    builder = (
        _builder(subject, authority.subject, public, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(hosts: list[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if not host.isascii() or not _is_name(host.removeprefix("*.")):
                raise CertificateError(f"{host!r} is neither a host name nor an address") from None
            found.append(x509.DNSName(host))
    return found


def _load_authority(directory: Path) -> tuple[x509.Certificate, CertificateIssuerPrivateKeyTypes]:
    certificate = _read_certificate(directory / f"{AUTHORITY}.pem")
    path = directory / f"{AUTHORITY}.key"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {(error.strerror or '').lower()}") from None
    except (TypeError, ValueError):
        raise CertificateError(f"{path} holds no private key that can be used") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path} is no key that leafgate made")
    return certificate, key


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        raise CertificateError(f"there is no {path}; `leafgate certs init` makes the authority") from None
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {(error.strerror or '').lower()}") from None
    except ValueError:
        raise CertificateError(f"{path} holds no certificate") from None


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem, 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """The file appears whole or not at all, and is never open to more than it will be."""
    draft = path.with_name(path.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except OSError as error:
        raise CertificateError(f"{path} cannot be written: {(error.strerror or '').lower()}") from None


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
