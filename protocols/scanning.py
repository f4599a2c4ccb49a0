"""Looking through bytes and cutting pieces out of them, without an object for every step (hot).

Compiled, `text` is a view of the bytes without bounds (see the .pxd), so each function checks its bounds first.
"""

from typing import Any

try:
    import cython
except ImportError:
    from protocols import form as cython

SPACE = 0x20
TAB = 0x09
ZERO = 0x30
LONGEST_NUMBER = 9  # digits
LONGEST_LITTLE = 8  # bytes


def find_byte(data: bytes, byte: int, start: int, stop: int) -> int:
    """Index of the first such byte in `data[start:stop]`, or -1."""
    if cython.compiled:
        check_bounds(data, start, stop)
        text = data
        i = start
        while i < stop:
            if text[i] == byte:
                return i
            i += 1
        return -1
    return data.find(byte, start, stop)


def find_gap(data: bytes, start: int, stop: int) -> int:
    """Index of the first space or tab in `data[start:stop]`, or -1."""
    if cython.compiled:
        check_bounds(data, start, stop)
        text = data
        i = start
        while i < stop:
            if text[i] == SPACE or text[i] == TAB:
                return i
            i += 1
        return -1
    space = data.find(b" ", start, stop)
    tab = data.find(b"\t", start, stop if space < 0 else space)
    return space if tab < 0 else tab


def read_number(data: bytes, start: int, stop: int) -> int:
    """The decimal number in `data[start:stop]`, of at most nine digits, or -1."""
    if start >= stop or stop - start > LONGEST_NUMBER:
        return -1
    number = 0
    for i in range(start, stop):
        digit = data[i] - ZERO
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number


def read_little(data: bytes, position: int, size: int) -> int:
    """The number that `size` bytes, at most eight, make from there on, little-endian; eight are signed."""
    if position < 0 or position + size > len(data):
        raise IndexError(f"[{position}:{position + size}] of {len(data)} bytes")
    if cython.compiled:
        text = data
        number = 0
        i = size
        while i > 0:
            i -= 1
            number = (number << 8) | text[position + i]
        return number
    return int.from_bytes(data[position : position + size], "little", signed=size == LONGEST_LITTLE)


def digits_of(number: int) -> int:
    """How many digits a number has that is not negative."""
    count, rest = 1, number
    while rest >= 10:
        rest //= 10
        count += 1
    return count


def write_number(buffer: bytearray, position: int, number: int) -> int:
    """Write the digits of a number that is not negative into a buffer, which has to have room for them; returns where
    they end.
    """
    if not cython.compiled:
        digits = b"%d" % number
        copy_into(buffer, position, digits)
        return position + len(digits)
    end = position + digits_of(number)
    if number < 0 or position < 0 or end > len(buffer):
        raise IndexError(f"[{position}:{end}] of {len(buffer)} bytes")
    target = buffer
    at, rest = end, number
    while at > position:
        at -= 1
        target[at] = ZERO + rest % 10
        rest //= 10
    return end


def begins_at(data: bytes, position: int, stop: int, text: bytes) -> bool:
    """Whether `data[position:stop]` begins with a text."""
    if cython.compiled:
        size = len(text)
        if size > stop - position:
            return False
        check_bounds(data, position, stop)
        return equal(data, position, text, 0, size)
    return data.startswith(text, position, stop)


def repeats_at(data: bytes, position: int, size: int, again: int, stop: int) -> bool:
    """Whether `data[again:stop]` begins with what `data[position:position + size]` holds."""
    if again + size > stop:
        return False
    if cython.compiled:
        check_bounds(data, position, position + size)
        check_bounds(data, again, stop)
        return equal(data, again, data, position, size)
    return data.startswith(data[position : position + size], again)


def count_repeats(data: bytes, position: int, size: int) -> int:
    """How many times what `data[position:position + size]` holds stands there in a row, itself included."""
    count = 1
    at = position + size
    if cython.compiled:
        end = len(data)
        while repeats_at(data, position, size, at, end):
            at += size
            count += 1
        return count
    model = data[position:at]
    # As many at once as are known already, and then ever fewer: a call for each would cost more than all the rest.
    step = 1
    while data.startswith(model * step, at):
        at += size * step
        count += step
        step *= 2
    while step > 1:
        step //= 2
        if data.startswith(model * step, at):
            at += size * step
            count += step
    return count


def cut(data: bytes, start: int, stop: int) -> bytes:
    """`data[start:stop]`. The interpreter's own slicing makes three objects to get one."""
    if cython.compiled:
        check_bounds(data, start, stop)
        text = data
        return text[start:stop]
    return data[start:stop]


def cut_buffer(buffer: bytearray, stop: int) -> bytes:
    """The first bytes of a buffer."""
    if cython.compiled:
        if stop < 0 or stop > len(buffer):
            raise IndexError(f"[:{stop}] of {len(buffer)} bytes")
        text: Any = buffer
        return text[0:stop]  # type: ignore[no-any-return]
    return bytes(buffer[:stop])


def copy_into(buffer: bytearray, position: int, data: bytes) -> None:
    """Write bytes into a buffer, which has to have room for them."""
    size = len(data)
    if position < 0 or position + size > len(buffer):
        raise IndexError(f"[{position}:{position + size}] of {len(buffer)} bytes")
    if cython.compiled:
        source, target = data, buffer
        i = 0
        while i < size:
            target[position + i] = source[i]
            i += 1
        return
    buffer[position : position + size] = data


def cut_ends(run: bytes, count: int, size: int) -> list[bytes]:
    """The last `size` bytes of each of the `count` pieces of one length that a run consists of."""
    stride = len(run) // count
    lead = stride - size
    return [
        cut(run, at + lead, at + stride) if cython.compiled else run[at + lead : at + stride]
        for at in range(0, len(run), stride)
    ]


def check_bounds(data: bytes, start: int, stop: int) -> None:
    if start < 0 or start > stop or stop > len(data):
        raise IndexError(f"[{start}:{stop}] of {len(data)} bytes")


def equal(one: bytes, start: int, other: bytes, begin: int, size: int) -> bool:
    """Whether `size` bytes from there on are equal; the caller has checked that they are there."""
    text, model = one, other
    i = 0
    while i < size:
        if text[start + i] != model[begin + i]:
            return False
        i += 1
    return True
