"""Serial ports of other machines: `socket://` is the bare byte stream, `rfc2217://` telnet with the port's settings."""

from urllib.parse import urlsplit

import trio

from gateway.devices.ports.port import READ_SIZE, PortError, describe
from gateway.devices.ports.rfc2217 import TelnetPort, escape

DIAL_SECONDS = 5.0


class SocketPort:
    """A byte stream over TCP to whatever serves the port there."""

    def __init__(self, url: str, stream: trio.SocketStream) -> None:
        self.name = url
        self.line: object = url
        self._stream = stream

    async def read(self) -> bytes:
        try:
            data = await self._stream.receive_some(READ_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise PortError(describe(error.__cause__ or error)) from None
        if not data:
            raise PortError("closed by the other machine")
        return bytes(data)

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise PortError(describe(error.__cause__ or error)) from None

    async def set_baud(self, rate: int) -> None:
        """The rate is set at the other end, and not by us."""
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self._stream.socket.close()


class Rfc2217Port(SocketPort):
    """A port whose rate can be set from here."""

    def __init__(self, url: str, stream: trio.SocketStream, baud: int) -> None:
        super().__init__(url, stream)
        self._telnet = TelnetPort()
        self._baud = baud
        self._configured = False
        self._sending = trio.Lock()

    async def read(self) -> bytes:
        while True:
            data = self._telnet.receive(await super().read())
            await self._answer()
            if self._telnet.refused:
                raise PortError("the other machine does not speak RFC 2217; use socket://")
            if data:
                return data

    async def write(self, data: bytes) -> None:
        await self._answer()
        async with self._sending:
            await super().write(escape(data))

    async def set_baud(self, rate: int) -> None:
        async with self._sending:
            await super().write(self._telnet.set_baud(rate))

    async def _answer(self) -> None:
        async with self._sending:
            waiting = bytes(self._telnet.to_send)
            self._telnet.to_send.clear()
            if not self._configured:
                self._configured = True
                waiting += self._telnet.configure(self._baud)
            if waiting:
                await super().write(waiting)


async def open_network_port(url: str, baud: int) -> SocketPort:
    """Raises PortError."""
    parts = urlsplit(url)
    try:
        with trio.fail_after(DIAL_SECONDS):
            stream = await trio.open_tcp_stream(parts.hostname or "", parts.port or 0)
    except (OSError, trio.TooSlowError) as error:
        raise PortError("no answer" if isinstance(error, trio.TooSlowError) else str(error)) from None
    return Rfc2217Port(url, stream, baud) if parts.scheme == "rfc2217" else SocketPort(url, stream)
