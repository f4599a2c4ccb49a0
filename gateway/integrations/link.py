"""Link: a stream to a server that an integration is a client of, straight or through a proxy, in TLS or not."""

import ssl
from typing import TYPE_CHECKING

import trio

from gateway.integrations.site import IntegrationError
from gateway.settings.addresses import ServerUrl
from gateway.settings.security import LinkTls
from gateway.settings.uplink import ProxyUrl
from gateway.uplink.dialing import DialError, dial

if TYPE_CHECKING:
    from gateway.transport.tls_contexts import ClientTerms

# What is read in one go.
READ_BYTES = 1 << 16
# How long a farewell may take.
FAREWELL_SECONDS = 1.0


class Link:
    """`open` it first. Each wait has its time: `seconds` for a connection, for what the server takes, for an answer.
    Raises IntegrationError, in a sentence that names the server and repeats no secret.
    """

    def __init__(self, stream: trio.abc.Stream, url: ServerUrl, seconds: float) -> None:
        self.url = url
        self._stream = stream
        self._seconds = seconds

    @classmethod
    async def open(
        cls, url: ServerUrl, proxy: ProxyUrl | None, tls: LinkTls | None, seconds: float, *, secure: bool
    ) -> "Link":
        """A connection; `secure`: inside TLS."""
        terms = await trio.to_thread.run_sync(_terms, tls or LinkTls(), url, seconds) if secure else None
        try:
            sock = await dial(url, proxy, seconds, seconds)
        except DialError as error:
            raise IntegrationError(f"{url}: {error}") from None
        stream: trio.abc.Stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        if terms is not None:
            stream = await _secured(stream, terms, url, seconds)
        return cls(stream, url, seconds)

    async def send(self, data: bytes) -> None:
        try:
            with trio.fail_after(self._seconds):
                await self._stream.send_all(data)
        except trio.TooSlowError:
            raise IntegrationError(f"{self.url} takes nothing for {self._seconds:g} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise IntegrationError(f"{self.url} has closed the connection{_why(error)}") from None

    async def receive(self, seconds: float | None = None) -> bytes:
        """What has come; b"" at the end of the stream."""
        wait = self._seconds if seconds is None else seconds
        try:
            with trio.fail_after(wait):
                return bytes(await self._stream.receive_some(READ_BYTES))
        except trio.TooSlowError:
            raise IntegrationError(f"{self.url} does not answer within {wait:g} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise IntegrationError(f"{self.url} has closed the connection{_why(error)}") from None

    async def close(self) -> None:
        with trio.move_on_after(FAREWELL_SECONDS) as scope:
            scope.shield = True
            await self._stream.aclose()


def _why(error: BaseException) -> str:
    """What OpenSSL found; what the kernel says of an end tells nothing more."""
    from gateway.transport.tls_words import reason_of

    cause = error.__cause__
    return f": TLS: {reason_of(cause)}" if isinstance(cause, ssl.SSLError) else ""


def _terms(tls: LinkTls, url: ServerUrl, seconds: float) -> "ClientTerms":
    """In a thread: files are read."""
    from gateway.transport.tls_contexts import ClientTerms

    try:
        return ClientTerms(tls, url.host, seconds)
    except ValueError as error:
        raise IntegrationError(f"TLS for {url}: {error}", lasting=True) from None


async def _secured(stream: trio.abc.Stream, terms: "ClientTerms", url: ServerUrl, seconds: float) -> trio.abc.Stream:
    secured = trio.SSLStream(stream, terms.context, server_hostname=terms.host, https_compatible=True)
    complaint = ""
    try:
        with trio.fail_after(seconds):
            await secured.do_handshake()
        complaint = terms.complaint_about(secured.getpeercert(binary_form=True))
    except trio.TooSlowError:
        complaint = "no answer to the handshake"
    except (trio.BrokenResourceError, ssl.CertificateError) as error:
        complaint = _why(error).removeprefix(": TLS: ") or str(error.__cause__ or error) or "the peer left"
    if complaint:
        await trio.aclose_forcefully(secured)
        raise IntegrationError(f"{url}: TLS: {complaint}")
    return secured
