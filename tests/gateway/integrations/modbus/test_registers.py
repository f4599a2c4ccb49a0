"""Registers: words to values and back in every order, and which are read together."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.integrations.modbus.registers import Block, RegisterError, blocks_of, value_of, words_of
from gateway.settings.modbus import MOST_IN_ANSWER, WIDTHS, Register


def register(**keys: object) -> Register:
    given_keys = {name.replace("_", "-"): value for name, value in keys.items()}
    return msgspec.convert({"name": "x", "address": 0} | given_keys, Register)


@pytest.mark.parametrize(
    ("keys", "words", "value"),
    [
        ({}, [65_535], 65_535),
        ({"type": "i16"}, [65_535], -1),
        ({"type": "i16", "scale": 0.1}, [215], 21.5),
        ({"type": "u16", "scale": 0.1, "offset": -40}, [3], -39.7),
        ({"type": "u32"}, [1, 2], 65_538),
        ({"type": "u32", "word_order": "little"}, [2, 1], 65_538),
        ({"type": "i32"}, [65_535, 65_534], -2),
        ({"type": "f32"}, [0x41AC, 0x0000], 21.5),
        ({"type": "f32", "word_order": "little"}, [0x0000, 0x41AC], 21.5),
        ({"type": "f32", "byte_order": "little", "word_order": "little"}, [0x0000, 0xAC41], 21.5),
        ({"type": "f32"}, [0x3DCC, 0xCCCD], 0.1),
        ({"type": "u64"}, [0, 0, 1, 0], 65_536),
        ({"type": "f64"}, [0x4035, 0x8000, 0, 0], 21.5),
        ({"type": "text", "words": 3}, [0x4142, 0x4320, 0x0000], "ABC"),
        ({"table": "coil"}, [True], True),
    ],
)
def test_words_are_values(keys: dict[str, object], words: list[int], value: object) -> None:
    one = register(**keys)
    found = value_of(one, words, 0)
    assert (found, type(found)) == (value, type(value))
    if one.type != "text":
        assert words_of(one, found) == [int(word) for word in words]


def test_value_is_found_in_an_answer_that_begins_before_it() -> None:
    assert value_of(register(address=12), [1, 2, 3], 10) == 3
    with pytest.raises(RegisterError, match="too short"):
        value_of(register(address=12, type="u32"), [1, 2, 3], 10)
    with pytest.raises(RegisterError, match="no number"):
        value_of(register(type="f32"), [0x7FC0, 0], 0)


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        ({}, 65_536, "does not fit into u16"),
        ({}, -1, "does not fit"),
        ({"type": "f32"}, 1e300, "does not fit"),
        ({"scale": 0.001}, 66, "does not fit"),
        ({}, "5", "a register is written a number"),
        ({}, True, "a register is written a number"),
        ({}, None, "a register is written a number"),
        ({"table": "coil"}, 2, "a coil is written true or false"),
    ],
)
def test_what_cannot_be_written_is_said(keys: dict[str, object], value: object, said: str) -> None:
    with pytest.raises(RegisterError, match=said):
        words_of(register(**keys), value)


def test_neighbours_are_read_together_as_far_as_an_answer_goes() -> None:
    numbers = [register(name=f"r{at}", address=at) for at in (0, 1, 5, 30, 31)]
    coils = [register(name="c", address=0, table="coil")]
    slow = [register(name="s", address=2, poll_seconds=60)]
    found = blocks_of([*reversed(numbers), *coils, *slow], 10, 4)
    assert [(one.table, one.start, one.count, one.seconds) for one in found] == [
        ("holding", 0, 6, 10),
        ("holding", 30, 2, 10),
        ("coil", 0, 1, 10),
        ("holding", 2, 1, 60),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from(sorted(WIDTHS))), min_size=1, max_size=60),
    st.integers(0, 125),
)
def test_every_register_is_read_once_and_no_request_asks_for_too_much(places: list[tuple[int, str]], gap: int) -> None:
    registers = [register(name=f"r{index}", address=at, type=kind) for index, (at, kind) in enumerate(places)]
    found: list[Block] = blocks_of(registers, 1, gap)
    assert sorted(one.name for block in found for one in block.registers) == sorted(one.name for one in registers)
    for block in found:
        assert 0 < block.count <= MOST_IN_ANSWER
        for one in block.registers:
            assert block.start <= one.address
            assert one.address + one.width <= block.start + block.count
