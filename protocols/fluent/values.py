"""Values of MessagePack as events have them: times with nanoseconds, and text that is not always UTF-8.

What is read here is whole (protocols.fluent.scanning); only its depth is not known.
"""

import math
import struct
from collections.abc import Callable

import msgspec

from protocols.fluent.scanning import NotMessagePackError, Scanner, array_size, raw_bytes

# The extension for a time: seconds and nanoseconds, as unsigned numbers.
EVENT_TIME = 0
EVENT_TIME_BYTES = struct.Struct(">II")
SECOND = 1_000_000_000
# What MessagePack's numbers have.
LEAST_NUMBER, MOST_NUMBER = -(1 << 63), (1 << 64) - 1
# Values inside of values inside of values.
DEEPEST = 64
TOO_DEEP = "values inside of each other, deeper than anybody writes them"
# The field of a text that is no record.
MESSAGE = "message"
# What msgspec says of a value that is whole: it is no UTF-8, too deep, or has maps as keys.
UNREADABLE = (msgspec.DecodeError, ValueError, TypeError, RecursionError, OverflowError)

encode = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
# What is in JSON as it is here.
AS_IT_IS = frozenset((str, int, float, bool, type(None)))


def event_time(time_ns: int) -> bytes:
    """A time (nanoseconds since 1970), as the extension has it."""
    seconds, nanoseconds = divmod(max(time_ns, 0), SECOND)
    return b"\xd7\x00" + EVENT_TIME_BYTES.pack(min(seconds, 0xFFFFFFFF), nanoseconds)


def read_extension(code: int, data: memoryview | bytes) -> object:
    """A time as seconds; what is not known, as text that shows its bytes."""
    if code == EVENT_TIME and len(data) == EVENT_TIME_BYTES.size:
        seconds, nanoseconds = EVENT_TIME_BYTES.unpack(data)
        return float(seconds + nanoseconds / SECOND)
    return bytes(data).hex()


_decoder = msgspec.msgpack.Decoder(ext_hook=read_extension)


def decode(data: bytes) -> object:
    """The value that these bytes are. Raises NotMessagePackError where it is too deep."""
    try:
        return _decoder.decode(data)
    except UNREADABLE:
        return decode_leniently(data)


def decode_leniently(data: bytes) -> object:
    """The same, slowly: text that is no UTF-8 has marks where bytes are not understood, and keys are text."""
    return _read(data, 0, DEEPEST, as_text)[0]


def decode_raw(data: bytes) -> object:
    """The same, with all text as bytes: some send bytes and call them text. Keys are text."""
    return _read(data, 0, DEEPEST, bytes)[0]


def as_text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")


def _read(data: bytes, at: int, depth: int, make: Callable[[bytes], object]) -> tuple[object, int]:
    if not depth:
        raise NotMessagePackError(TOO_DEEP)
    content = raw_bytes(data, at)
    if content is not None:
        begin, end = content
        return make(data[begin:end]), end
    count, first = array_size(data, at)
    if count >= 0:
        values = []
        for _ in range(count):
            value, first = _read(data, first, depth - 1, make)
            values.append(value)
        return values, first
    pairs, first = map_size(data, at)
    if pairs >= 0:
        found: dict[str, object] = {}
        for _ in range(pairs):
            key, first = _read(data, first, depth - 1, make)
            value, first = _read(data, first, depth - 1, make)
            found[key_text(key)] = value
        return found, first
    end = Scanner(len(data)).end(data, at)
    try:
        return _decoder.decode(data[at:end]), end
    except UNREADABLE:
        return None, end  # A time that no calendar has.


def map_size(data: bytes, at: int) -> tuple[int, int]:
    """As protocols.fluent.scanning.array_size, for pairs of a map."""
    first = data[at]
    if 0x80 <= first < 0x90:
        return first & 15, at + 1
    if first not in (0xDE, 0xDF):
        return -1, at
    width = 2 if first == 0xDE else 4
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def key_text(key: object) -> str:
    if isinstance(key, str):
        return key
    return as_text(key) if isinstance(key, bytes) else str(key)


def read_time(data: bytes) -> int | None:
    """Nanoseconds since 1970 of what stands where an event has its time; None where it is none, or long ago."""
    if data[0] == 0xD7 or data[:2] == b"\xc7\x08":
        begin = 2 if data[0] == 0xD7 else 3
        if data[begin - 1] != EVENT_TIME:
            return None
        seconds, nanoseconds = EVENT_TIME_BYTES.unpack_from(data, begin)
        return int(seconds * SECOND + nanoseconds % SECOND)
    try:
        value = _decoder.decode(data)
    except UNREADABLE:
        return None
    if isinstance(value, float) and math.isfinite(value) and 0 <= value < 1 << 34:
        return int(value * SECOND)
    return value * SECOND if isinstance(value, int) and 0 <= value < 1 << 34 else None


def to_json(record: object) -> bytes:
    """A record as JSON. Bytes that are text are text, others are base64. Raises NotMessagePackError: it is too deep."""
    return _encode_json(plain(record, DEEPEST))


def plain(value: object, depth: int) -> object:
    """What JSON has: keys are text, and so are bytes where they can be."""
    if type(value) in AS_IT_IS:
        return value
    if not depth:
        raise NotMessagePackError(TOO_DEEP)
    if type(value) is dict:
        return {
            key if type(key) is str else key_text(key): one if type(one) in AS_IT_IS else plain(one, depth - 1)
            for key, one in value.items()
        }
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, list | tuple):
        return [plain(one, depth - 1) for one in value]
    return str(value)


def record_of(payload: bytes) -> dict[str, object]:
    """What stands for a payload in an event: the object that its JSON is, or else the text itself as `message`."""
    if payload[:1] == b"{":
        try:
            found = msgspec.json.decode(payload)
        except UNREADABLE:
            found = None
        if isinstance(found, dict):
            return found
    return {MESSAGE: as_text(payload)}


def encode_event(time_ns: int, record: dict[str, object]) -> bytes:
    """An event as chunks have it."""
    try:
        return b"\x92" + event_time(time_ns) + encode(record)
    except (OverflowError, RecursionError):
        return b"\x92" + event_time(time_ns) + encode(smaller(record, DEEPEST))


def smaller(value: object, depth: int) -> object:
    """The same with numbers that MessagePack has, and no deeper than it is read."""
    if isinstance(value, int) and not LEAST_NUMBER <= value <= MOST_NUMBER:
        return str(value)
    if isinstance(value, dict):
        return {key: smaller(one, depth - 1) for key, one in value.items()} if depth else str(len(value))
    if isinstance(value, list):
        return [smaller(one, depth - 1) for one in value] if depth else str(len(value))
    return value
