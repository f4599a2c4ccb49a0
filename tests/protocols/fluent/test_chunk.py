"""Chunks in all modes: what is in them, and what a hostile sender gains by one that is none."""

import gzip

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.fluent.chunk import BadChunkError, Chunk, encode_acknowledgement, encode_chunk, read_chunk
from protocols.fluent.frames import read_acknowledgement
from protocols.fluent.values import SECOND, encode_event, event_time

MOST = 1 << 20
pack = msgspec.msgpack.encode
TIME = 1_700_000_000_123_456_789
EVENT_TIME = msgspec.msgpack.Ext(0, event_time(TIME)[2:])
RECORD = {"message": "hello", "n": 7}


def compressed(data: bytes) -> bytes:
    """Without the time, which would be in the names of tests."""
    return gzip.compress(data, mtime=0)


def events_of(chunk: Chunk | None, at_once: int = 1000) -> list[tuple[int | None, object]]:
    assert chunk is not None
    found = []
    while not chunk.is_over:
        found += [tuple(event) for event in chunk.take(at_once)]
    return found


@pytest.mark.parametrize(
    "value",
    [
        ["a.b", EVENT_TIME, RECORD, {"chunk": "id"}],
        ["a.b", [[EVENT_TIME, RECORD]], {"chunk": "id"}],
        ["a.b", pack([EVENT_TIME, RECORD]), {"chunk": "id", "size": 1}],
        ["a.b", compressed(pack([EVENT_TIME, RECORD])), {"chunk": "id", "compressed": "gzip"}],
        ["a.b", pack([[EVENT_TIME, {}], RECORD]), {"chunk": "id"}],
    ],
    ids=["Message", "Forward", "PackedForward", "CompressedPackedForward", "with metadata"],
)
def test_event_is_read_in_every_mode(value):
    chunk = read_chunk(pack(value), MOST)
    assert chunk is not None
    assert (chunk.tag, chunk.id) == (b"a.b", b"id")
    assert events_of(chunk) == [(TIME, RECORD)]


def test_events_may_stand_in_text_that_is_none_as_old_senders_have_it():
    stream = pack([1_700_000_000, {"a": b"\xff\xfe"}])
    data = b"\x92" + pack("tag") + b"\xd9" + bytes([len(stream)]) + stream
    assert events_of(read_chunk(data, MOST)) == [(1_700_000_000 * SECOND, {"a": b"\xff\xfe"})]


def test_text_that_is_no_utf_8_is_shown_and_nothing_is_lost():
    record = b"\x82\xa1a\xa2\xff\xfe\xa1b\x01"
    data = b"\x93" + pack("tag") + pack(1) + record
    assert events_of(read_chunk(data, MOST)) == [(SECOND, {"a": "\\xff\\xfe", "b": 1})]


@pytest.mark.parametrize("value", [None, [], ["", []]])
def test_sign_of_life_is_no_chunk(value):
    assert read_chunk(pack(value), MOST) is None


@pytest.mark.parametrize("time", [-1, 1 << 60, float("nan"), None])
def test_event_without_a_time_has_none(time):
    assert events_of(read_chunk(pack(["t", time, RECORD]), MOST)) == [(None, RECORD)]


@pytest.mark.parametrize(
    "value",
    [
        {"tag": 1},
        7,
        ["tag"],
        [7, [[1, {}]]],
        ["tag", 7],
        ["tag", b"", {"compressed": "zstd"}],
        ["tag", b"", "option"],
        ["tag", b"", {"chunk": "x" * 2000}],
        ["x" * 2000, b""],
    ],
)
def test_what_is_no_chunk_is_refused(value):
    with pytest.raises(BadChunkError):
        read_chunk(pack(value), MOST)


@pytest.mark.parametrize(
    ("content", "option"),
    [
        (b"\x92\x01", {}),
        (b"\xc1", {}),
        (b"\x92\xdd\xff\xff\xff\xff", {}),
        (b"no gzip", {"compressed": "gzip"}),
        (compressed(b"\x92\x01\x80")[:-9], {"compressed": "gzip"}),
    ],
)
def test_chunk_whose_content_is_none_is_refused(content, option):
    with pytest.raises(BadChunkError):
        events_of(read_chunk(pack(["tag", content, option]), MOST))


@pytest.mark.parametrize("event", [7, [], [1], [1, 7], [1, "text"], "text", [1, {(1,): 2}, 3][:1]])
def test_what_is_no_event_is_counted_and_the_rest_is_read(event):
    chunk = read_chunk(pack(["tag", pack(event) + pack([1, RECORD])]), MOST)
    assert chunk is not None
    assert events_of(chunk) == [(SECOND, RECORD)]
    assert chunk.unreadable == 1


def test_record_that_is_too_deep_is_counted_and_the_rest_is_read():
    deep = b"\x92\x01" + b"\x81\xa1a" * 5000 + b"\xc0"
    chunk = read_chunk(pack(["tag", deep + pack([1, RECORD])]), MOST)
    assert chunk is not None
    assert events_of(chunk) == [(SECOND, RECORD)]
    assert chunk.unreadable == 1


def test_what_is_packed_tight_is_not_unpacked_beyond_the_limit():
    bomb = compressed(b"\x92\x01\x80" * 500_000)
    assert len(bomb) < 20_000
    chunk = read_chunk(pack(["tag", bomb, {"compressed": "gzip"}]), MOST)
    with pytest.raises(BadChunkError, match="more than 1048576 bytes"):
        events_of(chunk)


def test_what_is_taken_at_a_time_is_little_whatever_a_chunk_is_made_of():
    """Each of these would take long, or copy all of itself for each event."""
    small = b"\x92\x01\x80" * 40_000
    for content, option in (
        (small, {}),
        (b"\x01" * 120_000, {}),
        (compressed(b"") * 6_000, {"compressed": "gzip"}),
        (compressed(small), {"compressed": "gzip"}),
    ):
        chunk = read_chunk(pack(["tag", content, option]), 1 << 22)
        assert chunk is not None
        events = turns = 0
        while not chunk.is_over:
            unreadable = chunk.unreadable
            found = len(chunk.take(64))
            assert not (found and chunk.is_over)
            assert found + chunk.unreadable - unreadable <= 64
            events += found
            turns += 1
            assert len(chunk._data) <= 5 << 16
        assert events in (0, 40_000)
        assert turns >= 600
    many = read_chunk(b"\x92" + pack("tag") + b"\xdd" + (40_000).to_bytes(4, "big") + small, 1 << 22)
    assert len(events_of(many, 64)) == 40_000


def test_several_streams_of_gzip_may_follow_each_other():
    parts = b"".join(compressed(pack([time, RECORD])) for time in range(3))
    chunk = read_chunk(pack(["tag", parts, {"compressed": "gzip"}]), MOST)
    assert events_of(chunk) == [(time * SECOND, RECORD) for time in range(3)]


@settings(max_examples=40)
@given(
    st.lists(st.dictionaries(st.text(), st.text() | st.integers(-(1 << 63), (1 << 64) - 1)), min_size=1, max_size=20),
    st.booleans(),
    st.integers(1, 7),
)
def test_what_we_write_is_what_we_read(records, compress, at_once):
    events = [encode_event(TIME + index, record) for index, record in enumerate(records)]
    chunk = read_chunk(encode_chunk("a.b", events, "id", compress), MOST)
    assert chunk is not None
    assert (chunk.tag, chunk.id) == (b"a.b", b"id")
    assert events_of(chunk, at_once) == [(TIME + index, record) for index, record in enumerate(records)]


@given(st.binary(max_size=200))
def test_foreign_content_never_raises_anything_else(content):
    for option in ({}, {"compressed": "gzip"}):
        try:
            events_of(read_chunk(pack(["tag", content, option]), MOST))
        except BadChunkError:
            pass


def test_acknowledgement_is_read_as_it_is_written():
    assert read_acknowledgement(encode_acknowledgement(b"p8n9gmxTQVC8/nh2wlKKeQ==")) == b"p8n9gmxTQVC8/nh2wlKKeQ=="
    assert read_acknowledgement(pack({"ack": b"id"})) == b"id"
    for other in (b"\xc1", b"\xc0", pack(["ack"]), pack({"ack": 7})):
        assert read_acknowledgement(other) is None
