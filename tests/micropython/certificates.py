"""Certificates for a test: a CA, and what it signs for servers."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """A CA that was made now; `der` is the file with its certificate for devices, `pem` that for others."""

    def __init__(self, directory: Path, name: str = "test CA") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        signed = certificate.sign(self._key, hashes.SHA256())
        self.der = directory / "ca.der"
        self.der.write_bytes(signed.public_bytes(serialization.Encoding.DER))
        self.pem = directory / "ca.pem"
        self.pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def server(self, *hosts: str) -> tuple[Path, Path]:
        """Certificate and key, as PEM files, of a server with these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        signed = (
            self._builder(_common_name(hosts[0]), key)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate_file = self._directory / "server.pem"
        certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key_file = self._directory / "server.key"
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate_file, key_file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - DAY).not_valid_after(now + DAY)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
