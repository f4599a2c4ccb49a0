"""FluentLink: one connection to a server of the forward protocol, logged in to, and what it acknowledges."""

import os
from collections.abc import AsyncIterator

from gateway.integrations.link import Link
from gateway.integrations.site import IntegrationError
from gateway.settings.fluent import Fluent, FluentUrl
from protocols.errors import PeerViolation
from protocols.fluent import handshake
from protocols.fluent.frames import LARGEST_ANSWER, FrameReader, read_acknowledgement
from protocols.fluent.handshake import SALT_BYTES, Helo, Ping, Pong

NEVER = float("inf")
ASKS_FOR_KEY = "{} asks for a shared key: set shared-key"
SAYS_NOTHING = "{} says no HELO within {:g} s: it asks for no shared key, or is none that speaks the forward protocol"


class FluentLink:
    """`open` it first. Raises IntegrationError."""

    def __init__(self, link: Link, url: FluentUrl) -> None:
        self.url = url
        self._link = link
        self._reader = FrameReader(LARGEST_ANSWER)

    @classmethod
    async def open(cls, config: Fluent, url: FluentUrl, hostname: str) -> "FluentLink":
        """Connected, and logged in where there is a key."""
        seconds = config.answer_timeout_seconds
        link = cls(await Link.open(url, config.proxy, config.tls, seconds, secure=url.scheme == "tls"), url)
        try:
            if config.shared_key is not None:
                await link._log_in(config, config.shared_key.value.encode(), config.hostname or hostname)
        except BaseException:
            await link.close()
            raise
        return link

    async def _log_in(self, config: Fluent, key: bytes, hostname: str) -> None:
        helo = await self._hear_helo(config.answer_timeout_seconds)
        name, salt = hostname.encode(), os.urandom(SALT_BYTES).hex().encode()
        shown = b""
        if helo.auth:
            if config.password is None:
                raise IntegrationError(f"{self.url} asks for a user: set user and password", lasting=True)
            shown = handshake.password_digest(helo.auth, config.user.encode(), config.password.value.encode())
        digest = handshake.shared_key_digest(salt, name, helo.nonce, key)
        await self._link.send(handshake.encode_ping(Ping(name, salt, digest, config.user.encode(), shown)))
        pong = await self._hear_pong()
        if not pong.is_welcome:
            words = "".join(filter(str.isprintable, pong.reason))[:100] or "nothing more"
            raise IntegrationError(f"{self.url} does not let us in, it says: {words}", lasting=True)
        expected = handshake.shared_key_digest(salt, pong.hostname, helo.nonce, key)
        if not handshake.is_same(pong.key_digest, expected):
            raise IntegrationError(f"{self.url} does not have the shared key", lasting=True)

    async def _hear_helo(self, seconds: float) -> Helo:
        try:
            frame = await self._next(seconds)
        except IntegrationError as error:
            if "within" not in str(error):
                raise
            raise IntegrationError(SAYS_NOTHING.format(self.url, seconds), lasting=True) from None
        helo = handshake.read_helo(frame)
        if helo is None:
            raise IntegrationError(f"{self.url} does not begin with HELO", lasting=True)
        return helo

    async def _hear_pong(self) -> Pong:
        pong = handshake.read_pong(await self._next())
        if pong is None:
            raise IntegrationError(f"{self.url} does not answer PING with PONG", lasting=True)
        return pong

    async def _next(self, seconds: float | None = None) -> bytes:
        while (frame := self._reader.next()) is None:
            data = await self._link.receive(seconds)
            if not data:
                raise IntegrationError(f"{self.url} has closed the connection")
            self._reader.feed(data)
        if isinstance(frame, PeerViolation):
            raise IntegrationError(f"{self.url} does not speak the forward protocol: it sends {frame.detail}")
        return frame

    async def send(self, chunk: bytes) -> None:
        await self._link.send(chunk)

    async def acknowledgements(self) -> AsyncIterator[bytes]:
        """Ids as they come, for ever."""
        while True:
            frame = await self._next(NEVER)
            found = read_acknowledgement(frame)
            if found is not None:
                yield found
            elif handshake.read_helo(frame) is not None:
                raise IntegrationError(ASKS_FOR_KEY.format(self.url), lasting=True)

    async def close(self) -> None:
        await self._link.close()
