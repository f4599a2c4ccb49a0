"""Unmasking: byte by byte XOR, wherever payload and key stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.websocket.masking import Unmasking
from tests.protocols.websocket.client_frames import masked

sizes = st.integers(0, 70) | st.sampled_from((2047, 2048, 2049, 2050, 2051, 10_000))
payloads = st.builds(lambda seed, size: (seed * (size // len(seed) + 1))[:size], st.binary(min_size=1), sizes)


@given(st.lists(st.tuples(payloads, st.binary(min_size=4, max_size=4), st.binary(max_size=9))))
def test_payloads_come_out_plain_in_one_piece(parts):
    unmasking = Unmasking(sum(len(payload) for payload, _, _ in parts))
    for payload, key, noise in parts:
        data = noise + masked(payload, key) + noise
        unmasking.add(data, len(noise), len(noise) + len(payload), noise + key + noise, len(noise))
    expected = b"".join(payload for payload, _, _ in parts)
    assert unmasking.size == len(expected)
    assert unmasking.take() == expected
    assert unmasking.size == 0
    assert unmasking.take() == b""


def test_what_was_taken_does_not_come_again():
    unmasking = Unmasking(6)
    for data in (b"abc", b"def"):
        unmasking.add(data, 0, 3, bytes(4), 0)
        assert unmasking.take() == data


@pytest.mark.parametrize("size", range(1, 20))
def test_room_may_be_filled_to_the_last_byte(size):
    unmasking = Unmasking(size)
    unmasking.add(b"\xff" * size, 0, size, b"\x00\x0f\xf0\xff", 0)
    assert unmasking.take() == (b"\xff\xf0\x0f\x00" * 5)[:size]
