"""Heads of HTTP requests: where they end, and what may not be in them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.request_head import RequestHead, holds_controls


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nA: b\r\n\r\n", b"GET /\nA: b\n\n", b"G\r\n\n", b"G\n\r\n"])
@given(st.binary(max_size=20), st.lists(st.integers(0, 60), max_size=8))
def test_head_ends_behind_its_first_blank_line_however_it_comes(head: bytes, rest: bytes, cuts: list[int]):
    stream = head + rest
    reader = RequestHead(100)
    found = None
    for start, end in pairwise([0, *sorted({cut % len(stream) for cut in cuts} - {0}), len(stream)]):
        if found is None:
            found = reader.receive(stream[start:end])
        else:
            found = found[0], found[1] + stream[start:end]
    assert found == (head, rest)


def test_head_that_is_too_long_or_no_http_is_given_back():
    assert RequestHead(10).receive(b"GET / HTTP/1.1\r\n\r\n") == (b"GET / HTTP", b"/1.1\r\n\r\n")
    assert RequestHead(100).receive(b"\x16\x03\x01") == (b"\x16\x03\x01", b"")
    assert RequestHead(100).receive(b"GET") is None


@pytest.mark.parametrize("text", [b"a\0", b"\x0b", b"a: \x0c\r\n", b"a\rb\r\n", b"\r\r\n", b"a\r\r"])
def test_controls_are_found(text: bytes):
    assert holds_controls(text)


@pytest.mark.parametrize("text", [b"", b"a\tb\x01\xff\r\n\r\n", b"a\n\r\n", b"a\r"])
def test_text_holds_no_controls(text: bytes):
    assert not holds_controls(text)
