"""Frames: the vectors that all implementations share, escaping, and finding frames in anything at all."""

import re
import tomllib
from binascii import crc32
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.serial_link.frames import (
    ESCAPED_FOR_CONSOLES,
    LONGEST_LINE,
    Damage,
    Frame,
    FrameDecoder,
    FrameType,
    Hello,
    LineEvent,
    Text,
    decode_hello,
    encode_frame,
    escape,
    unescape,
)

VECTORS = tomllib.loads((Path(__file__).parents[2] / "vectors" / "serial_link.toml").read_text())
FRAMES = {name: vector for name, vector in VECTORS.items() if "type" in vector}
OTHERS = {name: vector for name, vector in VECTORS.items() if "type" not in vector}
SEED = 0x11223344


SPECIFICATION = Path(__file__).parents[3] / "protocols" / "serial_link" / "README.md"


def decode(*pieces: bytes, seed: int | None = SEED, mtu: int = 256) -> list[LineEvent]:
    decoder = FrameDecoder(mtu, seed)
    return [event for piece in pieces for event in decoder.receive(piece)]


@pytest.mark.parametrize("vector", FRAMES.values(), ids=FRAMES)
def test_vector_is_encoded_and_decoded(vector):
    kind, payload, wire = FrameType[vector["type"]], bytes.fromhex(vector["payload"]), bytes.fromhex(vector["wire"])
    fields = vector["seq"], vector["ack"], vector["credit"], payload
    assert encode_frame(kind, vector["seed"], *fields, vector.get("console", False)) == wire
    assert decode(wire, seed=vector["seed"]) == [Frame(kind, *fields)]
    if kind is FrameType.HELLO:
        hello = decode_hello(payload)
        assert hello is not None
        assert hello.encode() == payload


@pytest.mark.parametrize("vector", OTHERS.values(), ids=OTHERS)
def test_vector_that_is_no_frame_is_none(vector):
    wire = bytes.fromhex(vector["wire"])
    expected = [Text(vector["text"].encode())] if "text" in vector else [Damage(len(wire) - 1)]
    assert decode(wire, seed=vector["seed"]) == expected


def test_every_frame_type_has_a_vector():
    assert {vector["type"] for vector in FRAMES.values()} == {kind.name for kind in FrameType}


def test_bytes_in_the_specification_are_those_of_vectors():
    text = re.sub(r"\n {4}(?=[0-9a-f]{2} )", " ", SPECIFICATION.read_text())
    examples = [found.group().replace(" ", "") for found in re.finditer(r"\b(?:[0-9a-f]{2} ){8,}c0\b", text)]
    assert len(examples) == 9
    assert set(examples) <= {vector["wire"].replace(" ", "") for vector in VECTORS.values()}
    assert {int(match) for match in re.findall(r"[ ,](\d) [A-Z]{3,5}\b", text)} >= set(FrameType)


@given(st.binary())
def test_escaping_is_undone_and_leaves_no_delimiter(body):
    assert unescape(escape(body)) == body
    assert b"\xc0" not in escape(body)


@given(st.binary())
def test_consoles_see_no_control_character(body):
    wire = escape(body, ESCAPED_FOR_CONSOLES)
    assert unescape(wire) == body
    assert all(byte >= 0x20 and byte != 0xC0 for byte in wire)


@given(
    st.lists(st.one_of(st.sampled_from([bytes.fromhex(one["wire"]) for one in VECTORS.values()]), st.binary())),
    st.data(),
)
def test_any_split_gives_the_same_events(pieces, data):
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*parts) == decode(stream)


@given(st.binary(max_size=2000), st.integers(1, 600))
def test_frame_behind_any_noise_is_found(noise, mtu):
    wire = bytes.fromhex(FRAMES["ack"]["wire"])
    events = decode(noise, b"\xc0", wire, seed=FRAMES["ack"]["seed"], mtu=mtu)
    assert isinstance(events[-1], Frame)


def test_chunk_without_an_end_is_not_kept():
    decoder = FrameDecoder(256)
    for _ in range(1000):
        assert list(decoder.receive(b"\x11" * 100)) == []
        assert len(decoder._partial) <= 1000
    assert list(decoder.receive(b"\xc0")) == [Damage(100_000)]


def test_text_without_a_line_end_comes_in_pieces():
    assert decode(b"x" * (2 * LONGEST_LINE + 1)) == [Text(b"x" * LONGEST_LINE)] * 2


@pytest.mark.parametrize("line", [b"temp=21.5\r\n", "21,5 °C\n".encode(), b"\x1b[0;32mI (29) boot\x1b[0m\n"])
def test_printed_lines_are_text(line):
    assert decode(line) == [Text(line)]


@pytest.mark.parametrize("line", [b"ab\x00c\n", b"\xe9t\xe9\n", b"\x80\x80\x80\n"])
def test_lines_of_another_rate_are_damage(line):
    assert decode(line) == [Damage(len(line))]


def test_session_id_seeds_the_check_sum():
    wire = encode_frame(FrameType.PING, SEED, 0, 0, 0, b"")
    assert int.from_bytes(wire[4:8], "little") == crc32(wire[:4], SEED)
    assert decode(wire, seed=SEED + 1) == decode(wire, seed=None) == [Damage(8)]


@given(st.binary(max_size=100))
def test_hello_of_any_bytes_is_one_or_none(payload):
    hello = decode_hello(payload)
    assert hello is None or isinstance(hello, Hello)


def test_hello_with_fields_of_a_later_version_is_understood():
    hello = Hello(1, 2, 256, 4096, "node")
    assert decode_hello(hello.encode() + b"later") == hello
