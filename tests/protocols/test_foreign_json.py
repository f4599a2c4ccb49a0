"""JSON of others: whatever it is, one kind of error comes of it, or a value that arithmetic can bear."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.foreign_json import Decoder, Int64, decode


class Asked(msgspec.Struct):
    count: Int64 = 0
    names: list[str] | None = None


DEEP = 100_000
NASTY = {
    "arrays": b"[" * DEEP,
    "arrays that end": b"[" * DEEP + b"]" * DEEP,
    "objects": b'{"a":' * DEEP,
    "arrays in a field that nobody knows": b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "objects in a field that nobody knows": b'{"x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "bytes that are no text": b'{"names":["\xff\xfe"]}',
    "half a character": b'{"names":["\xe2\x88"]}',
    "half a pair": b'{"names":["\\ud800"]}',
    "number": b'{"count":' + b"9" * 400 + b"}",
    "longer number": b'{"count":' + b"9" * 100_000 + b"}",
    "negative number": b'{"count":-' + b"9" * 30 + b"}",
    "number just above": b'{"count":9223372036854775808}',
    "number that is none": b'{"count":1e999}',
    "nothing": b"",
}


@pytest.mark.parametrize("name", NASTY)
def test_what_nobody_expects_is_refused_with_one_kind_of_error(name: str):
    for read in (lambda data: decode(data, Asked), Decoder(Asked).decode):
        with pytest.raises(msgspec.DecodeError):
            read(NASTY[name])


@given(st.binary())
@example(NASTY["arrays"])
@example(NASTY["objects"])
def test_nothing_else_comes_of_any_bytes(data: bytes):
    with suppress(msgspec.DecodeError):
        decode(data)
    with suppress(msgspec.DecodeError):
        decode(data, Asked)


def test_what_is_expected_is_read():
    assert decode(b'{"count":-9223372036854775808,"x":[[1]]}', Asked) == Asked(-(1 << 63))
    assert decode(b'{"a":[1,null,"\xc3\xa9"]}') == {"a": [1, None, "é"]}
