"""HTTP/1.1 over one stream, for handlers that only answer GET. All is bounded: sizes, waits, and what is read."""

import logging
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

import h11
import trio

from gateway.runtime.turns import TURN_SECONDS
from protocols.request_head import complaint_of, holds_controls

log = logging.getLogger("leafgate.monitoring")

MAX_REQUEST_BYTES = 8192
MAX_PARAMETERS = 64
READ_BYTES = 4096
# How long a peer may take to send a request, from the end of the one before, and to take a response.
IDLE_SECONDS = 10.0
# Pieces of a long body between two looks at the clock.
PIECES_IN_A_ROW = 16
# A stream closed with unread bytes is reset, and the peer may lose the response: those bytes are read, within bounds.
LINGER_SECONDS = 1.0
LINGER_READS = 16


@dataclass(frozen=True, slots=True)
class Response:
    """`fields` are header fields beyond those that every response has. A long body is made in pieces as it is sent."""

    status: int
    content_type: str
    body: bytes | Iterator[bytes]
    fields: tuple[tuple[str, str], ...] = ()


# One that takes long is made in steps, or takes its turns itself.
Answer = Response | Generator[None, None, Response] | Awaitable[Response]
Handler = Callable[[str, dict[str, str]], Answer]
# Takes what a request says in Authorization; returns the answer to whoever may not be here.
GuardRequest = Callable[[list[bytes]], Awaitable[Response | None]]


async def let_all_in(authorization: list[bytes]) -> Response | None:
    """Nobody is asked."""
    return None


class _RejectedError(Exception):
    """A request that no handler sees; it ends the connection. Stays inside this module."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def text_response(status: int, text: str, fields: tuple[tuple[str, str], ...] = ()) -> Response:
    """One line of plain text."""
    return Response(status, "text/plain; charset=utf-8", f"{text}\n".encode(), fields)


FAILED = text_response(500, "internal error")


async def serve_connection(
    stream: trio.abc.Stream,
    handler: Handler,
    turn: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    guard: GuardRequest = let_all_in,
) -> None:
    """Answer the requests of one connection until either end closes it, and close the stream.

    The handler gets path and query parameters, decoded; of a parameter that is repeated, the first. It returns at
    once; each slice of an answer's steps or of a long body awaits its `turn`. To whom the `guard` has an answer, that
    is given instead.
    Whatever the peer does, only cancellation comes out of here.
    """
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
    try:
        while await _exchange(stream, http, handler, turn, guard):
            http.start_next_cycle()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # The peer has gone.
    finally:
        await trio.aclose_forcefully(stream)


async def _exchange(
    stream: trio.abc.Stream,
    http: h11.Connection,
    handler: Handler,
    turn: Callable[[], Awaitable[None]],
    guard: GuardRequest,
) -> bool:
    """Take one request and answer it; whether another one may follow."""
    request: h11.Request | None = None
    rejection: Response | None = None
    with trio.move_on_after(IDLE_SECONDS) as patience:
        try:
            request = await _read_head(stream, http)
            if request is not None:
                await _read_end(stream, http, request)
        except _RejectedError as error:
            rejection = error.response
        except h11.RemoteProtocolError as error:
            rejection = text_response(error.error_status_hint, complaint_of(error))
    has_body = request is None or request.method != b"HEAD"
    if rejection is not None:
        await _reject(stream, http, rejection, has_body)
        return False
    if patience.cancelled_caught or request is None:
        return False
    authorization = [value for name, value in request.headers if name == b"authorization"]
    response = await guard(authorization) or await _made(_handle(request, handler), turn)
    with trio.move_on_after(IDLE_SECONDS) as patience:
        await stream.send_all(_encode(http, response, has_body))
    if has_body and not isinstance(response.body, bytes):
        more = True
        while more and not patience.cancelled_caught:
            await turn()
            data, more = _slice(http, response.body)
            with trio.move_on_after(IDLE_SECONDS) as patience:
                await stream.send_all(data)
    return not patience.cancelled_caught and http.our_state is h11.DONE


def _slice(http: h11.Connection, pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """What of a long body is made in one turn, encoded; and whether there is more."""
    until = time.perf_counter() + TURN_SECONDS
    made: list[bytes] = []
    for piece in pieces:
        made.append(piece)
        if len(made) % PIECES_IN_A_ROW == 0 and time.perf_counter() > until:
            return http.send(h11.Data(data=b"".join(made))) or b"", True
    data = http.send(h11.Data(data=b"".join(made))) or b""
    return data + (http.send(h11.EndOfMessage()) or b""), False


async def _read_head(stream: trio.abc.Stream, http: h11.Connection) -> h11.Request | None:
    """The next request; None when the peer has ended the stream. Raises RemoteProtocolError."""
    event = await _next_event(stream, http)
    return event if isinstance(event, h11.Request) else None


async def _read_end(stream: trio.abc.Stream, http: h11.Connection, request: h11.Request) -> None:
    """Read up to the end of a request that can be handled. Raises _RejectedError, RemoteProtocolError."""
    if request.method not in (b"GET", b"HEAD"):
        raise _RejectedError(text_response(405, "only GET and HEAD are answered", (("Allow", "GET, HEAD"),)))
    if not request.target.startswith(b"/"):
        raise _RejectedError(text_response(400, "the request target must be a path"))
    if not isinstance(await _next_event(stream, http), h11.EndOfMessage):
        raise _RejectedError(text_response(400, "a request has no body here"))


async def _next_event(stream: trio.abc.Stream, http: h11.Connection) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await _read_clean(stream))
    return event


async def _read_clean(stream: trio.abc.Stream) -> bytes:
    """More of a request, which has no body: none of it may be what h11 takes long to refuse."""
    data = bytes(await stream.receive_some(READ_BYTES))
    # Whether a CR is good is told by what follows it.
    while data.endswith(b"\r") and len(data) < MAX_REQUEST_BYTES and (more := await stream.receive_some(READ_BYTES)):
        data += more
    if holds_controls(data):
        raise _RejectedError(text_response(400, "there is a control character in the request"))
    return data


async def _made(answer: Answer, turn: Callable[[], Awaitable[None]]) -> Response:
    """The response, of which the steps of a turn are made at a time."""
    if isinstance(answer, Response):
        return answer
    if not isinstance(answer, Generator):
        try:
            return await answer
        except Exception:
            log.exception("event=failed")
            return FAILED
    until = time.perf_counter() + TURN_SECONDS
    while True:
        try:
            next(answer)
        except StopIteration as end:
            made: Response = end.value
            return made
        except Exception:
            log.exception("event=failed")
            return FAILED
        if time.perf_counter() > until:
            await turn()
            until = time.perf_counter() + TURN_SECONDS


def _handle(request: h11.Request, handler: Handler) -> Answer:
    path, _, query = request.target.decode("latin-1").partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return text_response(400, f"more than {MAX_PARAMETERS} query parameters")
    try:
        return handler(unquote(path), dict(reversed(pairs)))
    except Exception:
        log.exception("event=failed path=%r", path)
        return FAILED


async def _reject(stream: trio.abc.Stream, http: h11.Connection, response: Response, has_body: bool) -> None:
    """Say what is wrong, and let the peer hear it before the stream is closed."""
    with trio.move_on_after(LINGER_SECONDS):
        await stream.send_all(_encode(http, response, has_body, close=True))
        if isinstance(stream, trio.abc.HalfCloseableStream):
            await stream.send_eof()
        for _ in range(LINGER_READS):
            if not await stream.receive_some(READ_BYTES):
                break


def _encode(http: h11.Connection, response: Response, has_body: bool, close: bool = False) -> bytes:
    fields = [
        ("Date", formatdate(usegmt=True)),
        ("Content-Type", response.content_type),
        # Dashboards in a browser come from elsewhere, and may read what anybody may read.
        ("Access-Control-Allow-Origin", "*"),
        *response.fields,
    ]
    if isinstance(response.body, bytes):
        fields.append(("Content-Length", str(len(response.body))))
    if close:
        fields.append(("Connection", "close"))
    status = HTTPStatus(response.status)
    head = h11.Response(status_code=status.value, reason=status.phrase.encode(), headers=fields)
    parts = [http.send(head)]
    if has_body and isinstance(response.body, bytes):
        parts.append(http.send(h11.Data(data=response.body)))
    if isinstance(response.body, bytes) or not has_body:
        parts.append(http.send(h11.EndOfMessage()))
    return b"".join(part for part in parts if part)
