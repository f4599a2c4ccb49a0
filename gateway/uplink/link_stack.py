"""Link stack: the sessions that stand in front of a spoke's on a connection to a hub: TLS, and WebSocket inside it."""

from typing import TYPE_CHECKING, Protocol

from gateway.settings.addresses import ServerUrl, join_address
from gateway.settings.uplink import Uplink
from gateway.transport.connection import Connection
from gateway.transport.session import Session
from gateway.uplink.hub_urls import is_websocket, leafnode_path

if TYPE_CHECKING:
    from gateway.transport.tls_contexts import ClientTerms


class Dialled(Protocol):
    @property
    def config(self) -> Uplink: ...

    @property
    def url(self) -> ServerUrl: ...

    @property
    def wants_tls(self) -> bool: ...

    async def tls_terms(self) -> "ClientTerms | str": ...


async def stack_sessions(connection: Connection, session: Session, link: Dialled) -> str:
    """Give the connection what it begins with; returns why that cannot be, or ""."""
    config, url = link.config, link.url
    first = session
    begins_with_tls = config.tls is not None and config.tls.handshake_first
    if is_websocket(url):
        from gateway.websocket.client_session import WebSocketClientSession

        host = join_address(url.host, url.port)
        first = WebSocketClientSession(connection, session, host, leafnode_path(url), config.handshake_timeout_seconds)
        begins_with_tls = link.wants_tls
    connection.session = first
    if begins_with_tls:
        terms = await link.tls_terms()
        if isinstance(terms, str):
            return terms
        from gateway.transport.tls_handshake import TlsHandshake

        connection.session = TlsHandshake(connection, terms, first, first.opened)
    return ""
