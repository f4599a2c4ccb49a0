"""Close codes: every way in which a connection ends has one that may be sent."""

import pytest
from wsproto import frame_protocol

from protocols.close_reason import CloseReason
from protocols.websocket.close_codes import CloseCode, close_code, may_be_sent


def test_registered_codes_are_those_that_wsproto_has():
    assert {one.name: int(one) for one in CloseCode} == {one.name: int(one) for one in frame_protocol.CloseReason}


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (CloseReason.CLIENT_CLOSED, 1000),
        (CloseReason.SERVER_SHUTDOWN, 1001),
        (CloseReason.STALE_CONNECTION, 1001),
        (CloseReason.READ_ERROR, 1001),
        (CloseReason.PARSE_ERROR, 1002),
        (CloseReason.PROTOCOL_VIOLATION, 1002),
        (CloseReason.AUTHENTICATION_FAILURE, 1008),
        (CloseReason.AUTHENTICATION_TIMEOUT, 1008),
        (CloseReason.SLOW_CONSUMER_PENDING_BYTES, 1008),
        (CloseReason.MAXIMUM_CONNECTIONS_EXCEEDED, 1008),
        (CloseReason.MAXIMUM_CONTROL_LINE_EXCEEDED, 1008),
        (CloseReason.MAXIMUM_PAYLOAD_EXCEEDED, 1009),
        (CloseReason.INTERNAL_ERROR, 1011),
        (CloseReason.DUPLICATE_CLIENT_ID, 1011),
    ],
)
def test_reason_has_the_code_of_nats_server(reason, code):
    assert close_code(reason) == code


def test_every_code_may_be_sent():
    codes = {close_code(reason) for reason in CloseReason}
    assert codes <= {1000, 1001, 1002, 1008, 1009, 1011}
    assert all(map(may_be_sent, codes))


def test_codes_that_are_registered_or_the_applications_own_may_be_sent():
    sendable = [code for code in range(1 << 16) if may_be_sent(code)]
    assert sendable == [1000, 1001, 1002, 1003, *range(1007, 1014), *range(3000, 5000)]
