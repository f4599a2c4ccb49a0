"""What a stored message is sent with."""

import pytest

from gateway.forwarding.message_headers import SentHeaders, expect_last_id, expect_last_sequence, stored_header
from protocols.nats.headers import find_field

SECOND_NS = 1_000_000_000


def test_a_message_without_header_of_nobody_is_stored_as_it_is():
    assert stored_header(b"", "") == b""


def test_the_user_is_added_on_a_line_of_his_own():
    assert stored_header(b"", "ann") == b"NATS/1.0\r\nLeafgate-User: ann\r\n\r\n"
    forged = stored_header(b"", "ann\r\nNats-Msg-Id: 1")
    assert find_field(forged, b"Nats-Msg-Id") is None


@pytest.mark.parametrize(
    "line", [b"Nats-Expected-Last-Sequence: 7", b"nats-expected-stream:x", b"Leafgate-User: root", b"LEAFGATE-TIME: 1"]
)
def test_what_is_for_the_gateway_to_say_is_left_out(line: bytes):
    header = b"NATS/1.0\r\n%b\r\nColour: red\r\n\r\n" % line
    assert stored_header(header, "") == b"NATS/1.0\r\nColour: red\r\n\r\n"


def test_the_publishers_id_is_kept_under_another_name():
    stored = stored_header(b"NATS/1.0\r\nNats-Msg-Id: one\r\n\r\n", "")
    assert stored == b"NATS/1.0\r\nLeafgate-Msg-Id: one\r\n\r\n"


def test_sent_headers_have_id_expectation_and_time():
    headers = SentHeaders()
    sent = headers.make(b"", 1_700_000_000 * SECOND_NS + 5, b"a-7", expect_last_id(b"a-6"))
    assert sent == (
        b"NATS/1.0\r\nNats-Msg-Id: a-7\r\nNats-Expected-Last-Msg-Id: a-6\r\n"
        b"Leafgate-Time: 2023-11-14T22:13:20.000000005Z\r\n\r\n"
    )
    stored = b"NATS/1.0\r\nColour: red\r\n\r\n"
    sent = headers.make(stored, 1_700_000_001 * SECOND_NS, b"a-8", expect_last_sequence(0))
    assert sent == (
        b"NATS/1.0\r\nColour: red\r\nNats-Msg-Id: a-8\r\nNats-Expected-Last-Sequence: 0\r\n"
        b"Leafgate-Time: 2023-11-14T22:13:21.000000000Z\r\n\r\n"
    )
