"""MQTT packets as bytes, made ahead of time so that the load spends nothing on them; 3.1.1 and 5.0 side by side.

Section numbers are those of the MQTT 5.0 specification.
"""

import struct

from machine import LoadError, UnsupportedError

V311 = 4
V5 = 5

DISCONNECT = b"\xe0\x00"
PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"

PUBLISH_TYPE, PUBACK_TYPE, PUBREC_TYPE, PUBREL_TYPE, PUBCOMP_TYPE = 0x30, 0x40, 0x50, 0x62, 0x70
CONNACK_TYPE, SUBACK_TYPE = 0x20, 0x90
# A PUBLISH above QoS 0 with DUP, whatever its other flags.
REPEATED_PUBLISH = 0x38
# An acknowledgement without reason code and properties, which both versions know.
ACKNOWLEDGEMENT_BYTES = 4

# 3.1.1 3.2.2.3 and 3.2.2.2: "unacceptable protocol version".
_WRONG_VERSION = (0x01, 0x84)
# 3.1.2.11.2: a session that never expires.
_NEVER_EXPIRES = struct.pack("!BI", 0x11, 0xFFFFFFFF)


def _length(number: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    encoded = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        encoded.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(encoded)


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _length(len(body)) + body


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("!H", len(encoded)) + encoded


def connect(client_id: str, clean: bool = True, version: int = V311, login: tuple[str, str] | None = None) -> bytes:
    """CONNECT without keep-alive; `clean=False` asks for a session that outlives the connection. `login`: user and
    password.
    """
    properties = b""
    if version == V5:
        kept = b"" if clean else _NEVER_EXPIRES
        properties = _length(len(kept)) + kept
    flags = (0x02 if clean else 0x00) | (0xC0 if login else 0x00)
    head = _text("MQTT") + bytes((version, flags, 0, 0))
    return _packet(0x10, head + properties + _text(client_id) + b"".join(map(_text, login or ())))


def subscribe(*filters: str, qos: int = 0, version: int = V311) -> bytes:
    properties = b"\x00" if version == V5 else b""
    listed = b"".join(_text(each) + bytes((qos,)) for each in filters)
    return _packet(0x82, struct.pack("!H", 1) + properties + listed)


def publish(
    topic: str, payload: bytes, qos: int = 0, packet_id: int = 0, *, retain: bool = False, version: int = V311
) -> bytes:
    identified = struct.pack("!H", packet_id) if qos else b""
    properties = b"\x00" if version == V5 else b""
    return _packet(PUBLISH_TYPE | qos << 1 | retain, _text(topic) + identified + properties + payload)


def packet_size(data: bytes | bytearray, at: int = 0) -> int:
    """The size of the packet that begins there, 0 while its head is not whole."""
    length = 0
    for digit in range(4):
        if at + 1 + digit >= len(data):
            return 0
        byte = data[at + 1 + digit]
        length |= (byte & 0x7F) << 7 * digit
        if byte < 0x80:
            return 2 + digit + length
    raise LoadError(f"not an MQTT packet: {bytes(data[at : at + 8])!r}")


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole packets in it, and what remains of one that is not whole."""
    packets = []
    at = 0
    while (size := packet_size(data, at)) and at + size <= len(data):
        packets.append(data[at : at + size])
        at += size
    return packets, data[at:]


def publication_id(packet: bytes) -> bytes:
    """The two bytes of the packet id in a PUBLISH of QoS 1 or 2 whose remaining length takes one byte (3.3.2.2)."""
    at = 4 + int.from_bytes(packet[2:4], "big")
    return packet[at : at + 2]


def session_present(connack: bytes, version: int) -> bool:
    """Whether the server still had the session; raises when the CONNACK refuses the connection (3.2.2)."""
    if len(connack) < 4 or connack[0] != CONNACK_TYPE:
        raise LoadError(f"no CONNACK: {connack[:40]!r}")
    flags_at = 2 if connack[1] < 0x80 else 3
    code = connack[flags_at + 1]
    if code in _WRONG_VERSION:
        raise UnsupportedError(f"speaks no MQTT {'5.0' if version == V5 else '3.1.1'} (CONNACK 0x{code:02x})")
    if code:
        raise LoadError(f"the server refused a connection: CONNACK 0x{code:02x}")
    return bool(connack[flags_at] & 1)


def check_granted(suback: bytes, qos: int) -> None:
    """Raise unless this SUBACK grants that QoS; the code of the last filter counts (3.9.3)."""
    if len(suback) < 5 or suback[0] != SUBACK_TYPE:
        raise LoadError(f"no SUBACK: {suback[:40]!r}")
    code = suback[-1]
    if code >= 0x80:
        raise LoadError(f"the server refused a subscription: SUBACK 0x{code:02x}")
    if code < qos:
        raise UnsupportedError(f"grants QoS {code} where {qos} was asked for")
