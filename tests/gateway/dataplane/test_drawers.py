"""Drawers against a dict."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.drawers import FEW, Drawers

STEPS = st.lists(st.tuples(st.sampled_from(["put", "pop"]), st.integers(0, 30).map(lambda n: b"%d" % n), st.integers()))


def both(before: int) -> tuple[Drawers, dict[bytes, int]]:
    drawers, plain = Drawers(), {b"b%d" % number: number for number in range(before)}
    for key, value in plain.items():
        drawers.put(key, value)
    return drawers, plain


@given(st.sampled_from([0, FEW - 1, FEW, FEW + 1]), STEPS)
def test_a_dict_has_the_same(before: int, steps: list[tuple[str, bytes, int]]) -> None:
    drawers, plain = both(before)
    for step, key, value in steps:
        if step == "put":
            drawers.put(key, value)
            plain[key] = value
        else:
            assert drawers.pop(key) == plain.pop(key, None)
        assert len(drawers) == len(plain)
        assert (key in drawers) == (key in plain)
        assert drawers.get(key) == plain.get(key)
    assert sorted(drawers) == sorted(plain)
    assert sorted(drawers.values()) == sorted(plain.values())
    if before + len(steps) <= FEW:
        assert list(drawers) == list(plain)


def test_what_comes_and_goes_while_it_is_gone_through_disturbs_nobody() -> None:
    drawers, plain = both(3 * FEW)
    seen = 0
    for seen, key in enumerate(drawers, 1):
        drawers.pop(key)
        drawers.put(b"new-%b" % key, 0)
        if seen == 5 * FEW:
            break
    assert seen >= len(plain)


def test_all_can_be_taken_out() -> None:
    for count in (3, 3 * FEW):
        drawers, plain = both(count)
        values = drawers.drain()
        first = next(values)
        assert (len(drawers), b"b1" in drawers) == (0, False)
        assert sorted([first, *values]) == sorted(plain.values())
