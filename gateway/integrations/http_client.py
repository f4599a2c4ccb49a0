"""HTTP client: posts one body after the other to one URL, over a connection that is kept."""

import base64
from typing import NamedTuple

import h11
import trio

from gateway.integrations.link import Link
from gateway.integrations.site import IntegrationError
from gateway.settings.addresses import join_address
from gateway.settings.numbers import HTTP_PORTS, HttpUrl, NumberSink
from gateway.version import VERSION

# Of an answer's body: what is looked at for words, and what is read at all.
WORDS_BYTES, MOST_BODY_BYTES = 1024, 1 << 20
USER_AGENT = f"leafgate/{VERSION}"


class Answer(NamedTuple):
    """`words` are the first line of the body; `retry_after` is in seconds, None where nothing is said of that."""

    status: int
    words: str
    retry_after: float | None


class HttpClient:
    """Raises IntegrationError where no answer comes; what is answered is for the caller to judge."""

    def __init__(self, config: NumberSink, target: str, headers: dict[str, str]) -> None:
        self._config = config
        url = config.url
        plain = url.port == HTTP_PORTS[url.scheme]
        host = join_address(url.host, url.port) if not plain else f"[{url.host}]" if ":" in url.host else url.host
        self._target = target
        self._headers = {"Host": host, "User-Agent": USER_AGENT, **headers}
        self._link: Link | None = None
        self._codec: h11.Connection | None = None

    async def post(self, body: bytes) -> Answer:
        """One request. Over a connection that was used before it is tried a second time: the server may have closed
        that since, and what it did not see is not lost.
        """
        is_kept = self._link is not None
        try:
            return await self._exchange(body)
        except IntegrationError:
            await self.close()
            if not is_kept:
                raise
        except BaseException:
            await self.close()
            raise
        try:
            return await self._exchange(body)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        link, self._link, self._codec = self._link, None, None
        if link is not None:
            await link.close()

    async def _exchange(self, body: bytes) -> Answer:
        config = self._config
        if self._link is None:
            seconds = config.answer_timeout_seconds
            secure = config.url.scheme == "https"
            self._link = await Link.open(config.url, config.proxy, config.tls, seconds, secure=secure)
            self._codec = h11.Connection(h11.CLIENT)
        codec, link = self._codec, self._link
        assert codec is not None
        headers = [*self._headers.items(), ("Content-Length", str(len(body)))]
        request = h11.Request(method="POST", target=self._target, headers=headers)
        pieces = [codec.send(one) for one in (request, h11.Data(data=body), h11.EndOfMessage())]
        try:
            with trio.fail_after(config.answer_timeout_seconds):
                await link.send(b"".join(filter(None, pieces)))
                answer = await self._answer(codec, link)
        except trio.TooSlowError:
            sentence = f"{config.url} does not answer within {config.answer_timeout_seconds:g} s"
            raise IntegrationError(sentence) from None
        except h11.RemoteProtocolError as error:
            raise IntegrationError(f"{config.url} does not speak HTTP: {error}") from None
        if codec.our_state is h11.DONE and codec.their_state is h11.DONE:
            codec.start_next_cycle()
        else:
            await self.close()
        return answer

    async def _answer(self, codec: h11.Connection, link: Link) -> Answer:
        response: h11.Response | None = None
        body = bytearray()
        size = 0
        while True:
            event = codec.next_event()
            if event is h11.NEED_DATA:
                codec.receive_data(await link.receive())
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                body += event.data[: WORDS_BYTES - len(body)]
                if size > MOST_BODY_BYTES:
                    raise IntegrationError(f"{self._config.url} answers more than anybody would read")
            elif isinstance(event, h11.EndOfMessage):
                assert response is not None
                return Answer(response.status_code, first_line(bytes(body)), retry_after(response))
            elif isinstance(event, h11.ConnectionClosed):
                raise IntegrationError(f"{self._config.url} has closed the connection without an answer")


def first_line(body: bytes) -> str:
    """What a server says of a fault, for a line of the log."""
    text = " ".join(body.decode("utf-8", "replace").split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:300]


def retry_after(response: h11.Response) -> float | None:
    """Seconds, where they are said so; a date is as good as nothing."""
    for name, value in response.headers:
        if name == b"retry-after" and value.isdigit() and len(value) < 7:
            return float(value)
    return None


def authorization(config: NumberSink, scheme: str) -> dict[str, str]:
    """The header by which the server knows us; `scheme` is that of a token."""
    user, password = config.user or config.url.user, config.url.password or ""
    if config.token is not None:
        return {"Authorization": f"{scheme} {config.token.value}"}
    if not user:
        return {}
    if config.password is not None:
        password = config.password.value
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


def target_of(url: HttpUrl, default: str) -> str:
    """The path and the query of a URL; where it has no path the default one."""
    path, mark, query = url.target.partition("?")
    return f"{path if path != '/' else default}{mark}{query}"
