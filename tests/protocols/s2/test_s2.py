"""S2: checksums, blocks and streams."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.s2.block import CorruptError, decode_block
from protocols.s2.crc32c import ALL, TABLE, crc32c
from protocols.s2.stream import BEGIN, StreamReader, encode_frames, masked_checksum


def bytewise(data: bytes) -> int:
    crc = ALL
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ ALL


@pytest.mark.parametrize(
    ("data", "checksum"),
    # RFC 3720, B.4.
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_checksums_are_those_of_the_standard(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


@pytest.mark.parametrize("size", [*range(70), 127, 128, 129, 255, 256, 1000, 4096, 65_535, 65_536, 300_001])
def test_folding_comes_to_what_the_table_does(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert crc32c(data) == bytewise(data)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"\x00", b""),
        (b"\x05\x10hello", b"hello"),
        # A literal of 61 bytes has its length in a byte of its own.
        (b"\x3d\xf0\x3c" + b"x" * 61, b"x" * 61),
        # Copies with one, two and four bytes of offset; one that reaches into itself.
        (b"\x0a\x04ab\x11\x02", b"ababababab"),
        (b"\x08\x0cabcd\x0e\x04\x00", b"abcdabcd"),
        (b"\x08\x0cabcd\x0f\x04\x00\x00\x00", b"abcdabcd"),
        # The last offset once more: of four bytes, of five, of more than eight and of more than 256.
        (b"\x0c\x0cabcd\x01\x04\x01\x00", b"abcdabcdabcd"),
        (b"\x0d\x0cabcd\x01\x04\x05\x00", b"abcdabcdabcda"),
        (b"\x14\x0cabcd\x01\x04\x15\x00\x04", b"abcd" * 5),
        (b"\x90\x02\x0cabcd\x01\x04\x19\x00\x04\x00", b"abcd" * 68),
    ],
)
def test_blocks_are_read(block: bytes, expected: bytes) -> None:
    assert decode_block(block, 1 << 20) == expected


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\x80",
        b"\x05",
        b"\x05\xf0",
        b"\x05\x10hell",
        b"\x06\x10hello",
        b"\x04\x10hello",
        b"\xff\xff\xff\xff\x0f\x00",
        b"\x08\x01\x01",
        b"\x08\x0cabcd\x0e",
        b"\x08\x0cabcd\x0e\x00\x00",
        b"\x08\x0cabcd\x0e\x05\x00",
    ],
)
def test_what_is_no_block_is_refused(block: bytes) -> None:
    with pytest.raises(CorruptError):
        decode_block(block, 1 << 20)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(block: bytes) -> None:
    try:
        assert len(decode_block(block, 4096)) <= 4096
    except CorruptError:
        pass


@given(st.lists(st.binary(max_size=2000), max_size=5), st.randoms(use_true_random=False))
def test_a_stream_is_read_however_it_is_cut(parts: list[bytes], cuts: random.Random) -> None:
    stream = BEGIN + b"".join(encode_frames(part) for part in parts)
    reader, found = StreamReader(), b""
    while stream:
        cut = cuts.randint(1, len(stream))
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    reader.finish()
    assert found == b"".join(parts)


def test_frames_of_all_kinds_are_read() -> None:
    content = b"abcdabcdabcd"
    block = b"\x0c\x0cabcd\x01\x04\x01\x00"
    compressed = masked_checksum(content).to_bytes(4, "little") + block
    frame = b"\x00" + len(compressed).to_bytes(3, "little") + compressed
    skipped = b"\xfe\x03\x00\x00xyz" + b"\x99\x01\x00\x00i"
    assert StreamReader().feed(BEGIN + skipped + frame + BEGIN + encode_frames(b"more")) == content + b"more"
    assert StreamReader().feed(b"\xff\x06\x00\x00sNaPpY" + frame) == content


@pytest.mark.parametrize(
    "stream",
    [
        encode_frames(b"no begin"),
        b"\xff\x06\x00\x00S2sTwX",
        BEGIN + b"\x02\x01\x00\x00x",
        BEGIN + b"\x01\x03\x00\x00xyz",
        BEGIN + b"\x01\xff\xff\xff",
        BEGIN + encode_frames(b"hello")[:-1] + b"x",
    ],
)
def test_what_is_no_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(CorruptError):
        StreamReader().feed(stream)


def test_a_stream_that_is_cut_short_is_refused() -> None:
    reader = StreamReader()
    assert reader.feed(BEGIN + encode_frames(b"hello")[:-1]) == b""
    with pytest.raises(CorruptError):
        reader.finish()
