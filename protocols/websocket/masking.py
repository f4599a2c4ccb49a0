"""Unmasking [RFC 6455 5.3]: what clients send is XORed with a key of four bytes, another for each frame (hot)."""

try:
    import cython
except ImportError:
    from protocols import form as cython

KEY_SIZE = 4
# From this size on the interpreter unmasks a payload by itself, not together with its neighbours.
LARGE = 2048
EVERY_BYTE = int.from_bytes(bytes(range(256)), "little")


class Unmasking:
    """Payloads of together up to `room` bytes: they go in masked, and come out plain, one behind the other.

    `size` counts the bytes that are in there.
    """

    __slots__ = ("_keys", "_masked", "_pieces", "_plain", "size")

    def __init__(self, room: int) -> None:
        self.size = 0
        self._plain = bytearray(room if cython.compiled else 0)
        # For the interpreter a long number is less work than many bytes: small payloads, as many bytes of keys, and
        # the pieces made of those before.
        self._masked: list[bytes] = []
        self._keys: list[bytes] = []
        self._pieces: list[bytes] = []

    def add(self, data: bytes, start: int, stop: int, keys: bytes, key_at: int) -> None:
        """Append `data[start:stop]`, whose key is `keys[key_at:key_at + 4]` [RFC 6455 5.3]."""
        size = stop - start
        if cython.compiled:
            if start < 0 or size < 0 or stop > len(data) or self.size + size > len(self._plain):
                raise IndexError(f"[{start}:{stop}] of {len(data)} bytes behind {self.size} of {len(self._plain)}")
            unmask(self._plain, self.size, data, start, size, keys, key_at)
        elif size < LARGE:
            self._masked.append(data[start:stop])
            self._keys.append((keys[key_at : key_at + KEY_SIZE] * ((size + 3) // KEY_SIZE))[:size])
        else:
            self._add_up()
            self._pieces.append(translate(data, start, stop, keys, key_at))
        self.size += size

    def take(self) -> bytes:
        """Everything; nothing is in there afterwards."""
        size = self.size
        self.size = 0
        if cython.compiled:
            text: bytes | bytearray = self._plain
            return text[:size]  # type: ignore[return-value]  # compiled, it makes bytes of a view
        self._add_up()
        plain = b"".join(self._pieces)
        self._pieces.clear()
        return plain

    def _add_up(self) -> None:
        if self._masked:
            masked, keys = b"".join(self._masked), b"".join(self._keys)
            number = int.from_bytes(masked, "little") ^ int.from_bytes(keys, "little")
            self._pieces.append(number.to_bytes(len(masked), "little"))
            self._masked.clear()
            self._keys.clear()


def unmask(plain: bytearray, at: int, data: bytes, start: int, size: int, keys: bytes, key_at: int) -> None:
    """Write `size` bytes of data to `plain[at:]`; the caller has checked that they are there and have room.

    Compiled, four bytes in each turn are what C compilers make vector instructions of.
    """
    source, target = data, plain
    one, two, three, four = keys[key_at], keys[key_at + 1], keys[key_at + 2], keys[key_at + 3]
    whole = size - size % 4
    i = 0
    while i < whole:
        target[at + i] = source[start + i] ^ one
        target[at + i + 1] = source[start + i + 1] ^ two
        target[at + i + 2] = source[start + i + 2] ^ three
        target[at + i + 3] = source[start + i + 3] ^ four
        i += 4
    while i < size:
        target[at + i] = source[start + i] ^ keys[key_at + i % 4]
        i += 1


def translate(data: bytes, start: int, stop: int, keys: bytes, key_at: int) -> bytes:
    """`data[start:stop]` unmasked, for the interpreter: every fourth byte at once, with a table for its key byte."""
    plain = bytearray(stop - start)
    for i in range(KEY_SIZE):
        key = int.from_bytes(keys[key_at + i : key_at + i + 1] * 256, "little")
        plain[i::KEY_SIZE] = data[start + i : stop : KEY_SIZE].translate((EVERY_BYTE ^ key).to_bytes(256, "little"))
    return bytes(plain)
