"""The head of a response beside h11: what is read here is read there, and as the same."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.request_head import MOST_FIELDS
from protocols.websocket.response_head import ResponseError, read_response_head

LINES = st.sampled_from(
    [
        b"HTTP/1.1 101 Switching Protocols",
        b"HTTP/1.0 200 ",
        b"HTTP/1.1 404",
        b"HTTP/2 200 OK",
        b"HTTP/1.1 1000 x",
        b"HTTP/1.1 2x0 OK",
        b"Upgrade: websocket",
        b"upgrade:\t h2c \t",
        b"Sec-WebSocket-Accept: x=: y",
        b"Server:",
        b": value",
        b" folded",
        b"no colon",
        b"na me: x",
        b"name : x",
        b"a\0b: c",
        b"a: \x0b",
        b"a: b\rc",
        b"",
    ]
)


def head_of(lines: list[bytes], ends: list[bytes]) -> bytes:
    return b"".join(line + ends[index % len(ends)] for index, line in enumerate([*lines, b""]))


@given(
    st.lists(LINES | st.binary(max_size=12), min_size=1, max_size=6),
    st.lists(st.sampled_from([b"\r\n", b"\n"]), min_size=1, max_size=3),
)
def test_what_is_read_is_what_h11_reads(lines: list[bytes], ends: list[bytes]) -> None:
    head = head_of(lines, ends)
    try:
        status, fields = read_response_head(head)
    except ResponseError:
        return
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x"), ("Upgrade", "websocket")]))
    client.send(h11.EndOfMessage())
    client.receive_data(head)
    answer = client.next_event()
    assert isinstance(answer, h11.Response | h11.InformationalResponse)
    assert (answer.status_code, dict(answer.headers)) == (status, fields)


def test_answer_of_a_server_is_read() -> None:
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"X-A:\tb \t", b"X-A: c", b"Empty:"]
    for end in (b"\r\n", b"\n"):
        assert read_response_head(head_of(lines, [end])) == (
            101,
            {b"upgrade": b"websocket", b"x-a": b"c", b"empty": b""},
        )


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([b"HTTP/1.1 101 x", *[b"a: b"] * (MOST_FIELDS + 1)], "too many fields"),
        ([b"HTTP/1.1 101 x", b"a: b", b" c"], "no field"),
        ([b"HTTP/1.1 101 x", b"secret"], "a line is no field"),
        ([b"HTTP/2 101 x"], "no status"),
        ([b"HTTP/1.1 101 x", b"a: \0"], "control character"),
    ],
)
def test_what_is_none_is_told_and_not_quoted(lines: list[bytes], complaint: str) -> None:
    with pytest.raises(ResponseError, match=complaint):
        read_response_head(head_of(lines, [b"\r\n"]))
