"""Scanning: the same answers as the interpreter's own methods, and never a look out of bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.version import form_name
from protocols.scanning import (
    begins_at,
    copy_into,
    count_repeats,
    cut,
    cut_buffer,
    cut_ends,
    find_byte,
    find_gap,
    read_number,
    repeats_at,
)

TEXT = st.text(alphabet=" \tab.\r\n19", max_size=40).map(str.encode)


@given(data=TEXT, places=st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_bytes_and_gaps_are_found_where_they_are(data: bytes, places: tuple[int, int]) -> None:
    start, stop = sorted(min(place, len(data)) for place in places)
    piece = data[start:stop]
    assert cut(data, start, stop) == piece
    assert find_byte(data, 0x0A, start, stop) == data.find(b"\n", start, stop)
    gaps = [start + place for place, byte in enumerate(piece) if byte in b" \t"]
    assert find_gap(data, start, stop) == (gaps[0] if gaps else -1)
    assert read_number(data, start, stop) == (int(piece) if piece.isdigit() and len(piece) <= 9 else -1)


@given(data=TEXT, text=TEXT, place=st.integers(0, 40))
def test_beginnings_are_told(data: bytes, text: bytes, place: int) -> None:
    place = min(place, len(data))
    assert begins_at(data, place, len(data), text) == data[place:].startswith(text)
    whole = text + data + text
    assert repeats_at(whole, 0, len(text), len(text) + place, len(whole)) == whole[len(text) + place :].startswith(text)


@given(pieces=st.lists(st.binary(min_size=7, max_size=7), min_size=1, max_size=9), size=st.integers(0, 7))
def test_ends_are_cut_out_of_pieces_in_a_row(pieces: list[bytes], size: int) -> None:
    assert cut_ends(b"".join(pieces), len(pieces), size) == [piece[7 - size :] for piece in pieces]


@given(room=st.binary(max_size=20), data=st.binary(max_size=20), place=st.integers(-2, 20))
def test_bytes_are_written_into_a_buffer_that_has_room_for_them(room: bytes, data: bytes, place: int) -> None:
    buffer = bytearray(room)
    if place < 0 or place + len(data) > len(room):
        with pytest.raises(IndexError):
            copy_into(buffer, place, data)
        assert buffer == room
    else:
        copy_into(buffer, place, data)
        assert buffer == room[:place] + data + room[place + len(data) :]
        assert cut_buffer(buffer, place) == room[:place]


@pytest.mark.skipif(form_name() == "pure", reason="the interpreter's own slicing takes any bounds")
def test_nothing_is_read_behind_a_buffer() -> None:
    for stop in (-1, 4):
        with pytest.raises(IndexError):
            cut_buffer(bytearray(b"abc"), stop)


@given(st.binary(min_size=1, max_size=4), st.integers(1, 70), st.binary(max_size=9), st.binary(max_size=9))
def test_repeats_in_a_row_are_counted(piece: bytes, times: int, before: bytes, behind: bytes) -> None:
    data = before + piece * times + behind
    count = count_repeats(data, len(before), len(piece))
    assert data.startswith(piece * count, len(before))
    assert not data.startswith(piece * (count + 1), len(before))


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (2, 1), (0, 4), (4, 5)])
@pytest.mark.skipif(form_name() == "pure", reason="the interpreter's own slicing takes any bounds")
def test_nothing_is_read_out_of_bounds(start: int, stop: int) -> None:
    for look in (cut, find_gap):
        with pytest.raises(IndexError):
            look(b"abc", start, stop)
    with pytest.raises(IndexError):
        find_byte(b"abc", 0x0A, start, stop)
