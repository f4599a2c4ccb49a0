"""TlsSession: what a finished TLS handshake has agreed on."""

from dataclasses import dataclass

# Of TLS 1.2, whose ciphers OpenSSL has names of its own for; those of TLS 1.3 are called alike everywhere.
SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What is told of a certificate: its subject by RFC 4514, digests (SHA-256, hexadecimal) of its key and of all."""

    subject: str
    spki_sha256: str
    cert_sha256: str


@dataclass(frozen=True, slots=True)
class TlsSession:
    """`version` and `cipher` as OpenSSL names them; `certificate` is the peer's, verified, as DER, or empty; `told` is
    there with it. `psk_identity` is who shares the key, where the peer came with one instead.
    """

    version: str
    cipher: str
    certificate: bytes = b""
    psk_identity: str = ""
    told: PeerCertificate | None = None

    @property
    def version_number(self) -> str:
        """As in 1.3."""
        return self.version.removeprefix("TLSv")

    @property
    def suite(self) -> str:
        """The cipher's name in the register of IANA, where it is known."""
        return SUITES.get(self.cipher, self.cipher)
