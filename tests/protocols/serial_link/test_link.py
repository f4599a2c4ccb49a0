"""The link's answers frame by frame, and that no input makes it fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.serial_link.frames import Frame, FrameDecoder, FrameType, Hello, decode_hello, encode_frame
from protocols.serial_link.link import BaudChange, Ended, Link, LinkSettings, Opened, Received, Silent, solicitation

OURS, THEIRS = 0x0A0B0C0D, 0x11223344


def new_link(**settings: int) -> Link:
    sids = iter(range(OURS, OURS + 100))
    return Link(LinkSettings(name="us", **settings), lambda: next(sids), 0.0)


def wire(kind: FrameType, seq: int = 0, ack: int = 0, payload: bytes = b"", credit: int = 4096) -> bytes:
    """A frame of the peer."""
    return encode_frame(kind, 0 if kind is FrameType.HELLO else THEIRS, seq, ack, credit, payload)


def hello(peer_sid: int = 0, sid: int = THEIRS, wants_answer: bool = True) -> bytes:
    return wire(FrameType.HELLO, payload=Hello(sid, peer_sid, 256, 4096, "them", wants_answer).encode())


def said(link: Link, now: float = 0.0) -> list[Frame]:
    """What the link sends now."""
    decoder = FrameDecoder(4096, link.sid)
    return [event for event in decoder.receive(link.bytes_to_send(now)) if isinstance(event, Frame)]


def open_link(**settings: int) -> Link:
    link = new_link(**settings)
    opened = link.receive(hello(link.sid), 0.0)
    assert [type(event) for event in opened] == [Opened]
    said(link)
    return link


def test_question_is_answered_and_changes_nothing():
    link = open_link()
    assert link.receive(solicitation(), 0.0) == []
    (answer,) = said(link)
    told = decode_hello(answer.payload)
    assert told is not None
    assert (told.sid, told.peer_sid, told.wants_answer) == (OURS, THEIRS, False)
    assert link.up


def test_own_voice_on_a_looped_line_is_ignored():
    link = new_link()
    link.on_deadline(0.0)
    assert link.receive(link.bytes_to_send(0.0), 0.0) == []
    assert link.peer is None


def test_data_is_delivered_once_and_acknowledged():
    link = open_link()
    first, second = wire(FrameType.DATA, 0, payload=b"a"), wire(FrameType.DATA, 1, payload=b"b")
    assert link.receive(second, 0.0) == []
    assert [(frame.ack, frame.payload) for frame in said(link)] == [(0, b"\x01\0\0\0")]
    assert link.receive(first + second, 0.0) == [Received(b"a"), Received(b"b")]
    assert [(frame.ack, frame.payload) for frame in said(link)] == [(2, b"")]


def test_acknowledgement_waits_a_moment_for_data_to_ride_on():
    link = open_link()
    link.receive(wire(FrameType.DATA, 0, payload=b"a"), 0.0)
    assert said(link) == []
    assert link.next_deadline() == 0.010
    link.send(b"answer")
    assert [(frame.type, frame.ack) for frame in said(link)] == [(FrameType.DATA, 1)]
    assert said(link, 0.020) == []


def test_hole_is_filled_at_once_and_only_once():
    link = open_link()
    link.send(bytes(3 * 256))
    assert [frame.seq for frame in said(link)] == [0, 1, 2]
    gap = wire(FrameType.ACK, ack=0, payload=(1).to_bytes(4, "little"))
    link.receive(gap, 0.005)
    assert [frame.seq for frame in said(link, 0.005)] == [0]
    link.receive(gap, 0.006)
    assert said(link, 0.006) == []


def test_no_more_is_on_its_way_than_the_peer_has_room_for():
    link = open_link()
    link.receive(wire(FrameType.ACK, credit=512), 0.0)
    link.send(bytes(2000))
    assert [len(frame.payload) for frame in said(link)] == [256, 256]
    link.receive(wire(FrameType.ACK, ack=1, credit=256), 0.01)
    assert said(link, 0.01) == []
    link.receive(wire(FrameType.ACK, ack=2, credit=64), 0.02)
    assert [len(frame.payload) for frame in said(link, 0.02)] == [64]


def test_silence_is_noticed_after_three_seconds():
    link = open_link()
    now, events = 0.0, []
    while not events:
        now = link.next_deadline()
        events = link.on_deadline(now)
        said(link, now)
    assert (now, events) == (3.0, [Silent()])


@pytest.mark.parametrize(
    "question",
    [wire(FrameType.PING), solicitation(), wire(FrameType.BAUD, payload=bytes(4))],
    ids=["PING", "HELLO", "BAUD"],
)
def test_peer_that_asks_without_end_gets_a_bounded_number_of_answers(question):
    link = open_link()
    link.receive(question * 1000, 0.0)
    assert 0 < len(link.bytes_to_send(0.0)) < 2000
    link.receive(question, 0.0)
    assert len(said(link)) == 1


def test_farewell_is_said_behind_however_many_answers():
    link = open_link()
    link.receive(wire(FrameType.PING) * 1000, 0.0)
    theirs = FrameDecoder(4096, link.sid)
    link.abandon()
    assert [event.type for event in theirs.receive(link.bytes_to_send(0.0)) if isinstance(event, Frame)][-1] is (
        FrameType.BYE
    )


def test_farewell_ends_the_session():
    link = open_link()
    assert link.receive(wire(FrameType.BYE), 0.0) == [Ended(farewell=True)]
    assert link.sid != OURS


def test_bytes_of_an_ended_session_do_not_go_into_the_next():
    link = open_link()
    link.abandon()
    assert link.send(b"for the session that was") == 0
    assert link.on_deadline(0.0) == [Ended(farewell=False)]
    assert link.send(b"for the next") == 12


def test_peer_that_does_not_come_back_after_its_farewell_is_silent():
    link = open_link()
    link.receive(wire(FrameType.BYE), 1.0)
    now, events = 1.0, []
    while not events and now < 10.0:
        now = link.next_deadline()
        events = link.on_deadline(now)
    assert (now, events) == (4.0, [Silent()])
    assert link.on_deadline(9.0) == []


def test_peer_that_switches_late_is_asked_again_at_the_new_rate():
    link = new_link()
    able = Hello(THEIRS, link.sid, 256, 4096, "them", changes_baud=True).encode()
    link.receive(wire(FrameType.HELLO, payload=able), 0.0)
    link.change_baud(921_600, 0.0)
    link.on_deadline(0.0)
    said(link)
    accepted = encode_frame(FrameType.BAUD, THEIRS, 1, 0, 4096, (921_600).to_bytes(4, "little"))
    assert link.receive(accepted, 0.0) == [BaudChange(921_600)]
    link.baud_changed(921_600, 0.0)
    asked, now, events = [], 0.0, []
    while not events:
        asked += [now for frame in said(link, now) if frame.type is FrameType.PING]
        now = link.next_deadline()
        events = link.on_deadline(now)
    assert [round(when, 3) for when in asked] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert (now, events) == (0.5, [BaudChange(115_200)])


def test_acknowledgement_of_what_was_never_sent_is_ignored():
    link = open_link()
    link.send(b"abc")
    said(link)
    link.receive(wire(FrameType.ACK, ack=77), 0.0)
    assert link.unsent == 3


@given(st.lists(st.binary(max_size=300)), st.booleans())
def test_random_bytes_never_raise(pieces, opened):
    link = open_link() if opened else new_link()
    for number, piece in enumerate(pieces):
        link.receive(piece, float(number))
        link.on_deadline(float(number))
        link.bytes_to_send(float(number))


frames = st.builds(
    lambda kind, seq, ack, credit, payload: encode_frame(
        kind, 0 if kind is FrameType.HELLO else THEIRS, seq, ack, credit, payload
    ),
    st.sampled_from(FrameType),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 16_000),
    st.binary(max_size=300) | st.builds(lambda sid: Hello(sid, OURS, 1, 0).encode(), st.integers(0, 9)),
)


@given(st.lists(frames, max_size=30))
def test_valid_frames_with_senseless_fields_never_raise(stream):
    link = open_link(send_buffer=2000)
    for number, piece in enumerate(stream):
        now = number / 10
        link.send(bytes(100))
        link.receive(piece, now)
        link.on_deadline(now)
        assert len(link.bytes_to_send(now)) < 100_000
        assert link.unsent <= 2000
