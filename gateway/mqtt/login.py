"""What a CONNECT says of who the client is."""

from gateway.accounts.admission import connection_type
from gateway.accounts.identity import Credentials, Refusal
from gateway.transport.connection import Connection
from protocols.mqtt.packets import Connect
from protocols.mqtt.reason_codes import ReasonCode


def login_of(packet: Connect, connection: Connection) -> Credentials:
    """A password can also be the token, or a JWT: clients know of nothing else."""
    password = packet.password or b""
    text = password.decode("utf-8", "replace")
    tls = connection.tls
    return Credentials(
        kind=connection_type("mqtt", connection),
        user=(packet.username or b"").decode("utf-8", "replace"),
        password=password,
        token=text,
        jwt=text if is_jwt(text) else "",
        certificate=tls.certificate if tls is not None else b"",
        psk_identity=tls.psk_identity if tls is not None else "",
        client_id=packet.client_id,
        address=connection.address[0],
        listener=connection.listener,
        connection=connection.cid,
    )


def is_jwt(text: str) -> bool:
    """Whether a text has the form of a JWT: three parts of base64url, the first of them of a JSON object."""
    parts = text.split(".")
    return len(parts) == 3 and all(parts) and text.startswith("ey") and text.isascii()


def refusal_code(packet: Connect, refusal: Refusal) -> ReasonCode:
    """What a client hears that is not let in."""
    if refusal.is_busy:
        return ReasonCode.SERVER_BUSY
    properties = packet.properties
    is_named = packet.username is not None or packet.password is not None
    if is_named and (properties is None or properties.authentication_method is None):
        return ReasonCode.BAD_USER_NAME_OR_PASSWORD
    return ReasonCode.NOT_AUTHORIZED
