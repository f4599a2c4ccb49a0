"""Monitoring's HTTP: requests over memory streams, whole and cut, good and bad."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import pytest
import trio
import trio.testing

from gateway.monitoring.http_server import IDLE_SECONDS, Response, serve_connection, text_response

Answer = tuple[int, dict[str, str], bytes]


def echo(path: str, query: dict[str, str]) -> Response:
    return text_response(200, f"{path} {dict(sorted(query.items()))}")


@asynccontextmanager
async def served(handler=echo) -> AsyncIterator[trio.StapledStream]:
    """The peer's end of a connection; at the end the server has finished."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_connection, theirs, handler)
        yield ours
        await ours.aclose()


async def read_answer(stream: trio.abc.ReceiveStream, method: str = "GET", rest: bytes = b"") -> tuple[Answer, bytes]:
    """One response, and what has already come of the next."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    if rest:
        client.receive_data(rest)
    head, body = None, b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(bytes(await stream.receive_some(4096)))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            assert isinstance(event, h11.EndOfMessage)
            assert head is not None
            fields = {name.decode(): value.decode() for name, value in head.headers}
            return (head.status_code, fields, body), client.trailing_data[0]


def request(target: str = "/", method: str = "GET", version: str = "1.1", *fields: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: x", *fields, "", ""]).encode("latin-1")


async def send_slowly(stream: trio.abc.SendStream, data: bytes, pause: float) -> None:
    for byte in data:
        await stream.send_all(bytes((byte,)))
        await trio.sleep(pause)


async def is_closed(stream: trio.abc.ReceiveStream) -> bool:
    return await stream.receive_some(1) == b""


async def test_handler_gets_the_decoded_path_and_query():
    async with served() as stream:
        await stream.send_all(request("/a%20b?x=1&y=%C3%A9&x=2&z="))
        (status, fields, body), _ = await read_answer(stream)
    assert status == 200
    assert body == "/a b {'x': '1', 'y': 'é', 'z': ''}\n".encode()
    assert fields["content-type"] == "text/plain; charset=utf-8"
    assert fields["access-control-allow-origin"] == "*"
    assert "date" in fields


async def test_connection_is_kept_for_further_requests():
    async with served() as stream:
        for number in range(3):
            await stream.send_all(request(f"/{number}"))
            (status, _, body), _ = await read_answer(stream)
            assert (status, body) == (200, f"/{number} {{}}\n".encode())


async def test_requests_in_one_piece_are_answered_in_order():
    async with served() as stream:
        await stream.send_all(request("/1") + request("/2") + request("/3"))
        rest = b""
        for number in (1, 2, 3):
            (_, _, body), rest = await read_answer(stream, rest=rest)
            assert body == f"/{number} {{}}\n".encode()


async def test_request_may_come_byte_by_byte():
    async with served() as stream:
        for byte in request("/slow"):
            await stream.send_all(bytes((byte,)))
        (status, _, _), _ = await read_answer(stream)
    assert status == 200


async def test_head_gets_the_fields_without_the_body():
    async with served() as stream:
        await stream.send_all(request("/", "HEAD") + request("/next"))
        (status, fields, body), rest = await read_answer(stream, "HEAD")
        assert (status, fields["content-length"], body) == (200, "5", b"")
        (_, _, body), _ = await read_answer(stream, rest=rest)
        assert body == b"/next {}\n"


@pytest.mark.parametrize(("version", "fields"), [("1.0", ()), ("1.1", ("Connection: close",))])
async def test_connection_is_closed_where_the_client_wants_it(version, fields):
    async with served() as stream:
        await stream.send_all(request("/", "GET", version, *fields))
        (status, _, _), _ = await read_answer(stream)
        assert status == 200
        assert await is_closed(stream)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/", "POST", "1.1", "Content-Length: 100000"), 405),
        (request("/", "OPTIONS"), 405),
        (request("/", "DELETE"), 405),
        (request("/", "GET", "1.1", "Content-Length: 3") + b"abc", 400),
        (request("/", "GET", "1.1", "Transfer-Encoding: chunked") + b"1\r\na\r\n", 400),
        (request("/", "GET", "1.1", "Content-Length: x"), 400),
        (request("http://x/"), 400),
        (request("*"), 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00", 400),
        (b"hello\r\n\r\n", 400),
        (request("/" + "a" * 20_000), 431),
        (b"GET /" + b"a" * 200_000, 431),
    ],
    ids=range(13),
)
async def test_bad_request_gets_one_line_and_the_end(data, status):
    async with served() as stream:
        await stream.send_all(data)
        (found, fields, body), rest = await read_answer(stream)
        assert (found, fields["connection"], rest) == (status, "close", b"")
        assert body.count(b"\n") == 1
        assert len(body) < 300
        assert await is_closed(stream)


@pytest.mark.parametrize("control", [b"\0", b"\x0b", b"\x0c", b"\rx"])
async def test_control_character_is_refused_before_a_pattern_looks_at_it(control: bytes):
    async with served() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nX:" + b" " * 4000)
        for byte in control:
            await stream.send_all(bytes((byte,)))
        (status, _, body), _ = await read_answer(stream)
        assert (status, body) == (400, b"there is a control character in the request\n")
        assert await is_closed(stream)


async def test_method_that_is_not_allowed_is_told_which_are():
    async with served() as stream:
        await stream.send_all(request("/", "PUT"))
        (_, fields, _), _ = await read_answer(stream)
        assert fields["allow"] == "GET, HEAD"


@pytest.mark.parametrize("data", [request("*", "HEAD"), request("/", "HEAD", "1.1", "Content-Length: 1") + b"x"])
async def test_bad_head_request_gets_no_body(data):
    async with served() as stream:
        await stream.send_all(data)
        (status, _, body), rest = await read_answer(stream, "HEAD")
        assert (status, body, rest) == (400, b"", b"")
        assert await is_closed(stream)


async def test_too_many_parameters_are_refused_and_the_connection_kept():
    async with served() as stream:
        await stream.send_all(request("/?" + "&".join(f"p{number}=1" for number in range(65))) + request("/next"))
        (status, _, _), rest = await read_answer(stream)
        assert status == 400
        (_, _, body), _ = await read_answer(stream, rest=rest)
        assert body == b"/next {}\n"


async def test_failing_handler_is_logged_and_answered(caplog):
    def fail(path: str, query: dict[str, str]) -> Response:
        raise ValueError(path)

    async with served(fail) as stream:
        await stream.send_all(request("/boom"))
        (status, _, body), _ = await read_answer(stream)
    assert (status, body) == (500, b"internal error\n")
    assert "ValueError: /boom" in caplog.text


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request("/")])
async def test_peer_may_leave_at_any_time(sent):
    async with served() as stream:
        await stream.send_all(sent)


async def test_peer_that_ends_its_side_after_the_request_is_answered():
    async with served() as stream:
        await stream.send_all(request("/last"))
        await stream.send_eof()
        (status, _, _), _ = await read_answer(stream)
        assert status == 200
        assert await is_closed(stream)


async def test_silent_peer_is_dropped(autojump_clock):
    async with served() as stream:
        assert await is_closed(stream)
        assert trio.current_time() == pytest.approx(IDLE_SECONDS)


async def test_idle_time_starts_anew_with_each_request(autojump_clock):
    async with served() as stream:
        for _ in range(3):
            await trio.sleep(IDLE_SECONDS - 1)
            await stream.send_all(request("/"))
            assert (await read_answer(stream))[0][0] == 200
        start = trio.current_time()
        assert await is_closed(stream)
        assert trio.current_time() - start == pytest.approx(IDLE_SECONDS)


async def test_trickled_request_does_not_extend_the_idle_time(autojump_clock):
    async with served() as stream:
        with pytest.raises(trio.BrokenResourceError):
            await send_slowly(stream, request("/" + "a" * 100), pause=1)
        assert trio.current_time() <= IDLE_SECONDS + 1


async def test_peer_that_takes_no_response_is_dropped(autojump_clock):
    ours, theirs = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_connection, theirs, echo)
        await ours.send_all(request("/"))
        await trio.sleep(IDLE_SECONDS + 1)
        with pytest.raises(trio.BrokenResourceError):
            await ours.send_all(request("/"))


async def test_rejected_peer_that_keeps_sending_is_dropped(autojump_clock):
    async with served() as stream:
        with pytest.raises(trio.BrokenResourceError):
            await send_slowly(stream, bytes(1000), pause=0.01)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_long_body_is_made_in_slices_each_of_which_waits_for_its_turn(version: str):
    turns: list[int] = []
    made: list[int] = []

    def pieces():
        for number in range(1000):
            made.append(number)
            yield b"%d\n" % number

    async def turn() -> None:
        turns.append(len(made))
        await trio.lowlevel.checkpoint()

    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        handler = lambda path, query: Response(200, "text/plain", pieces())  # noqa: E731
        nursery.start_soon(serve_connection, theirs, handler, turn)
        await ours.send_all(request("/", "GET", version))
        await ours.send_eof()
        data = b""
        while piece := await ours.receive_some(65536):
            data += piece
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    body = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        body += getattr(event, "data", b"")
    assert body == b"".join(b"%d\n" % number for number in range(1000))
    assert turns[0] == 0
