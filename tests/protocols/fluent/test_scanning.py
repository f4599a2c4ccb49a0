"""Where values end: as msgspec finds it, however the bytes are cut, and without believing what is said of sizes."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import PeerViolation
from protocols.fluent.frames import FrameReader
from protocols.fluent.scanning import NotMessagePackError, Scanner

MOST = 1 << 20
scalars = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text() | st.binary()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


def frames(data: bytes, cuts: list[int], most: int = MOST) -> list[bytes | PeerViolation]:
    reader = FrameReader(most)
    found = []
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        reader.feed(data[start:end])
        while (frame := reader.next()) is not None:
            found.append(frame)
    return found


@settings(max_examples=40)
@given(st.lists(values, max_size=4), st.lists(st.integers(0, 2000), max_size=8))
def test_values_are_found_however_the_stream_is_cut(given_values, cuts):
    encoded = [msgspec.msgpack.encode(value) for value in given_values]
    assert frames(b"".join(encoded), cuts) == encoded


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_foreign_bytes_never_raise_and_are_the_same_however_they_are_cut(data, cuts):
    def without_words(found):
        return [frame if isinstance(frame, bytes) else "violation" for frame in found]

    whole = without_words(frames(data, [], 1000))
    assert without_words(frames(data, cuts, 1000))[: len(whole)] == whole


@given(st.binary(max_size=300))
def test_what_is_found_is_what_msgspec_reads(data):
    try:
        end = Scanner(MOST).end(data, 0)
    except NotMessagePackError:
        return
    if end > 0:
        try:
            msgspec.msgpack.Decoder().decode(data[:end])
            words = ""
        except (msgspec.DecodeError, TypeError, RecursionError) as error:
            words = str(error)
        assert "truncated" not in words
        assert "trailing" not in words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xc1", "a byte that MessagePack does not have"),
        (b"\xdd\xff\xff\xff\xff", "a value of more than 1048576 bytes"),
        (b"\xdf\xff\xff\xff\xff", "a value of more than 1048576 bytes"),
        (b"\xc6\x00\x20\x00\x00", "a value of more than 1048576 bytes"),
        (b"\xdd\x00\x0f\xff\xff" * 3, "a value of more than 1048576 bytes"),
    ],
)
def test_what_can_only_become_too_large_is_refused_at_once(data, words):
    (violation,) = frames(data, [])
    assert isinstance(violation, PeerViolation)
    assert violation.detail == words


def test_depth_costs_nothing():
    reader = FrameReader(MOST)
    data = b"\x91" * 500_000 + b"\xc0"
    reader.feed(data)
    assert reader.next() == data


def test_reader_tells_what_it_keeps():
    reader = FrameReader(MOST)
    reader.feed(b"\xa5abc")
    assert reader.has_more
    assert reader.next() is None
    assert not reader.has_more
    assert reader.unfinished_bytes() == 4
    reader.feed(b"de\xc0")
    assert [reader.next(), reader.next(), reader.next()] == [b"\xa5abcde", b"\xc0", None]
    assert reader.unfinished_bytes() == 0
