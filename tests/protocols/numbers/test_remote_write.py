"""Requests of remote write, read again by a reader of protobuf that knows nothing of ours."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.numbers import remote_write
from protocols.s2.block import decode_block, uvarint

finite = st.floats(allow_nan=False, allow_infinity=False)


def fields(data: bytes) -> list[tuple[int, object]]:
    """Numbers and values of the fields of a message."""
    found: list[tuple[int, object]] = []
    at = 0
    while at < len(data):
        tag, at = uvarint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = uvarint(data, at)
            found.append((tag >> 3, value))
        elif kind == 1:
            found.append((tag >> 3, struct.unpack_from("<d", data, at)[0]))
            at += 8
        else:
            assert kind == 2
            size, at = uvarint(data, at)
            found.append((tag >> 3, data[at : at + size]))
            at += size
    assert at == len(data)
    return found


def read(request: bytes) -> list[tuple[list[tuple[str, str]], list[tuple[int, float]]]]:
    found = []
    for number, series in fields(request):
        assert number == 1
        labels, samples = [], []
        for inner, content in fields(series):
            pair = fields(content)
            assert [one for one, _ in pair] == [1, 2]
            if inner == 1:
                labels.append((pair[0][1].decode(), pair[1][1].decode()))
            else:
                assert inner == 2
                samples.append((pair[1][1], pair[0][1]))
        found.append((labels, samples))
    return found


@given(
    st.dictionaries(st.sampled_from(("a", "b", "zone", "Z")), st.text(max_size=20)),
    st.dictionaries(st.integers(0, (1 << 63) - 1), finite, min_size=1, max_size=20),
)
def test_request_is_what_protobuf_says(labels, samples):
    encoded = remote_write.encode_labels("m:x", labels)
    ((found_labels, found_samples),) = read(remote_write.encode_series(encoded, samples, {}))
    assert found_labels == sorted([*((name, value) for name, value in labels.items() if value), ("__name__", "m:x")])
    assert found_samples == list(samples.items())


@pytest.mark.parametrize(
    ("text", "metric", "label"),
    [("temp", "temp", "temp"), ("7.a-b", "_7_a_b", "_7_a_b"), ("a:b", "a:b", "a_b"), ("", "_", "_"), ("ü", "_", "_")],
)
def test_names_are_legal(text, metric, label):
    assert (remote_write.metric_name(text), remote_write.label_name(text)) == (metric, label)


@given(st.binary(max_size=5000))
def test_snappy_that_holds_bytes_as_they_are_is_read(data):
    assert decode_block(remote_write.as_snappy(data), 1 << 20) == data
