"""Securing: TLS of the listeners, and what stands before a session where a peer comes to one of them.

Everything that knows TLS is imported where it is configured.
"""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gateway.errors import ConfigError
from gateway.settings.addresses import ServerUrl
from gateway.settings.integration import KINDS
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.settings.security import LinkTls
from gateway.transport.connection import Connection
from gateway.transport.session import Session

if TYPE_CHECKING:
    from gateway.transport.tls_contexts import ServerTls

# What those hear who speak no TLS, in the words of their protocol. MQTT has none before its CONNECT.
NO_TLS_TO_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 25\r\n\r\n"
    b"this address speaks TLS.\n"
)
TLS_REQUIRED = "Secure Connection - TLS Required"
THROTTLED = "Connection throttling is active. Please try again later."


@runtime_checkable
class Greeting(Protocol):
    """A session whose peers are told something first, be it before TLS."""

    def greet(self) -> bytes: ...


def open_tls(config: Config) -> "dict[Listener, ServerTls]":
    """TLS of all listeners that have it. Raises ConfigError."""
    if all(listener.tls is None for listener in config.listeners):
        return {}
    from gateway.transport.tls_contexts import ServerTls

    return {
        listener: ServerTls(f"listeners[{index}].tls", listener.tls, listener.protocol)
        for index, listener in enumerate(config.listeners)
        if listener.tls is not None
    }


def open_monitoring_tls(config: Config) -> "ServerTls | None":
    """Raises ConfigError."""
    if config.monitoring.tls is None or not config.monitoring.address:
        return None
    from gateway.transport.tls_contexts import ServerTls

    return ServerTls("monitoring.tls", config.monitoring.tls, "monitoring")


def check_tls(config: Config) -> None:
    """Whether all files that TLS needs are there and fit. Raises ConfigError."""
    open_tls(config)
    open_monitoring_tls(config)
    for index, uplink in enumerate(config.uplinks):
        _check_client_tls(f"uplinks[{index}].tls", uplink.tls, uplink.urls[0], uplink.handshake_timeout_seconds)
    for index, bridge in enumerate(config.bridges):
        _check_client_tls(f"bridges[{index}].tls", bridge.tls, bridge.urls[0], bridge.answer_timeout_seconds)
    for kind in KINDS:
        for index, one in enumerate(getattr(config, kind)):
            tls = getattr(one, "tls", None)
            if tls is not None:
                url = getattr(one, "url", None) or one.urls[0]
                _check_client_tls(f"{kind.replace('_', '-')}[{index}].tls", tls, url, one.answer_timeout_seconds)


def _check_client_tls(key: str, tls: LinkTls | None, url: ServerUrl, seconds: float) -> None:
    """Whether the files fit by which a link that the gateway opens has TLS. Raises ConfigError."""
    if tls is None:
        return
    from gateway.transport.tls_contexts import ClientTerms

    try:
        ClientTerms(tls, url.host, seconds)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def secured(connection: Connection, session: Session, listener: Listener, tls: "ServerTls") -> Session:
    """What a peer meets first at this listener; the session follows."""
    from gateway.transport.tls_handshake import PlainWords, TlsHandshake

    if not listener.speaks_first:
        words = PlainWords(required=NO_TLS_TO_HTTP if listener.protocol == "websocket" else b"")
    else:
        from protocols.nats.framing import encode_error

        assert isinstance(session, Greeting)
        greeting = b"" if listener.tls_at_once else session.greet()
        words = PlainWords(greeting, encode_error(TLS_REQUIRED), encode_error(THROTTLED))
    optional = listener.tls is not None and listener.tls.optional
    return TlsHandshake(connection, tls.terms, session, session.opened, words=words, plain_allowed=optional)
