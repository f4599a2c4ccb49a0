"""Certificates for tests, made by the gateway's own authority, and those that nobody should take."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.command.certificates import make_authority, make_client, make_server


class Site:
    """A directory with an authority, a server's certificate and one of a client called `sensor1`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        make_authority(directory, "test authority")
        make_server(directory, ["localhost", "127.0.0.1"])
        make_client(directory, "sensor1")

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def tls(self, verify: str = "none", **more: object) -> str:
        """The value of `tls` of a listener; `more` are keys with underscores."""
        values: dict[str, object] = {"certificate": self.path("server.pem"), "key": self.path("server.key")}
        if verify != "none":
            values |= {"client-ca": self.path("ca.pem"), "verify": verify}
        values |= {key.replace("_", "-"): value for key, value in more.items()}
        return "{ " + ", ".join(f"{key} = {toml(value)}" for key, value in values.items()) + " }"

    def context(self, name: str = "", version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """What a client knows that trusts this site; `name` is its own certificate."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if name:
            context.load_cert_chain(self.path(f"{name}.pem"), self.path(f"{name}.key"))
        return context


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else str(value) if isinstance(value, list) else f'"{value}"'


def listener(protocol: str, tls: str, address: str = "127.0.0.1:0") -> str:
    return f'[[listeners]]\nprotocol = "{protocol}"\naddress = "{address}"\ntls = {tls}\n'


def expired(directory: Path, name: str) -> None:
    """Make the client's certificate one that has ended."""
    from cryptography.hazmat.primitives import serialization

    from gateway.command import certificates

    authority, key = certificates._load_authority(directory)
    own = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), None)
    before, certificates.BACKDATED = certificates.BACKDATED, timedelta(days=3)
    try:
        signed = certificates._sign(authority, key, own.public_key(), name, "client", [], -1)  # type: ignore[arg-type]
    finally:
        certificates.BACKDATED = before
    (directory / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def tampered(directory: Path, name: str, change: Callable[[bytes], bytes], extension: bytes = b"") -> None:
    """Make the client's certificate one that the authority has signed and that no library would make: `change` gets
    what is signed, whose length stays. `extension` is what stands in its subject's alternative names.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from gateway.command import certificates

    authority, key = certificates._load_authority(directory)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    own = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), None)
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        authority.subject,
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
        own.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=1),
    )
    if extension:
        other = x509.UnrecognizedExtension(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, extension)
        builder = builder.add_extension(other, critical=False)
    plain = builder.sign(key, hashes.SHA256()).tbs_certificate_bytes
    changed = change(plain)
    assert len(changed) == len(plain)
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    signature = key.sign(changed, ec.ECDSA(hashes.SHA256()))
    content = changed + ecdsa_with_sha256 + b"\x03" + bytes((len(signature) + 1,)) + b"\0" + signature
    der = b"\x30\x82" + len(content).to_bytes(2, "big") + content
    (directory / f"{name}.pem").write_text(ssl.DER_cert_to_PEM_cert(der))


def named(directory: Path, file: str, subject: str, *names: str) -> None:
    """Make a client's certificate of this subject (RFC 4514) and alternative names: email:…, dns:… or uri:…"""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from gateway.command import certificates

    kinds = {"email": x509.RFC822Name, "dns": x509.DNSName, "uri": x509.UniformResourceIdentifier}
    alternatives = [kinds[kind](value) for kind, _, value in (name.partition(":") for name in names)]
    authority, signer = certificates._load_authority(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(subject))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    signed = builder.sign(signer, hashes.SHA256())  # type: ignore[arg-type]
    (directory / f"{file}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / f"{file}.key").write_bytes(encoded)
    (directory / f"{file}.key").chmod(0o600)
