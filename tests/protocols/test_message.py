import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.message import Burst, Message, make_message
from protocols.nats.server import ServerDecoder

HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"


def message_from_wire(subject: bytes, reply: bytes, header: bytes, payload: bytes) -> Message:
    """As a decoder makes it: with a tail and nothing else."""
    size = len(header) + len(payload)
    sizes = b"%d %d" % (len(header), size) if header else b"%d" % size
    tail = (reply + b" " if reply else b"") + sizes + b"\r\n" + header + payload + b"\r\n"
    return Message(subject, reply, len(header), size, tail, None)


@pytest.mark.parametrize(
    ("reply", "header", "payload", "tail"),
    [
        (b"", b"", b"hi", b"2\r\nhi\r\n"),
        (b"", b"", b"", b"0\r\n\r\n"),
        (b"to.me", b"", b"hi", b"to.me 2\r\nhi\r\n"),
        (b"", HEADER, b"hi", b"18 20\r\n" + HEADER + b"hi\r\n"),
        (b"to.me", HEADER, b"", b"to.me 18 18\r\n" + HEADER + b"\r\n"),
    ],
)
def test_tail_is_what_follows_the_sid_on_the_wire(reply: bytes, header: bytes, payload: bytes, tail: bytes):
    message = make_message(b"foo", payload, reply, header)
    assert message.tail is None
    assert message.make_tail() == tail
    assert message.tail == tail
    assert message.make_tail() is message.tail


parts = {
    "reply": st.sampled_from([b"", b"to.me"]),
    "header": st.sampled_from([b"", HEADER]),
    "payload": st.binary(max_size=40),
}


@given(**parts)
def test_message_made_here_equals_the_one_from_the_wire(reply: bytes, header: bytes, payload: bytes):
    made = make_message(b"foo", payload, reply, header)
    read = message_from_wire(b"foo", reply, header, payload)
    assert (made.size, made.header_size) == (read.size, read.header_size) == (len(header + payload), len(header))
    assert made.make_tail() == read.make_tail()
    assert made.headerless_tail() == read.headerless_tail()
    assert made.tail_after_reply() == read.tail_after_reply()
    for message in (made, read):
        assert message.body() == header + payload
        assert message.header() == header
        assert message.payload() == payload


@given(**parts)
def test_headerless_tail_is_that_of_the_payload_alone(reply: bytes, header: bytes, payload: bytes):
    message = message_from_wire(b"foo", reply, header, payload)
    assert message.headerless_tail() == make_message(b"foo", payload, reply).make_tail()
    assert message.headerless_tail() is message.headerless_tail()


@given(**parts)
def test_tail_after_reply_is_that_of_a_message_without_one(reply: bytes, header: bytes, payload: bytes):
    message = message_from_wire(b"foo", reply, header, payload)
    assert message.tail_after_reply() == make_message(b"foo", payload, b"", header).make_tail()


def burst_from_wire(header: bytes, payloads: list[bytes]) -> Burst:
    """As a decoder makes it."""
    decoder = ServerDecoder(max_payload=100_000, max_control_line=4096)
    decoder.receive(b'CONNECT {"headers":true}\r\n')
    size = len(header + payloads[0])
    operation = b"HPUB foo %d %d\r\n" % (len(header), size) if header else b"PUB foo %d\r\n" % size
    (burst,) = decoder.receive(b"".join(operation + header + payload + b"\r\n" for payload in payloads))
    assert isinstance(burst, Burst)
    return burst


@given(
    payloads=st.lists(st.binary(min_size=3, max_size=3), min_size=2, max_size=5),
    header=st.sampled_from([b"", HEADER]),
    # A large content is not copied but looked at.
    weight=st.sampled_from([1, 3000]),
)
def test_burst_is_the_same_messages_in_a_row(payloads: list[bytes], header: bytes, weight: int):
    payloads = [payload * weight for payload in payloads]
    size = len(header) + 3 * weight
    burst = burst_from_wire(header, payloads)
    singles = [message_from_wire(b"foo", b"", header, payload) for payload in payloads]
    assert (burst.subject, burst.header_size, burst.message_size) == (b"foo", len(header), size)
    # Different receivers ask, each with its own head.
    for head in (b"MSG foo 1 ", b"MSG foo 22 ", b"MSG foo 1 "):
        wire = b"".join(head + single.make_tail() for single in singles)
        assert b"".join(burst.nats_pieces(head)) == wire
        assert burst.nats_size(head) == len(wire)
    messages = burst.messages()
    assert burst.messages() is messages
    assert [message.make_tail() for message in messages] == [single.make_tail() for single in singles]
    assert [message.payload() for message in messages] == payloads
    assert [bytes(payload) for payload in burst.payloads()] == payloads
    assert {(one.subject, one.reply, one.header(), one.queues) for one in messages} == {(b"foo", b"", header, None)}
