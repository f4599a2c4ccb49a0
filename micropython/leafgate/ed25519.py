"""Ed25519 in plain Python (RFC 8032 5.1.6 and 5.1.7): updates are checked, the login is signed. Not constant in time.

About 10 ms on a PC, some seconds on a small board; other tasks run meanwhile.
"""

import asyncio

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = 37095705934669439343138083508754565189542113879843219016388785533085940283555
ROOT = 19681161376707505956807079304988542015446066515923890162744021073123829784752
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE_Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960

# The fractions of the cube roots of the first eighty primes.
_primes = None


def _root(n, k, bits):
    """The first `bits` bits behind the point of the k-th root of n."""
    target = n << (k * bits)
    low, high = 0, 1 << (bits + 5)
    while high - low > 1:
        middle = (low + high) >> 1
        if middle**k <= target:
            low = middle
        else:
            high = middle
    return low & ((1 << bits) - 1)


def _first_primes(count):
    primes = []
    n = 2
    while len(primes) < count:
        if all(n % p for p in primes):
            primes.append(n)
        n += 1
    return primes


def sha512(data):
    """FIPS 180-4. The constants are computed: they would cost more as source text than as time."""
    global _primes
    mask = (1 << 64) - 1
    if _primes is None:
        _primes = [(_root(p, 3, 64), p) for p in _first_primes(80)]
    state = [_root(p, 2, 64) for _, p in _primes[:8]]
    length = len(data)
    data = data + b"\x80" + bytes((111 - length) % 128) + (length * 8).to_bytes(16, "big")
    for start in range(0, len(data), 128):
        w = [int.from_bytes(data[i : i + 8], "big") for i in range(start, start + 128, 8)]
        for i in range(16, 80):
            x, y = w[i - 15], w[i - 2]
            x, y = x | x << 64, y | y << 64
            s0 = (x >> 1 ^ x >> 8) & mask ^ w[i - 15] >> 7
            s1 = (y >> 19 ^ y >> 61) & mask ^ w[i - 2] >> 6
            w.append((w[i - 16] + s0 + w[i - 7] + s1) & mask)
        a, b, c, d, e, f, g, h = state
        for i in range(80):
            x = e | e << 64
            t = h + ((x >> 14 ^ x >> 18 ^ x >> 41) & mask) + (e & f ^ ~e & g) + _primes[i][0] + w[i]
            x = a | a << 64
            u = ((x >> 28 ^ x >> 34 ^ x >> 39) & mask) + (a & b ^ a & c ^ b & c)
            a, b, c, d, e, f, g, h = (t + u) & mask, a, b, c, (d + t) & mask, e, f, g
        state = [(old + new) & mask for old, new in zip(state, (a, b, c, d, e, f, g, h))]
    return b"".join(word.to_bytes(8, "big") for word in state)


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _double(p):
    a = p[0] * p[0] % P
    b = p[1] * p[1] % P
    c = 2 * p[2] * p[2] % P
    e = (p[0] + p[1]) ** 2 - a - b
    g = b - a
    f = g - c
    h = -a - b
    return e * f % P, g * h % P, f * g % P, e * h % P


def _point(encoded):
    """The point of 32 bytes, or None."""
    y = int.from_bytes(encoded, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def _encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


async def _combine(s, k, minus):
    """s·B + k·minus, both at once, bit by bit from the top."""
    base = BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P
    table = (None, base, minus, minus and _add(base, minus))
    total = 0, 1, 1, 0
    for bit in range(255, -1, -1):
        total = _double(total)
        term = table[(s >> bit & 1) | (k >> bit & 1) << 1]
        if term is not None:
            total = _add(total, term)
        if not bit & 15:
            await asyncio.sleep(0)  # the connection's pings must not wait for us
    return _encode(total)


async def verify(key, signature, message):
    """Whether `signature` (64 bytes) of `message` was made with the secret of `key` (32 bytes)."""
    if len(signature) != 64 or len(key) != 32:
        return False
    point = _point(key)
    s = int.from_bytes(signature[32:], "little")
    if point is None or s >= L:
        return False
    k = int.from_bytes(sha512(signature[:32] + key + message), "little") % L
    # S·B - k·A must be R.
    return await _combine(s, k, (P - point[0], point[1], 1, P - point[3])) == bytes(signature[:32])


async def sign(expanded, message):
    """The signature of `message`. `expanded`: SHA-512 of the seed and the public key, 96 bytes, made by the host."""
    a = int.from_bytes(expanded[:32], "little") & (1 << 254) - 8 | 1 << 254
    r = int.from_bytes(sha512(expanded[32:64] + message), "little") % L
    start = await _combine(r, 0, None)
    k = int.from_bytes(sha512(start + expanded[64:] + message), "little") % L
    return start + ((r + k * a) % L).to_bytes(32, "little")
