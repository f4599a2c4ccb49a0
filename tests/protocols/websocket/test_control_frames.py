"""Control frames: what close frames may say, against wsproto, and how ours look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, ParseFailed

from protocols.websocket.control_frames import Closed, encode_close, encode_ping, encode_pong, read_close
from protocols.websocket.errors import FrameError
from tests.protocols.websocket.client_frames import frame


def wsprotos_close(payload: bytes) -> tuple[int, str] | int:
    """Code and reason, or the code of the violation."""
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(frame(payload, 0x88))
    try:
        (event,) = protocol.received_frames()
    except ParseFailed as error:
        return error.code
    return event.payload


def our_close(payload: bytes) -> tuple[int, str] | int:
    try:
        closed = read_close(payload)
    except FrameError as fault:
        return fault.code
    return closed.code, closed.reason


codes = st.integers(900, 1100) | st.integers(2900, 5100) | st.integers(0, 65_535)


@given(codes, st.binary(max_size=20) | st.text(max_size=30).map(str.encode))
def test_close_frames_mean_what_they_mean_to_wsproto(code, reason):
    payload = code.to_bytes(2, "big") + reason
    assert our_close(payload) == wsprotos_close(payload)


@pytest.mark.parametrize("payload", [b"", b"\x03"])
def test_close_frames_without_a_code_mean_what_they_mean_to_wsproto(payload):
    assert our_close(payload) == wsprotos_close(payload)


@given(st.sampled_from((1000, 1001, 1008, 3000)), st.text(max_size=200))
def test_our_close_frame_is_wsprotos(code, reason):
    assert encode_close(code, reason) == bytes(FrameProtocol(client=False, extensions=[]).close(code, reason))


def test_close_frame_without_a_code_is_empty():
    assert encode_close(1005, "") == b"\x88\x00"
    assert read_close(b"") == Closed(1005, "")


@given(st.binary(max_size=125))
def test_pings_and_pongs_are_wsprotos(payload):
    protocol = FrameProtocol(client=False, extensions=[])
    assert encode_ping(payload) == bytes(protocol.ping(payload))
    assert encode_pong(payload) == bytes(protocol.pong(payload))
