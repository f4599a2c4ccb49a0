"""permessage-deflate: which offers are met and with which answer, and what bounds inflating."""

import zlib

import pytest

from protocols.websocket.compression import MessageDeflate, accept_offer
from protocols.websocket.errors import FrameError
from tests.protocols.websocket.client_frames import deflate

AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", AGREED),
        ("Permessage-Deflate", AGREED),
        ("permessage-deflate; client_max_window_bits", AGREED),
        ("permessage-deflate; client_max_window_bits=8", AGREED),
        ("permessage-deflate;server_no_context_takeover;client_no_context_takeover", AGREED),
        ("permessage-deflate; server_max_window_bits=15", AGREED),
        ("permessage-deflate; server_max_window_bits=10", f"{AGREED}; server_max_window_bits=10"),
        ('permessage-deflate; server_max_window_bits="9"', f"{AGREED}; server_max_window_bits=9"),
    ],
)
def test_offer_is_met(offer, answer):
    accepted = accept_offer([offer], 1024)
    assert accepted is not None
    assert accepted[1] == answer


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; unknown",
        "permessage-deflate;",
    ],
)
def test_offer_that_breaks_the_rules_or_cannot_be_kept_is_declined(offer):
    assert accept_offer([offer], 1024) is None


def test_first_offer_that_can_be_met_is_taken():
    offers = [
        "permessage-foo",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=12",
    ]
    accepted = accept_offer([*offers, "permessage-deflate"], 1024)
    assert accepted is not None
    assert accepted[1].endswith("server_max_window_bits=12")


@pytest.mark.parametrize("bits", range(9, 16))
def test_window_stays_within_what_was_agreed(bits):
    accepted = accept_offer([f"permessage-deflate; server_max_window_bits={bits}"], 1024)
    assert accepted is not None
    data = bytes(range(256)) * 300
    inflater = zlib.decompressobj(-bits)
    assert inflater.decompress(accepted[0].deflate(data) + b"\x00\x00\xff\xff") == data


@pytest.fixture
def compression() -> MessageDeflate:
    return MessageDeflate(1000, 15)


def inflate(compression: MessageDeflate, payload: bytes, ends: bool, most: int = 64) -> bytes:
    inflated = compression.inflate(payload, ends, most)
    while compression.has_more:
        piece = compression.inflate(b"", False, most)
        assert len(piece) <= most
        inflated += piece
    return inflated


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_message_may_be_inflated_to_the_limit_however_it_is_cut(compression, step):
    for _ in range(2):
        compression.begin()
        packed = deflate(bytes(1000))
        inflated = [inflate(compression, packed[i : i + step], ends=False) for i in range(0, len(packed), step)]
        assert b"".join([*inflated, inflate(compression, b"", ends=True)]) == bytes(1000)


@pytest.mark.parametrize("size", [1001, 100_000])
@pytest.mark.parametrize("ends", [True, False])
def test_message_that_inflates_beyond_the_limit_is_refused(compression, size, ends):
    compression.begin()
    with pytest.raises(FrameError, match="message too big") as refused:
        inflate(compression, deflate(bytes(size)), ends)
    assert refused.value.code == 1009


def test_message_whose_frames_announce_too_much_is_refused(compression):
    for _ in range(2):
        compression.begin()
        compression.announce(400)
        compression.announce(600)
    with pytest.raises(FrameError, match="message too big"):
        compression.announce(1)


def test_what_is_no_deflate_is_refused(compression):
    compression.begin()
    with pytest.raises(FrameError, match="corrupt") as refused:
        inflate(compression, b"\xff\xff", ends=True)
    assert refused.value.code == 1007


def test_what_follows_a_final_block_is_padding(compression):
    # RFC 7692 7.2.3.4.
    compression.begin()
    assert inflate(compression, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00more", ends=False) == b"Hello"
    assert inflate(compression, b"more", ends=True) == b""
