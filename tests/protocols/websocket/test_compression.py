"""The negotiation of permessage-deflate: which offers are met, and with which answer."""

import zlib

import pytest

from protocols.websocket.compression import accept_offer

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


def test_the_extension_offers_nothing():
    accepted = accept_offer(["permessage-deflate"], 1024)
    assert accepted is not None
    assert accepted[0].offer() is False
