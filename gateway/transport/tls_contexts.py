"""TLS contexts: on what terms a listener, or a link to a hub, speaks TLS. Files that change are taken up for the next
connections; while they are broken, the ones before hold.
"""

import logging
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import trio
from cryptography import x509

from gateway.errors import ConfigError
from gateway.settings.paths import path_of
from gateway.settings.security import KeyPair, LinkTls, Tls
from gateway.transport import tls_files

log = logging.getLogger("leafgate.tls")

# Application protocols that are offered (ALPN), by the protocol of a listener.
APPLICATIONS = {
    "nats": ("nats",),
    "leafnode": ("nats",),
    "mqtt": ("mqtt",),
    "websocket": ("http/1.1",),
    "fluent": (),
    "monitoring": ("http/1.1",),
}
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
VERIFY = {"none": ssl.CERT_NONE, "ask": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED, "map": ssl.CERT_REQUIRED}
# Of TLS 1.2, only what keeps recorded traffic secret when a key is lost later, and what boards speak with a shared key.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
PSK_CIPHERS = (
    "ECDHE-PSK-CHACHA20-POLY1305:PSK-CHACHA20-POLY1305:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:"
    "ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-CBC-SHA256"
)
# What OpenSSL calls back with is decoded before we see it. Python writes a traceback where that fails, for each peer
# that wants it; the handshake fails, too, and its line says so.
_loud_hook = sys.unraisablehook


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    trace = found.exc_traceback
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    is_from_handshake = trace is not None and trace.tb_frame.f_code.co_filename == ssl.__file__
    if not (isinstance(found.exc_value, UnicodeDecodeError) and is_from_handshake):
        _loud_hook(found)


sys.unraisablehook = _unraisable

# Files are looked at this often, when somebody comes.
LOOK_SECONDS = 1.0


class TlsTerms(Protocol):
    """What a handshake must know (gateway.transport.tls_handshake)."""

    @property
    def is_server(self) -> bool: ...

    @property
    def seconds(self) -> float:
        """How long the handshake may take."""

    @property
    def takes_long(self) -> bool:
        """Whether its steps must not be computed in the loop's thread."""

    def admits(self, now: float) -> bool:
        """Whether one more may begin in this second."""

    def engine(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject: ...

    def asked_identity(self) -> str:
        """Whose shared key the step before, in this thread, asked for; empty for nobody's."""

    def complaint(self, engine: ssl.SSLObject, certificate: bytes, identity: str) -> str:
        """Why the peer is not let in although its handshake is done; empty where it is. Raises one of
        gateway.transport.tls_files.UNREADABLE.
        """


class ServerTerms:
    """The terms of a listener, from its files as they were once. Raises ValueError for files that do not fit."""

    is_server = True

    def __init__(self, config: Tls, protocol: str) -> None:
        self.seconds = config.handshake_seconds
        self.takes_long = False
        self.not_after: datetime | None = None
        self._pins = frozenset(pin.lower() for pin in config.pinned_certificates)
        self._keys = tls_files.read_shared_keys(path_of(config.psk_file)) if config.psk_file else {}
        self._asked = threading.local()
        self._most = config.max_handshakes_per_second
        self._second = 0
        self._begun = 0
        applications = APPLICATIONS[protocol]
        self.context = self._make_context(config, applications)
        self._by_name: dict[str, ssl.SSLContext] = {}
        if config.certificate:
            self._load(self.context, KeyPair(certificate=config.certificate, key=config.key))
        for pair in config.certificates:
            self._load(self._make_context(config, applications), pair)
        if config.certificates:
            self.context.sni_callback = self._choose

    def _make_context(self, config: Tls, applications: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = VERSIONS[config.minimum_version]
        context.options |= ssl.OP_NO_RENEGOTIATION
        # A peer without AES in its hardware knows better what is fast.
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(f"{CIPHERS}:{PSK_CIPHERS}" if self._keys else CIPHERS)
        context.set_alpn_protocols(list(applications))
        context.num_tickets = 1
        if config.client_ca:
            tls_files.load_authorities(context, config.client_ca)
            context.verify_mode = VERIFY[config.verify]
        if self._keys:
            # Who shares a key says each time who he is: a session that is taken up again would not tell.
            context.num_tickets = 0
            context.options |= ssl.OP_NO_TICKET
            if not hasattr(context, "set_psk_server_callback"):
                raise ValueError("shared keys need Python 3.13 or newer")
            context.set_psk_server_callback(self._shared_key)
        return context

    def _load(self, context: ssl.SSLContext, pair: KeyPair) -> None:
        certificate = tls_files.load_chain(context, pair.certificate, pair.key)
        try:
            self.takes_long = self.takes_long or tls_files.has_slow_key(certificate)
            names = tls_files.names_of(certificate)
        except tls_files.UNREADABLE:
            raise ValueError(f"{path_of(pair.certificate)} holds a certificate that cannot be read") from None
        ends = certificate.not_valid_after_utc
        self.not_after = ends if self.not_after is None else min(self.not_after, ends)
        for name in names:
            self._by_name.setdefault(name, context)

    def _choose(self, engine: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """The certificate for the name that the peer asks for; the first one where none is."""
        if name is not None:
            asked = name.lower()
            found = self._by_name.get(asked) or self._by_name.get("*." + asked.partition(".")[2])
            if found is not None:
                engine.context = found

    def _shared_key(self, identity: str | None) -> bytes:
        key = self._keys.get(identity or "", b"")
        if key:
            self._asked.identity = identity
        return key

    def asked_identity(self) -> str:
        identity: str = getattr(self._asked, "identity", "")
        self._asked.identity = ""
        return identity

    def admits(self, now: float) -> bool:
        if not self._most:
            return True
        if int(now) != self._second:
            self._second, self._begun = int(now), 0
        self._begun += 1
        return self._begun <= self._most

    def engine(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        return self.context.wrap_bio(incoming, outgoing, server_side=True)

    def complaint(self, engine: ssl.SSLObject, certificate: bytes, identity: str) -> str:
        if self._keys and is_by_shared_key(engine) and not identity:
            return "the peer shares no key now"
        if certificate and (self._pins or engine.session_reused):
            parsed = x509.load_der_x509_certificate(certificate)
            complaint = pin_complaint(self._pins, parsed)
            if complaint:
                return complaint
            if not tls_files.is_current(parsed):
                return "the peer's certificate: certificate has expired"
        return ""


def pin_complaint(pins: frozenset[str], certificate: x509.Certificate) -> str:
    """Whether a certificate has one of the keys, where some are given; empty where it has."""
    if pins and tls_files.key_digest(certificate) not in pins:
        return "the key of the peer's certificate is none of pinned-certificates"
    return ""


def is_by_shared_key(engine: ssl.SSLObject) -> bool:
    """Whether the peer has proved that it shares the key, where no sessions are taken up again."""
    cipher = engine.cipher()
    return bool(engine.session_reused) or (cipher is not None and "PSK" in cipher[0])


class ServerTls:
    """TLS of one listener; `key` is where it stands in the configuration. Raises ConfigError."""

    def __init__(self, key: str, config: Tls, protocol: str) -> None:
        self.key = key
        self.config = config
        self.faults = 0
        self._protocol = protocol
        self._stamps = self._look()
        self._looked = 0.0
        self._is_loading = False
        try:
            self.terms = ServerTerms(config, protocol)
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from None

    def files(self) -> list[Path]:
        """All that it is made of."""
        config = self.config
        pairs = [(config.certificate, config.key), *((one.certificate, one.key) for one in config.certificates)]
        names = [name for pair in pairs for name in pair] + [config.client_ca, config.psk_file]
        return [path_of(name) for name in dict.fromkeys(names) if name]

    def _look(self) -> list[tls_files.Stamp | None]:
        return [tls_files.stamp(path) for path in self.files()]

    def refresh(self) -> bool:
        """Take up files that have changed, all or none of them; whether they are in force. Takes some milliseconds."""
        stamps = self._look()
        if stamps == self._stamps:
            return True
        self._stamps = stamps
        try:
            self.terms = ServerTerms(self.config, self._protocol)
        except ValueError as error:
            self.faults += 1
            log.error("event=certificates-kept key=%s reason=%r", self.key, str(error))
            return False
        log.info("event=certificates-changed key=%s", self.key)
        return True

    def look(self, now: float, spawn: Callable[[Callable[[], Awaitable[object]]], None]) -> None:
        """Somebody comes: where files have changed since the last look, have them taken up."""
        if now - self._looked < LOOK_SECONDS or self._is_loading:
            return
        self._looked = now
        if self._look() == self._stamps:
            return
        self._is_loading = True

        async def load() -> None:
            try:
                await trio.to_thread.run_sync(self.refresh)
            finally:
                self._is_loading = False

        spawn(load)


class ClientTerms:
    """The terms of a link to a hub. Raises ValueError for files that do not fit; what it loads takes a while. `alpn`
    names what is spoken inside, where the server asks.
    """

    is_server = False

    def __init__(self, config: LinkTls, host: str, seconds: float, alpn: Sequence[str] = ()) -> None:
        self.seconds = seconds
        self._pins = frozenset(pin.lower() for pin in config.pinned_certificates)
        self.takes_long = False
        self.host = config.server_name or host
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_ciphers(CIPHERS)
        if config.ca:
            tls_files.load_authorities(context, config.ca)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if config.certificate:
            certificate = tls_files.load_chain(context, config.certificate, config.key)
            self.takes_long = tls_files.has_slow_key(certificate)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self.context = context

    def asked_identity(self) -> str:
        return ""

    def admits(self, now: float) -> bool:
        return True

    def engine(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        return self.context.wrap_bio(incoming, outgoing, server_hostname=self.host)

    def complaint(self, engine: ssl.SSLObject, certificate: bytes, identity: str) -> str:
        return self.complaint_about(certificate)

    def complaint_about(self, certificate: bytes) -> str:
        """Why the server is not the one that is meant, by its certificate as DER; empty where it is."""
        return pin_complaint(self._pins, x509.load_der_x509_certificate(certificate)) if self._pins else ""
