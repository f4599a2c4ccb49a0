"""The data types that MQTT packets are made of (MQTT 5.0, 1.5): reading them from a packet, and writing them."""

import re
import sys
from collections.abc import Mapping

from protocols.errors import MisuseError
from protocols.mqtt.errors import PacketError
from protocols.mqtt.reason_codes import ReasonCode

MQTT_3_1 = 3
MQTT_3_1_1 = 4
MQTT_5_0 = 5

LONGEST_STRING = 0xFFFF
LARGEST_VARINT = 0x0FFFFFFF
LONGEST_VARINT = 4
# In one packet, where nothing else is said.
MOST_USER_PROPERTIES = 1000
# Of what is read in one go, where nobody else waits.
# More than anybody has; twice as much is a number of C still, on 32-bit machines too.
NO_LIMIT = min(1 << 40, sys.maxsize >> 1)

# Control characters and noncharacters.
_UNFIT_ASCII = bytes((*range(0x20), 0x7F))
_NONCHARACTERS = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_UNFIT = re.compile(f"[\0-\x1f\x7f-\x9f\ufdd0-\ufdef{_NONCHARACTERS}]")


def is_string(data: bytes) -> bool:
    """Whether it may stand in an UTF-8 encoded string: well-formed [MQTT-1.5.4-1] and without U+0000 [MQTT-1.5.4-2].

    Nor with other control characters and noncharacters, which a receiver may refuse (1.5.4): mosquitto's programs and
    bridges do, so one topic would cost everybody who listens with them his connection.
    """
    if data.isascii():
        return data.translate(None, _UNFIT_ASCII) == data
    try:
        return _UNFIT.search(data.decode()) is None
    except UnicodeDecodeError:
        return False


def is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class PacketReader:
    """Reads the fields of one packet in turn; raises PacketError at the first that is bad.

    `packet` is its name, `position` and `end` bound what is left of its body in `data`. `field` names what is read.
    `max_user_properties` holds for each property that may be repeated.
    """

    __slots__ = ("data", "end", "from_client", "max_user_properties", "packet", "position", "version")

    def __init__(
        self,
        packet: str,
        version: int,
        from_client: bool,
        data: bytes,
        position: int,
        end: int,
        max_user_properties: int = MOST_USER_PROPERTIES,
    ) -> None:
        self.packet = packet
        self.max_user_properties = max_user_properties
        self.version = version
        self.from_client = from_client
        self.data = data
        self.position = position
        self.end = end

    def remaining(self) -> int:
        return self.end - self.position

    def byte(self, field: str) -> int:
        return self.data[self._take(1, field)]

    def uint16(self, field: str) -> int:
        start = self._take(2, field)
        return self.data[start] << 8 | self.data[start + 1]

    def uint32(self, field: str) -> int:
        start = self._take(4, field)
        return int.from_bytes(self.data[start : start + 4])

    def varint(self, field: str) -> int:
        """A variable byte integer: at most four bytes, and no more than it needs [MQTT-1.5.5-1]."""
        value = 0
        for shift in range(0, 7 * LONGEST_VARINT, 7):
            digit = self.byte(field)
            value |= (digit & 0x7F) << shift
            if digit < 0x80:
                if digit == 0 and shift:
                    raise self.malformed(f"{field} is encoded in more bytes than it needs")
                return value
        raise self.malformed(f"{field} is longer than {LONGEST_VARINT} bytes")

    def binary(self, field: str) -> bytes:
        size = self.uint16(field)
        start = self._take(size, field)
        return self.data[start : start + size]

    def string(self, field: str) -> bytes:
        text = self.binary(field)
        if not is_string(text):
            raise self.malformed(f"{field} is no UTF-8 string")
        return text

    def packet_id(self) -> int:
        packet_id = self.uint16("the packet identifier")
        if packet_id == 0:  # [MQTT-2.2.1-3]
            raise self.protocol_error("the packet identifier is 0")
        return packet_id

    def reason_code(self, codes: Mapping[int, ReasonCode]) -> ReasonCode:
        """One of the reason codes that the packet may carry."""
        value = self.byte("the reason code")
        code = codes.get(value)
        if code is None:
            raise self.protocol_error(f"reason code 0x{value:02X} has no meaning here")
        return code

    def finish(self) -> None:
        """Nothing may follow the last field."""
        if self.position != self.end:
            raise self.malformed("there are bytes behind its last field")

    def malformed(self, complaint: str) -> PacketError:
        return self.fault(ReasonCode.MALFORMED_PACKET, complaint)

    def protocol_error(self, complaint: str) -> PacketError:
        return self.fault(ReasonCode.PROTOCOL_ERROR, complaint)

    def fault(self, code: ReasonCode, complaint: str) -> PacketError:
        return PacketError(code, f"{self.packet}: {complaint}")

    def _take(self, size: int, field: str) -> int:
        """Step over a field; returns where it begins."""
        start = self.position
        if size > self.end - start:
            raise self.malformed(f"{field} is cut short")
        self.position = start + size
        return start


def read_length(data: bytes, position: int) -> tuple[int, int]:
    """The remaining length that stands at `position` of a fixed header, and where the packet's body begins.

    In place of the latter 0 when bytes are missing, -1 when it is malformed; so told as soon as it can be.
    """
    value = 0
    end = len(data)
    for i in range(LONGEST_VARINT):
        if position + i >= end:
            return 0, 0
        digit = data[position + i]
        value |= (digit & 0x7F) << 7 * i
        if digit < 0x80:
            return (0, -1) if digit == 0 and i else (value, position + i + 1)
    return 0, -1


def encode_varint(value: int) -> bytes:
    if 0 <= value < 0x80:
        return bytes((value,))
    if not 0 <= value <= LARGEST_VARINT:
        raise MisuseError(f"{value} does not fit into a variable byte integer")
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def encode_uint16(value: int) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise MisuseError(f"{value} does not fit into two bytes")
    return value.to_bytes(2)


def encode_packet_id(packet_id: int) -> bytes:
    if packet_id == 0:
        raise MisuseError("a packet identifier is never 0")
    return encode_uint16(packet_id)


def encode_binary(data: bytes) -> bytes:
    """Binary data or a string (whose characters are the caller's to check): its size and itself."""
    size = len(data)
    if size > LONGEST_STRING:
        raise MisuseError(f"a string of {size} bytes is longer than {LONGEST_STRING}")
    return size.to_bytes(2) + data


def encode_packet(first: int, body: bytes) -> bytes:
    """A whole packet from its first byte and all that follows its fixed header."""
    return bytes((first,)) + encode_varint(len(body)) + body
