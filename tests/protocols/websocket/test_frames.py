"""The frame decoder against wsproto's: of any frames, cut anywhere, both make the same."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from protocols.websocket.compression import MessageDeflate
from protocols.websocket.control_frames import Closed, Pings
from protocols.websocket.errors import FrameError
from protocols.websocket.frames import FrameDecoder
from tests.protocols.websocket.client_frames import KEY, VIOLATIONS, cut, deflate, frame

LIMIT = 1 << 20


@dataclass
class Outcome:
    """What a stream comes to: the bytes of all messages, what pings asked back, and how it ended, if it did."""

    application: bytes = b""
    pings: list[bytes] = field(default_factory=list)
    ending: tuple[str, int, str] | None = None


def events_of(decoder: FrameDecoder, pieces: list[bytes]) -> Iterator[object]:
    """All events, slice by slice."""
    for piece in pieces:
        yield from decoder.receive(piece)
        while decoder.has_more:
            yield from decoder.receive(b"")


def test_one_call_reads_no_more_frames_than_a_slice():
    """A batch may hold a hundred thousand of them."""
    decoder = FrameDecoder(takes_text=True, deflate=None, slice_size=300)
    sizes = [len(event) for event in decoder.receive(frame(b"x") * 5000) if isinstance(event, bytes)]
    while decoder.has_more:
        sizes += [len(event) for event in decoder.receive(b"") if isinstance(event, bytes)]
    assert sum(sizes) == 5000
    assert max(sizes) <= 300


def ours(pieces: list[bytes], compression: bool) -> Outcome:
    decoder = FrameDecoder(takes_text=True, deflate=MessageDeflate(LIMIT, 15) if compression else None, slice_size=300)
    outcome = Outcome()
    for event in events_of(decoder, pieces):
        assert outcome.ending is None
        match event:
            case bytes():
                assert event
                outcome.application += event
            case Pings(payloads, count):
                assert len(payloads) == count
                outcome.pings += payloads
            case Closed(code, reason):
                outcome.ending = ("closed", code, reason)
            case FrameError():
                outcome.ending = ("violation", event.code, "")
    assert decoder.stopped == (outcome.ending is not None)
    return outcome


def wsprotos(pieces: list[bytes], compression: bool) -> Outcome:
    extensions = []
    if compression:
        extensions.append(PerMessageDeflate(client_no_context_takeover=True))
        extensions[0].accept("permessage-deflate; client_no_context_takeover")
    protocol = FrameProtocol(client=False, extensions=extensions)
    outcome = Outcome()
    try:
        for piece in pieces:
            protocol.receive_bytes(piece)
            for event in protocol.received_frames():
                if event.opcode is Opcode.CLOSE:
                    outcome.ending = ("closed", *event.payload)
                elif event.opcode is Opcode.PING:
                    outcome.pings.append(bytes(event.payload))
                elif event.opcode is not Opcode.PONG:
                    text = isinstance(event.payload, str)
                    outcome.application += event.payload.encode() if text else event.payload
    except ParseFailed as error:
        outcome.ending = ("violation", error.code, "")
    return outcome


def assert_equal_outcomes(stream: bytes, places: list[int], compression: bool) -> Outcome:
    outcome = ours(cut(stream, places), compression)
    expected = wsprotos(cut(stream, places), compression)
    assert (outcome.pings, outcome.ending) == (expected.pings, expected.ending)
    # wsproto keeps back a character that is not whole: at most three bytes.
    assert outcome.application.startswith(expected.application)
    assert len(outcome.application) - len(expected.application) <= (3 if outcome.application[-1:] >= b"\x80" else 0)
    return outcome


places = st.lists(st.integers(0, 1 << 20), max_size=20)
keys = st.binary(min_size=4, max_size=4)
sizes = st.integers(0, 40) | st.sampled_from((124, 125, 126, 127, 2047, 2048, 2053, 65_535, 65_536))
payloads = st.builds(lambda size, seed: (seed * (size // len(seed) + 1))[:size], sizes, st.binary(min_size=1))
control_frames = st.builds(frame, st.binary(max_size=125), st.sampled_from((0x89, 0x8A)), keys)
closings = st.builds(
    lambda code, reason, key: frame(code.to_bytes(2, "big") + reason, 0x88, key),
    st.sampled_from((1000, 1001, 1003, 1011, 1012, 3000, 4999)),
    st.text(max_size=30).map(str.encode),
    keys,
)


@st.composite
def messages(draw: st.DrawFn, compression: bool) -> bytes:
    """A legal message in fragments; with control frames between them, but not where wsproto loses its way over them."""
    text = draw(st.booleans())
    content = draw(st.text(max_size=200).map(str.encode) if text else payloads)
    opcode = 1 if text else 2
    compressed = compression and draw(st.booleans())
    if compressed:
        content, opcode = deflate(content), opcode | 0x40
    stream = b""
    fragments = cut(content, draw(st.lists(st.integers(0, 1 << 20), max_size=3)))
    for number, fragment in enumerate(fragments, start=1):
        if not compressed or number == 1:
            stream += b"".join(draw(st.lists(control_frames, max_size=2)))
        stream += frame(fragment, opcode | (0x80 if number == len(fragments) else 0), draw(keys))
        opcode = 0
    return stream


@st.composite
def any_frames(draw: st.DrawFn) -> bytes:
    """A whole frame with a head that makes sense or not."""
    first = draw(st.sampled_from((0x82, 0x80, 0x00, 0x02, 0x01, 0x81)) | st.integers(0, 255))
    content = draw(st.sampled_from((b"", b"a", "é".encode(), b"\xff")) | st.binary(max_size=130))
    return frame(content, first, None if draw(st.integers(0, 19)) == 19 else draw(keys))


@given(st.data(), places, st.booleans())
def test_legal_streams_come_to_what_wsproto_makes_of_them(data, places, compression):
    stream = b"".join(data.draw(st.lists(messages(compression), max_size=5)))
    outcome = assert_equal_outcomes(stream, places, compression)
    assert outcome.ending is None
    assert outcome.application == wsprotos([stream], compression).application
    closing = data.draw(closings)
    outcome = assert_equal_outcomes(stream + closing + frame(b"more"), places, compression)
    assert outcome.ending is not None
    assert outcome.ending[0] == "closed"


@given(st.lists(any_frames(), max_size=8), places)
def test_any_frames_come_to_what_wsproto_makes_of_them(frames, places):
    assert_equal_outcomes(b"".join(frames), places, compression=False)


@given(payloads, st.lists(st.integers(0, 1 << 20), min_size=1, max_size=5), control_frames, places)
def test_control_frames_come_between_the_fragments_of_a_compressed_message(payload, edges, control, places):
    first, *others = cut(deflate(payload), edges)
    stream = frame(first, 0x42) + b"".join(control + frame(other, 0x00) for other in others) + frame(b"", 0x80)
    outcome = ours(cut(stream, places), compression=True)
    assert (outcome.application, outcome.ending) == (payload, None)
    assert outcome.pings == ours([control], compression=True).pings * len(others)


@pytest.mark.parametrize(("stream", "code", "text"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
@given(data=st.data(), places=places)
def test_violations_bring_the_close_code_of_wsproto(stream, code, text, data, places):
    before = b"".join(data.draw(st.lists(messages(compression=False), max_size=2)))
    outcome = assert_equal_outcomes(before + stream, places, compression=False)
    assert outcome.ending == ("violation", code, "")


@given(st.lists(st.tuples(payloads, keys), min_size=1, max_size=30), places)
def test_frames_of_one_batch_are_one_event(parts, places):
    stream = b"".join(frame(payload, mask=key) for payload, key in parts)
    expected = b"".join(payload for payload, _ in parts)
    decoder = FrameDecoder(takes_text=True, deflate=None)
    assert decoder.receive(stream) == ([expected] if expected else [])
    found = [decoder.receive(piece) for piece in cut(stream, places)]
    assert all(len(events) <= 1 for events in found)
    assert b"".join(event for events in found for event in events) == expected


def test_violation_comes_with_the_first_bytes_that_show_it():
    for stream, size in (
        (b"\x83\x80", 2),
        (b"\x82\x00", 2),
        (b"\x89\xfe", 2),
        (b"\x82\xfe\x00\x7d", 4),
        (b"\x82\xff" + bytes(8), 10),
    ):
        decoder = FrameDecoder(takes_text=True, deflate=None)
        assert [decoder.receive(stream[i : i + 1]) for i in range(size - 1)] == [[]] * (size - 1)
        (fault,) = decoder.receive(stream[size - 1 :])
        assert isinstance(fault, FrameError)


def test_payload_is_not_kept_whatever_size_is_announced():
    decoder = FrameDecoder(takes_text=True, deflate=None)
    head = frame(b"", length=(1 << 63) - 1)
    assert decoder.receive(head) == []
    for turn in range(1, 9):
        assert decoder.receive(bytes(turn)) == [(KEY * 20)[(turn * (turn - 1) // 2) % 4 :][:turn]]


def test_text_is_refused_where_only_binary_frames_are_taken():
    for first in (0x81, 0x01):
        decoder = FrameDecoder(takes_text=False, deflate=None)
        before, fault = decoder.receive(frame(b"binary") + frame(b"text", first))
        assert before == b"binary"
        assert isinstance(fault, FrameError)
        assert fault.code == 1003
        assert decoder.receive(frame(b"binary")) == []


def test_compressed_message_is_refused_at_the_head_that_makes_it_too_big():
    content = deflate(bytes(range(90)))
    limit = len(content) + 9
    for before, head in (
        (b"", frame(b"", 0xC2, length=limit + 1)),
        (frame(content, 0x42), frame(b"", 0x80, length=10)),
    ):
        decoder = FrameDecoder(takes_text=True, deflate=MessageDeflate(limit, 15))
        assert decoder.receive(before) == ([bytes(range(90))] if before else [])
        (fault,) = decoder.receive(head)
        assert isinstance(fault, FrameError)
        assert fault.code == 1009


def test_compressed_and_other_messages_stay_in_order():
    decoder = FrameDecoder(takes_text=True, deflate=MessageDeflate(LIMIT, 15))
    stream = frame(deflate(b"one"), 0xC2) + frame(b" two ") + frame(deflate(b"three"), 0xC2)
    assert decoder.receive(stream) == [b"one two three"]


BOMB = b"PING\r\n" * 175_000


@pytest.mark.parametrize("slice_size", [1, 1000, 8192, 1 << 21])
@pytest.mark.parametrize("text", [False, True])
def test_what_inflates_a_thousandfold_comes_in_slices(slice_size: int, text: bool):
    packed = deflate(BOMB[: 700 * slice_size])
    decoder = FrameDecoder(takes_text=True, deflate=MessageDeflate(1 << 21, 15), slice_size=slice_size)
    found = [decoder.receive(frame(packed, 0xC1 if text else 0xC2) + frame(b"behind") + frame(b"?", 0x89))]
    while decoder.has_more:
        found.append(decoder.receive(b""))
    *slices, pings = [event for events in found for event in events]
    assert b"".join(slices) == BOMB[: 700 * slice_size] + b"behind"
    assert max(map(len, slices)) <= slice_size + len(b"behind")
    assert pings == Pings((b"?",), 1)
    assert decoder.receive(frame(b"more")) == [b"more"]


def test_many_small_compressed_messages_come_in_slices():
    decoder = FrameDecoder(takes_text=True, deflate=MessageDeflate(LIMIT, 15))
    events = decoder.receive(frame(deflate(b"x"), 0xC2) * 10_000)
    calls = 1
    while decoder.has_more:
        assert len(events[-1]) < 50
        events += decoder.receive(b"")
        calls += 1
    assert b"".join(events) == b"x" * 10_000
    assert calls > 200


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4), places, st.integers(1, 700), st.booleans())
def test_slices_come_to_the_same_as_one(contents, places, slice_size, drained):
    stream = b"".join(frame(deflate(content * 3), 0xC2) + frame(content) for content in contents)
    stream += frame(b"\x03\xe8", 0x88)
    decoder = FrameDecoder(takes_text=True, deflate=MessageDeflate(LIMIT, 15), slice_size=slice_size)
    found = []
    for piece in cut(stream, places):
        found += decoder.receive(piece)
        while drained and decoder.has_more:
            found += decoder.receive(b"")
    while decoder.has_more:
        found += decoder.receive(b"")
    assert found.pop() == Closed(1000, "")
    assert b"".join(found) == b"".join(content * 4 for content in contents)


def test_violation_behind_a_slice_comes_when_its_turn_comes():
    decoder = FrameDecoder(takes_text=True, deflate=MessageDeflate(LIMIT, 15))
    found = [decoder.receive(frame(deflate(bytes(20_000)), 0xC2) + frame(b"x", mask=None))]
    while decoder.has_more:
        found.append(decoder.receive(b""))
    assert [type(event) for events in found for event in events] == [bytes] * 3 + [FrameError]
    assert decoder.receive(b"more") == []


def test_of_many_pings_the_last_are_given_out():
    decoder = FrameDecoder(takes_text=True, deflate=None)
    stream = b"".join(frame(b"%d" % number, 0x89) for number in range(1000))
    assert decoder.receive(stream) == [Pings(tuple(b"%d" % number for number in range(936, 1000)), 1000)]
