"""What counters' messages become."""

import json

import pytest

from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams import counters
from gateway.streams import message_headers as headers
from gateway.streams.counters import Total, Totals, count, count_copy, increment_of, value_of
from gateway.streams.errors import ApiError


def header(**fields: str) -> bytes:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return headers.with_fields(b"", *pairs)


@pytest.mark.parametrize("text", [b"", b"x", b"1.5", b"1_000", b" 1", b"--1", b"9" * 2000, "٣".encode()])
def test_what_is_no_whole_number_is_refused(text: bytes) -> None:
    with pytest.raises(ApiError):
        increment_of(text)


def test_numbers_are_of_any_size() -> None:
    block = header(Nats_Incr="+" + "9" * 40)
    counted = count(Total(10**41), block, headers.nats_fields(block))
    assert value_of(counted.payload) == 10**41 + int("9" * 40)


def test_of_another_counter_the_difference_is_added() -> None:
    total = Total(0)
    for there, expected in (("5", 5), ("7", 7), ("4", 4)):
        block = header(Nats_Incr="1", Nats_Stream_Source="EDGE 3 > > n.a")
        payload = json.dumps({"val": there}).encode()
        counted = count_copy(total, b"n.a", block, headers.nats_fields(block), payload)
        total = counted.total
        assert total.value == expected
    assert json.loads(total.sources) == {"EDGE": {"n.a": "4"}}
    assert headers.nats_fields(counted.header)[headers.INCREMENT] == b"-3"


@pytest.mark.parametrize("payload", [b"", b"5", b"{}", b'{"val":5}', b"\xff"])
def test_a_broken_counter_is_said_to_be_broken(payload: bytes) -> None:
    with pytest.raises(ApiError, match="broken"):
        value_of(payload)


async def test_totals_that_were_forgotten_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MOST_BYTES", 2000)
    kept: dict[bytes, int] = {}
    reads = []

    async def last_of(subject: bytes) -> StoredMessage:
        reads.append(subject)
        return StoredMessage(1, 1, subject, b"", b'{"val":"%d"}' % kept[subject])

    totals = Totals(lambda subject: subject in kept, last_of)
    for number in range(100):
        subject = b"n.%d" % number
        assert totals.find(subject) == Total(0)
        kept[subject] = number
        totals.note(subject, Total(number))
    assert totals.find(b"n.99") == Total(99)
    assert totals.find(b"n.0") is None
    await totals.load(b"n.0")
    assert totals.find(b"n.0") == Total(0)
    await totals.load(b"n.5")
    assert totals.find(b"n.5") == Total(5)
    assert reads == [b"n.0", b"n.5"]
