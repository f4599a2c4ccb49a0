"""Credentials: all that a CONNECT, a client's or a spoke's, and its connection say of who somebody is."""

from gateway.accounts.identity import Credentials
from gateway.transport.connection import Connection
from protocols.nats.login import Login


def credentials_of(
    connection: Connection,
    kind: str,
    login: Login,
    nonce: bytes,
    *,
    name: str = "",
    lang: str = "",
    version: str = "",
    protocol: int = 0,
) -> Credentials:
    """`kind` is the type of the connection, `nonce` what the peer was to sign."""
    tls = connection.tls
    return Credentials(
        kind=kind,
        user=login.user,
        password=login.password.encode("utf-8", "surrogatepass"),
        token=login.token,
        nkey=login.nkey,
        signature=login.signature,
        jwt=login.jwt,
        nonce=nonce,
        certificate=tls.certificate if tls is not None else b"",
        psk_identity=tls.psk_identity if tls is not None else "",
        address=connection.address[0],
        name=name,
        listener=connection.listener,
        connection=connection.cid,
        lang=lang,
        version=version,
        protocol=protocol,
    )
