"""The login of who brings events: that both share a key, and who it is, where somebody has to say that."""

import os

from gateway.accounts.admission import connection_type
from gateway.accounts.identity import Credentials
from gateway.settings.fluent import FluentEntrance
from gateway.transport.connection import Connection
from protocols.fluent import handshake
from protocols.fluent.handshake import SALT_BYTES, Ping, Pong

WRONG_KEY = "shared key mismatch"
NOT_LET_IN = "username/password mismatch"


class FluentLogin:
    """One handshake. `asks_user`: the peer has to say who it is, not only that it has the key."""

    __slots__ = ("_auth", "_hostname", "_key", "_nonce", "_ping")

    def __init__(self, config: FluentEntrance, hostname: str, asks_user: bool) -> None:
        assert config.shared_key is not None
        self._key = config.shared_key.value.encode()
        self._hostname = (config.hostname or f"leafgate-{hostname}").encode()
        self._nonce = os.urandom(SALT_BYTES)
        self._auth = os.urandom(SALT_BYTES) if asks_user else b""
        self._ping: Ping | None = None

    def helo(self) -> bytes:
        return handshake.encode_helo(self._nonce, self._auth)

    def has_key(self, ping: Ping) -> bool:
        """Whether the peer has shown that it has the key."""
        self._ping = ping
        expected = handshake.shared_key_digest(ping.salt, ping.hostname, self._nonce, self._key)
        return handshake.is_same(ping.key_digest, expected)

    def credentials(self, ping: Ping, connection: Connection) -> Credentials:
        auth, tls = self._auth, connection.tls

        def proves(password: bytes) -> bool:
            expected = handshake.password_digest(auth, ping.user, password)
            return bool(auth) and handshake.is_same(ping.password_digest, expected)

        return Credentials(
            kind=connection_type("fluent", connection),
            user=ping.user.decode("utf-8", "replace"),
            proves_password=proves if ping.user else None,
            certificate=tls.certificate if tls is not None else b"",
            psk_identity=tls.psk_identity if tls is not None else "",
            address=connection.address[0],
            name=ping.hostname.decode("utf-8", "replace"),
            listener=connection.listener,
            connection=connection.cid,
        )

    def welcome(self) -> bytes:
        assert self._ping is not None
        digest = handshake.shared_key_digest(self._ping.salt, self._hostname, self._nonce, self._key)
        return handshake.encode_pong(Pong(True, "", self._hostname, digest))

    def refusal(self, reason: str) -> bytes:
        return handshake.encode_pong(Pong(False, reason, b"", b""))
