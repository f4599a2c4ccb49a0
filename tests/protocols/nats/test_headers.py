"""One field of a header block, found whatever stands around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nats.headers import find_field

NAME = b"Nats-Msg-Id"


def block(*lines: bytes) -> bytes:
    return b"\r\n".join((b"NATS/1.0", *lines, b"", b""))


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([], None),
        ([b"Nats-Msg-Id: x"], b"x"),
        ([b"Nats-Msg-Id:x"], b"x"),
        ([b"NATS-msg-ID: \t x \t"], b"x"),
        ([b"A: b", b"nats-msg-id: x y", b"Nats-Msg-Id: z"], b"x y"),
        ([b"Nats-Msg-Id:"], b""),
        ([b"Nats-Msg-Id: a:b"], b"a:b"),
        ([b"X-Nats-Msg-Id: x"], None),
        ([b" Nats-Msg-Id: x"], None),
        ([b"Nats-Msg-Id : x"], None),
        ([b"Nats-Msg-Id"], None),
        ([b"A: b\rNats-Msg-Id: x"], None),
        ([b"Nats-Msg-Id: x\ry", b"Nats-Msg-Id: z"], b"z"),
        ([b"Nats-Msg-Id: x\ny"], None),
        ([b"Nats-Msg-Id: a" + b" " * 30_000 + b"b"], b"a" + b" " * 30_000 + b"b"),
        ([b"Nats-Msg-Id: a" + b" " * 4_000 + b"\rX"], None),
        ([b"", b"Nats-Msg-Id: x"], None),
    ],
    ids=range(17),
)
def test_field_is_found_by_its_name(lines: list[bytes], value: bytes | None):
    assert find_field(block(*lines), NAME) == value


@pytest.mark.parametrize("header", [b"", b"NATS/1.0\r\n", b"NATS/1.0\r\nNats-Msg-Id: x\r\n", b"Nats-Msg-Id: x\r\n\r\n"])
def test_block_that_is_none_has_no_field(header: bytes):
    assert find_field(header, NAME) is None


@given(st.lists(st.sampled_from([b"Nats-Msg-Id:", b"x", b"\r", b"\n", b"\r\n", b" ", b"NATS/1.0"])).map(b"".join))
def test_value_is_one_line_and_without_blanks_around_it(header: bytes):
    value = find_field(header, NAME)
    assert value is None or (value in header and value == value.strip(b" \t") and not set(value) & set(b"\r\n"))
