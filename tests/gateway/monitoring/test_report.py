"""Reports: written in pieces, they are what msgspec would write at once."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.monitoring.report import Later, Listing, is_long, write, write_all
from gateway.runtime.turns import Turns

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=4), values, max_size=4),
    st.lists(values.filter(lambda one: one is not None)),
    st.sampled_from([2, -1]),
)
def test_report_in_pieces_is_the_report_at_once(fields: dict[str, object], listed: list[object], indent: int):
    report = fields | {"list": Listing(iter(listed)), "count": Later(lambda: len(listed))}
    assert is_long(report)
    assert not is_long(fields)
    plain = msgspec.json.encode(fields | {"list": listed, "count": len(listed)})
    wanted = msgspec.json.format(plain, indent=indent) if indent > 0 else plain
    assert b"".join(write(report, indent)) == wanted


@pytest.mark.parametrize(("indent", "wanted"), [(2, b'{\n  "a": [\n    1\n  ]\n}'), (-1, b'{"a":[1]}')])
def test_elements_that_are_none_are_left_out(indent: int, wanted: bytes):
    assert b"".join(write({"a": Listing([None, 1, None])}, indent)) == wanted
    assert b"".join(write({}, indent)) == b"{}"


async def test_report_is_written_whole():
    assert await write_all({"a": Listing(range(3))}, Turns()) == b'{"a":[0,1,2]}'
