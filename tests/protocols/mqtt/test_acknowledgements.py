"""Acknowledgements: runs of them are one event, and written in one piece."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MisuseError, PeerViolation
from protocols.mqtt import encoder
from protocols.mqtt.acknowledgements import (
    ACKNOWLEDGEMENTS,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    AckRun,
    encode_acknowledgements,
)
from protocols.mqtt.decoder import ClientDecoder, Decoder
from protocols.mqtt.packets import Connect, Pingreq, Puback, Pubrec, Pubrel
from tests.protocols.mqtt.one_by_one import one_by_one

ENCODERS = {
    PUBACK: encoder.encode_puback,
    PUBREC: encoder.encode_pubrec,
    PUBREL: encoder.encode_pubrel,
    PUBCOMP: encoder.encode_pubcomp,
}


def connected(version: int, max_packet_size: int = 1000) -> Decoder:
    decoder = Decoder(1000)
    decoder.receive(encoder.encode_connect(Connect(version, b"c")))
    decoder.max_packet_size = max_packet_size
    return decoder


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("kind", ENCODERS)
def test_run_is_one_event(version: int, kind: int) -> None:
    (run,) = connected(version).receive(encode_acknowledgements(kind, [1, 65_535, 7, 7]))
    assert isinstance(run, AckRun)
    assert (run.kind, run.packet_ids) == (kind, [1, 65_535, 7, 7])
    assert run.packets() == [ACKNOWLEDGEMENTS[kind](packet_id) for packet_id in (1, 65_535, 7, 7)]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_single_acknowledgement_and_those_to_a_client_are_packets(version: int) -> None:
    wire = encode_acknowledgements(PUBREC, [3])
    assert connected(version).receive(wire + b"\xc0\x00" + wire) == [Pubrec(3), Pingreq(), Pubrec(3)]
    assert ClientDecoder(1000, version).receive(wire * 2) == [Pubrec(3), Pubrec(3)]


def test_run_ends_before_another_kind_a_long_form_and_an_incomplete_packet() -> None:
    decoder = connected(5)
    two = encode_acknowledgements(PUBACK, [1, 2])
    long_form = encoder.encode_puback(5, 3, 0x10)
    stream = two + long_form + two + encode_acknowledgements(PUBREL, [9]) + two
    first, single, second, last = decoder.receive(stream[:-5])
    assert (first.packet_ids, single, second.packet_ids) == ([1, 2], Puback(3, 0x10), [1, 2])
    assert last == Pubrel(9)
    assert decoder.receive(stream[-5:]) == [Puback(1), Puback(2)]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_identifier_0_ends_the_stream_after_the_good_ones(version: int) -> None:
    run, violation = connected(version).receive(encode_acknowledgements(PUBACK, [1, 2]) + b"\x40\x02\0\0")
    assert run.packet_ids == [1, 2]
    assert isinstance(violation, PeerViolation)


def test_acknowledgement_may_not_be_larger_than_packets_may_be() -> None:
    (violation,) = connected(4, 3).receive(encode_acknowledgements(PUBACK, [1, 2]))
    assert isinstance(violation, PeerViolation)
    (violation,) = Decoder(1000).receive(encode_acknowledgements(PUBACK, [1, 2]))
    assert isinstance(violation, PeerViolation)


@given(
    sent=st.lists(st.tuples(st.sampled_from(list(ENCODERS)), st.integers(1, 65_535)), max_size=20),
    cuts=st.lists(st.integers(0, 80), max_size=5),
    version=st.sampled_from([3, 4, 5]),
)
def test_any_split_gives_the_same_acknowledgements(sent: list[tuple[int, int]], cuts: list[int], version: int) -> None:
    stream = b"".join(encode_acknowledgements(kind, [packet_id]) for kind, packet_id in sent)
    assert stream == b"".join(ENCODERS[kind](version, packet_id) for kind, packet_id in sent)
    decoder = connected(version)
    edges = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    events = [event for start, end in pairwise(edges) for event in decoder.receive(stream[start:end])]
    assert one_by_one(events) == [ACKNOWLEDGEMENTS[kind](packet_id) for kind, packet_id in sent]


@pytest.mark.parametrize("packet_id", [0, 65_536])
def test_identifiers_that_are_none_are_not_written(packet_id: int) -> None:
    with pytest.raises(MisuseError):
        encode_acknowledgements(PUBACK, [1, packet_id])
    with pytest.raises(MisuseError):
        encoder.encode_publish(4, b"a", b"", 1, packet_id, False, False)
