"""Prometheus remote write 1.0: samples in series, as protobuf, and as blocks of snappy.

WriteRequest { repeated TimeSeries timeseries = 1 }    Label  { string name = 1; string value = 2 }
TimeSeries { repeated Label labels = 1; repeated Sample samples = 2 }
Sample { double value = 1; int64 timestamp = 2 }       (milliseconds)      (hot)
"""

import re
import struct
from collections.abc import Mapping

from protocols.protobuf import bytes_field, varint

NAME = "__name__"
pack_value = struct.Struct("<d").pack
SERIES = LABELS = LABEL_NAME = 1
LABEL_VALUE = 2
# Of a series' samples, and of what is in one: (number << 3) | kind; 1 is 8 bytes, 2 has its length, 0 is a varint.
SAMPLES, SAMPLE_VALUE, SAMPLE_TIME = b"\x12", b"\x09", b"\x10"
# A value's eight, and the one that says what they are.
VALUE_BYTES = 9
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
# The longest label name or value that is sent.
LONGEST_LABEL = 1024
_UNFIT_METRIC = re.compile(r"[^a-zA-Z0-9_:]")
_UNFIT_LABEL = re.compile(r"[^a-zA-Z0-9_]")
# Of snappy: a literal whose length, less one, stands in the four bytes behind this.
LONG_LITERAL = b"\xfc"


def metric_name(text: str) -> str:
    """A legal name of a metric: `_` stands for whatever may not be in one."""
    name = _UNFIT_METRIC.sub("_", text)[:LONGEST_LABEL] or "_"
    return f"_{name}" if name[0].isdigit() else name


def label_name(text: str) -> str:
    name = _UNFIT_LABEL.sub("_", text)[:LONGEST_LABEL] or "_"
    return f"_{name}" if name[0].isdigit() else name


def encode_labels(metric: str, labels: Mapping[str, str]) -> bytes:
    """What names a series: its labels in the order that is asked for. A label without a value is none."""
    pairs = sorted({**labels, NAME: metric}.items())
    return b"".join(
        bytes_field(
            LABELS, bytes_field(LABEL_NAME, name.encode()) + bytes_field(LABEL_VALUE, value[:LONGEST_LABEL].encode())
        )
        for name, value in pairs
        if value
    )


def encode_series(labels: bytes, samples: Mapping[int, float], times: dict[int, tuple[bytes, bytes]]) -> bytes:
    """A part of a request, which is some of them one behind the other: a series with samples by their time in
    milliseconds, the oldest first. `times` keeps what stands in front of a value and behind it, by the time, for as
    long as one request takes.
    """
    encoded = [labels]
    for time_ms, value in samples.items():
        around = times.get(time_ms)
        if around is None:
            around = times[time_ms] = around_value(time_ms)
        encoded.append(around[0])
        encoded.append(pack_value(value))
        encoded.append(around[1])
    return bytes_field(SERIES, b"".join(encoded))


def around_value(time_ms: int) -> tuple[bytes, bytes]:
    """What stands in front of the eight bytes of a value in its sample, and behind them."""
    stamp = SAMPLE_TIME + varint(time_ms)
    return SAMPLES + bytes((VALUE_BYTES + len(stamp),)) + SAMPLE_VALUE, stamp


def as_snappy(data: bytes) -> bytes:
    """A block of snappy that holds the bytes as they are, for where nothing is there to compress them."""
    if not data:
        return b"\x00"
    return b"".join((varint(len(data)), LONG_LITERAL, (len(data) - 1).to_bytes(4, "little"), data))
