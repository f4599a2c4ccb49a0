"""InfluxDB's line protocol: `measurement,tag=value field=1.5 1700000000000000000`, a point a line."""

import re
from collections.abc import Iterable, Mapping

# Nanoseconds of a unit, by the name that both versions of the API know.
PRECISIONS = {"ns": 1, "us": 1000, "ms": 1_000_000, "s": 1_000_000_000}
# The first version of the API calls microseconds so.
V1_PRECISIONS = {"us": "u"}
LONGEST_NAME = 1024
# What would end a line or a word whatever stands before it.
_UNFIT = re.compile(r"[\x00-\x1f\x7f]")
_IN_MEASUREMENT = re.compile(r"([, ])")
_IN_KEY = re.compile(r"([,= ])")


def _clean(text: str) -> str:
    """Without control characters, and without a backslash at the end, which would take what stands behind it along."""
    return _UNFIT.sub("_", text)[:LONGEST_NAME].rstrip("\\") or "_"


def measurement(text: str) -> str:
    """A `#` in front would make a comment of the line."""
    name = _IN_MEASUREMENT.sub(r"\\\1", _clean(text))
    return f"_{name}" if name.startswith("#") else name


def key(text: str) -> str:
    """A name or a value of a tag, or the name of a field."""
    return _IN_KEY.sub(r"\\\1", _clean(text))


def encode_series(name: str, tags: Mapping[str, str]) -> str:
    """What names a series. A tag without a value is none."""
    written = [f"{key(tag)}={key(value)}" for tag, value in sorted(tags.items()) if value]
    return ",".join([measurement(name), *written])


def encode_point(series: str, fields: Iterable[tuple[str, float]], time: int) -> str:
    """A line; `time` is in the unit of the request. A field's name is written as `key` makes it."""
    return f"{series} {','.join([f'{name}={value!r}' for name, value in fields])} {time}\n"
