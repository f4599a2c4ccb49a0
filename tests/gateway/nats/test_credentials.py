"""What a connection says of who somebody is reaches those who decide, whoever speaks."""

from gateway.nats.credentials import credentials_of
from gateway.settings.schema import Config
from gateway.transport.tls_session import TlsSession
from protocols.nats.login import NOBODY, Login
from tests.gateway.memory_connection import MemoryConnection, running_gateway


async def test_what_was_proved_in_the_handshake_is_among_them():
    async with running_gateway(Config()) as gateway:
        connection = MemoryConnection(gateway)
        plain = credentials_of(connection, "leafnode", NOBODY, b"nonce")  # type: ignore[arg-type]
        assert (plain.certificate, plain.psk_identity, plain.nonce) == (b"", "", b"nonce")
        connection.tls = TlsSession("TLSv1.3", "", b"der", "sensor1", None)
        login = Login(user="ann", password="\udcff")
        found = credentials_of(connection, "leafnode", login, b"", name="x")  # type: ignore[arg-type]
        assert (found.certificate, found.psk_identity, found.user, found.name) == (b"der", "sensor1", "ann", "x")
        assert found.password == b"\xed\xb3\xbf"
