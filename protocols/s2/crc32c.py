"""CRC-32C (Castagnoli), which the standard library does not have, fast without a byte at a time.

The bits of a message, the first one lowest, are a polynomial. Its first k bits times what x^(k+31) leaves behind the
division by the generator, put k bits further, are as good as they were in their place: so half of the message is folded
onto the other with some shifts of large numbers, until little is left for the table.
"""

GENERATOR = 0x82F63B78
ALL = 0xFFFFFFFF
# What is folded at once, in bits: the largest first. Shorter rests go through the table.
FOLDS = tuple(1 << power for power in range(23, 6, -1))
# What a fold needs behind the bits that it moves.
MARGIN = 31


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (GENERATOR if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _multiplied(one: int, other: int) -> int:
    """The product of two remainders, the highest power in the lowest bit, divided by the generator."""
    product = 0
    for _ in range(32):
        product = product >> 1 ^ (GENERATOR if product & 1 else 0)
        if other & 1:
            product ^= one
        other >>= 1
    return product


def _power(exponent: int) -> int:
    """What x to that power leaves."""
    result, base = 1 << 31, 1 << 30
    while exponent:
        if exponent & 1:
            result = _multiplied(result, base)
        base = _multiplied(base, base)
        exponent >>= 1
    return result


def _shifts(factor: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(32) if factor >> bit & 1)


TABLE = _table()
SHIFTS = {fold: _shifts(_power(fold + MARGIN)) for fold in FOLDS}


def crc32c(data: bytes) -> int:
    """The checksum of some bytes."""
    bits = len(data) * 8
    if bits < 32:
        return _through_table(data, ALL) ^ ALL
    rest = int.from_bytes(data, "little") ^ ALL
    for fold in FOLDS:
        while bits >= 2 * fold + MARGIN:
            head = rest & ((1 << fold) - 1)
            rest >>= fold
            for shift in SHIFTS[fold]:
                rest ^= head << shift
            bits -= fold
    return _through_table(rest.to_bytes(bits // 8, "little"), 0) ^ ALL


def _through_table(data: bytes, crc: int) -> int:
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc
