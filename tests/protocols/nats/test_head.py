"""Heads: the messages that they make are like any other message, and lines are read as the slow way reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.message import Message
from protocols.nats.head import read_head
from protocols.nats.server import ServerDecoder

WORDS = (b"a", b"a.b", b"_INBOX.x", b"_R_.x", b"$GR.x", b"$JS.ACK.x", b"5", b"12", b"0", b"", b"+", b"9" * 10)


@pytest.mark.parametrize("reply", [b"", b"r.1"])
def test_message_of_a_head_has_every_field_of_a_message(reply: bytes) -> None:
    wire = b"PUB a.b %b3\r\nabc\r\n" % (reply + b" " if reply else b"")
    (message,) = ServerDecoder(100, 4096).receive(wire)
    model = Message(b"a.b", reply, 0, 3, wire[len(b"PUB a.b ") :], None)
    assert type(message) is Message
    for name in Message.__slots__:
        assert getattr(message, name) == getattr(model, name), name
    # Filled in, not left out: an object without a field has none to be compared.
    assert {name for name in Message.__slots__ if hasattr(message, name)} == set(Message.__slots__)


@pytest.mark.parametrize("with_header", [False, True])
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5),
    gap=st.sampled_from([b" ", b" ", b" ", b"  ", b"\t"]),
    end=st.sampled_from([b"\r", b"\r", b"", b" \r"]),
)
def test_head_is_made_of_lines_alone_that_say_the_same_again(
    with_header: bool, words: list[bytes], gap: bytes, end: bytes
) -> None:
    line = gap.join(words) + end
    head = read_head(b"?" + line + b"\n", 1, 1 + len(line), with_header, None)
    if head is None:
        return
    reply = b" " + head.reply if head.reply else b""
    sizes = line[len(head.subject + reply) : -1].split()
    assert line == head.subject + reply + b" " + b" ".join(sizes) + b"\r"
    assert [int(size) for size in sizes] == [head.header_size, head.size][not with_header :]
    assert head.tail_size == len(line) - len(head.subject) - 1
    assert head.header_size <= head.size
    assert not head.subject.startswith((b"_R_", b"$GR"))
    assert not head.reply.startswith((b"_R_", b"$GR", b"$JS"))


@pytest.mark.parametrize(
    ("line", "with_header"),
    [
        (b"a.b 5\r", False),
        (b"a.b r.1 5\r", False),
        (b"$KV.b.k 5\r", False),
        (b"a 12 17\r", True),
        (b"a r 12 12\r", True),
    ],
)
def test_usual_lines_make_heads(line: bytes, with_header: bool) -> None:
    head = read_head(line + b"\n", 0, len(line), with_header, ())
    assert head is not None
    assert head.queues == ()
    assert not head.reserved
