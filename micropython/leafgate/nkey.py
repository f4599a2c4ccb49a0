"""The login with an NKey: the server's nonce is signed with a key that never leaves the board.

An NKey here is the seed, "SU" and 56 characters more, or what the host made of it and a board needs no time for: 96
bytes, or the same as 192 hexadecimal digits ("nkey_expanded" in /device.json). It may be what stands in a file of
credentials, too, as nsc makes them: a seed, and the JWT of its user, which is shown.
A signature is made for each connection: about 2.5 ms on a PC, some tenths of a second on a board; a seed takes half as
much again. It is not constant in time (see leafgate.ed25519).
"""

from binascii import b2a_base64, unhexlify

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SEED = b"\x95\x00"  # types of the text form: the seed of a user's key
_USER = b"\xa0"  # and its public half


async def expand(nkey):
    """The 96 bytes: SHA-512 of the seed and the public key (RFC 8032 5.1.5). ValueError: not an NKey of a user."""
    if len(nkey) == 192:
        return unhexlify(nkey)
    if len(nkey) == 96:
        return nkey
    data = _decode(nkey) if len(nkey) == 58 and isinstance(nkey, str) else b""
    if data[:2] != _SEED or _encode(data[:34]) != nkey:
        raise ValueError("not the seed of a user's NKey")
    from leafgate.ed25519 import expand

    return await expand(data[2:34])


async def sign_in(nkey, nonce):
    """The fields of CONNECT. `nonce` is None where the server did not ask."""
    jwt = None
    if isinstance(nkey, str) and len(nkey) > 192:
        lines = nkey.split()
        jwt = _next(lines, "eyJ")
        nkey = _next(lines, "SU")
    expanded = await expand(nkey)
    fields = {"jwt": jwt} if jwt else {"nkey": _encode(_USER + expanded[64:])}
    if nonce:
        from leafgate.ed25519 import sign

        text = b2a_base64(await sign(expanded, nonce.encode()))[:86].decode()
        fields["sig"] = text.replace("+", "-").replace("/", "_")
    return fields


def _next(lines, begin):
    for line in lines:
        if line.startswith(begin):
            return line
    return ""


def _encode(data):
    """Base32 of the data and its CRC-16 (XMODEM), low byte first."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0) & 0xFFFF
        crc &= 0xFFFF
    number = int.from_bytes(data, "big") << 16 | (crc & 255) << 8 | crc >> 8
    bits = 8 * len(data) + 16
    number <<= -bits % 5
    text = ""
    for at in range(-(-bits // 5) - 1, -1, -1):
        text += _ALPHABET[number >> 5 * at & 31]
    return text


def _decode(text):
    """The bytes of 58 characters; of others than base32's, some bytes."""
    number = 0
    for character in text:
        number = number << 5 | _ALPHABET.find(character) & 31
    return (number >> 2).to_bytes(36, "big")
