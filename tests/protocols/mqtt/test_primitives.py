"""The data types of MQTT packets."""

import pytest

from protocols.errors import MisuseError
from protocols.mqtt.primitives import PacketReader, encode_uint16, encode_varint, is_string, is_utf8, read_length

# MQTT 5.0, table 1-1: the first and last value of each size.
VARINTS = {
    0: b"\x00",
    127: b"\x7f",
    128: b"\x80\x01",
    16383: b"\xff\x7f",
    16384: b"\x80\x80\x01",
    2097151: b"\xff\xff\x7f",
    2097152: b"\x80\x80\x80\x01",
    268435455: b"\xff\xff\xff\x7f",
}


@pytest.mark.parametrize(("value", "wire"), VARINTS.items())
def test_variable_byte_integer_takes_one_to_four_bytes(value, wire):
    assert encode_varint(value) == wire
    assert PacketReader("packet", 5, True, wire, 0, len(wire)).varint("it") == value
    assert read_length(b"\x30" + wire, 1) == (value, 1 + len(wire))
    for size in range(len(wire)):
        assert read_length(wire[:size], 0) == (0, 0)


@pytest.mark.parametrize("wire", [b"\x80\x00", b"\xff\x80\x00", b"\x80\x80\x80\x00", b"\x80\x80\x80\x80", b"\xff" * 5])
def test_variable_byte_integer_of_idle_or_too_many_bytes_is_malformed(wire):
    assert read_length(wire, 0) == (0, -1)


@pytest.mark.parametrize("value", [-1, 268435456])
def test_number_that_does_not_fit_is_misuse(value):
    with pytest.raises(MisuseError):
        encode_varint(value)
    with pytest.raises(MisuseError):
        encode_uint16(value)


@pytest.mark.parametrize(
    ("data", "utf8", "string"),
    [
        (b"", True, True),
        (b"a b", True, True),
        ("é\U0001f321\ufeff\u2028\u00a0\ufffd".encode(), True, True),
        *((chr(code).encode(), True, False) for code in (*range(0x20), *range(0x7F, 0xA0), 0xFDD0, 0xFDEF)),
        *((chr(plane << 16 | last).encode(), True, False) for plane in range(17) for last in (0xFFFE, 0xFFFF)),
        *((f"é{control}".encode(), True, False) for control in "\0\x01\x7f"),
        (b"\xff", False, False),
        (b"\xc3", False, False),
        (b"\xc0\x80", False, False),
        (b"\xed\xa0\x80", False, False),
        (b"\xf4\x90\x80\x80", False, False),
    ],
)
def test_string_is_well_formed_utf8_that_every_receiver_takes(data, utf8, string):
    assert (is_utf8(data), is_string(data)) == (utf8, string)
