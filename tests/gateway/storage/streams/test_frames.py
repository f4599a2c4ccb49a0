"""Frames cut the same messages out of a chunk as decoding all of it does."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.streams.chunk import StoredChunk, decode, encode
from gateway.storage.streams.frames import Frames
from gateway.storage.streams.stored_message import StoredMessage

MESSAGES = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(0, 1 << 62),
        st.binary(min_size=1, max_size=20),
        st.binary(max_size=10),
        st.binary(max_size=40),
    ),
    min_size=1,
    max_size=20,
)


@given(MESSAGES, st.integers(0, 80))
def test_frames_are_the_messages_of_their_chunk(given_messages: list[tuple[int, int, bytes, bytes, bytes]], first: int):
    messages: list[StoredMessage] = []
    sequence = 6
    for step, *rest in given_messages:
        sequence += step
        messages.append(StoredMessage(sequence, *rest))
    row = encode(9, messages, 0)
    chunk = StoredChunk(row.key, row.last, row.messages, row.crc, row.offsets, row.body)
    frames, found = Frames(chunk, first), []
    while frames.go_on():
        frames.cut()
        found.append(StoredMessage(frames.sequence, frames.time_ns, frames.subject, frames.header, frames.payload))
    assert found == decode(chunk, first)
    assert not frames.go_on()
