"""What a PUBLISH of MQTT 5.0 says beside its payload, as the header block of a NATS message, and back.

Nothing is lost on the way through a header. The response topic is not in it: see `reply_subjects`.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from protocols.mqtt.primitives import LONGEST_STRING, is_string
from protocols.mqtt.properties import Pair, Properties, UserProperties
from protocols.nats.headers import find_field

_VERSION = b"NATS/1.0"
_CONTENT_TYPE = b"Content-Type"
_ENCODED_CONTENT_TYPE = b"Mqtt-Content-Type"
_CORRELATION_DATA = b"Mqtt-Correlation-Data"
_EXPIRY = b"Mqtt-Message-Expiry"
_PAYLOAD_FORMAT = b"Mqtt-Payload-Format"
_USER_PROPERTY = b"Mqtt-User-Property"
_RETAIN = b"Mqtt-Retain: 1"

# User properties that stand for the status of a NATS message, `NATS/1.0 503 No Responders`.
_STATUS = b"Nats-Status"
_DESCRIPTION = b"Nats-Status-Description"
_STATUS_LINE = re.compile(rb"NATS/1\.0[ \t]+([0-9]{3})(?:[ \t]([^\r\n]*))?")
_STATUS_CODE = re.compile(rb"[0-9]{3}")

# What NATS allows as the name of a header: printable ASCII but for the colon.
_NAME = re.compile(rb"[!-9;-~]+")
_SECONDS = re.compile(rb"[0-9]{1,10}")
# Clients may send no more; a hub's messages are not refused for what only MQTT is slow at.
MOST_LINES = 10_100
_LARGEST_UINT32 = 0xFFFFFFFF


class HeaderContents(NamedTuple):
    """What a header block says: the properties of a message, None when there are none, and whether to retain it.

    `expiry` is the message expiry interval in seconds, which stands in the properties too.
    """

    properties: Properties | None
    retain: bool
    expiry: int | None


def headers_of(properties: Properties | None, retain: bool) -> bytes:
    """The header block that says the same as the properties of a message and its retain flag; b"" for nothing.

    Left out are the response topic and what belongs to one connection: subscription identifiers and topic alias.
    """
    version = _VERSION
    lines = [_RETAIN] if retain else []
    if properties is not None:
        status, pairs = _cut_status(properties.user_properties)
        version += status
        lines += _own_lines(properties)
        lines += [_user_line(name, value) for name, value in pairs]
    if not lines and version == _VERSION:
        return b""
    return b"\r\n".join((version, *lines, b"\r\n"))


def properties_of(header: bytes) -> HeaderContents:
    """What a header block says. Skipped is every line that is malformed or does not fit into a property, and what
    stands behind the first MOST_LINES.
    """
    first, *lines = header.split(b"\r\n", MOST_LINES)
    found: dict[str, Any] = {}
    pairs = _status_pairs(first)
    for line in lines:
        if not line:
            break
        _read_line(line, found, pairs)
    if pairs:
        found["user_properties"] = UserProperties(pairs)
    properties = Properties(**found) if found else None
    return HeaderContents(properties, has_retain(header), found.get("message_expiry_interval"))


def has_retain(header: bytes) -> bool:
    """Whether a line says `Mqtt-Retain: 1`, in upper or lower case."""
    return b"\r\nmqtt-retain: 1\r\n" in header.lower()


def without_retain(header: bytes) -> bytes:
    """The header block without what `has_retain` looks for; b"" when nothing else is in it."""
    if not has_retain(header):
        return header
    retain = _RETAIN.lower()
    first, *lines = header.split(b"\r\n")
    lines = [line for line in lines if line.lower() != retain]
    if first == _VERSION and not any(lines):
        return b""
    return b"\r\n".join((first, *lines))


def expiry_seconds(header: bytes) -> int | None:
    """The message expiry interval that a header block says, if it says one."""
    return properties_of(header).expiry if find_field(header, _EXPIRY) is not None else None


def with_correlation(header: bytes, correlation: bytes | None) -> bytes:
    """The header block, b"" or not, with these correlation data in place of its own; None leaves it as it is."""
    if correlation is None:
        return header
    first, *lines = (header or _VERSION + b"\r\n\r\n").split(b"\r\n")
    own = _CORRELATION_DATA.lower() + b":"
    lines = [line for line in lines if not line.lower().startswith(own)]
    return b"\r\n".join((first, _line(_CORRELATION_DATA, b64encode(correlation)), *lines))


def _own_lines(properties: Properties) -> list[bytes]:
    lines = []
    if properties.payload_format_indicator is not None:
        lines.append(_line(_PAYLOAD_FORMAT, b"%d" % properties.payload_format_indicator))
    if properties.message_expiry_interval is not None:
        lines.append(_line(_EXPIRY, b"%d" % properties.message_expiry_interval))
    if properties.content_type is not None:
        if _is_header_value(properties.content_type):
            lines.append(_line(_CONTENT_TYPE, properties.content_type))
        else:
            lines.append(_line(_ENCODED_CONTENT_TYPE, _quote(properties.content_type)))
    if properties.correlation_data is not None:
        lines.append(_line(_CORRELATION_DATA, b64encode(properties.correlation_data)))
    return lines


def _user_line(name: bytes, value: bytes) -> bytes:
    if _NAME.fullmatch(name) and name.lower() not in _OWN_NAMES and _is_header_value(value):
        return _line(name, value)
    return _line(_USER_PROPERTY, _quote(name) + b"=" + _quote(value))


def _cut_status(pairs: tuple[Pair, ...]) -> tuple[bytes, tuple[Pair, ...]]:
    """What stands behind the version in the first line, and the user properties without it."""
    if not pairs or pairs[0][0] != _STATUS or not _STATUS_CODE.fullmatch(pairs[0][1]):
        return b"", pairs
    status = b" " + pairs[0][1]
    if len(pairs) > 1 and pairs[1][0] == _DESCRIPTION and pairs[1][1] and _is_header_value(pairs[1][1]):
        return status + b" " + pairs[1][1], pairs[2:]
    return status, pairs[1:]


def _status_pairs(line: bytes) -> list[Pair]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        return []
    description = _text((match[2] or b"").strip())
    pairs = [(_STATUS, match[1])]
    if description:
        pairs.append((_DESCRIPTION, description))
    return pairs


def _read_line(line: bytes, found: dict[str, Any], pairs: list[Pair]) -> None:
    name, colon, value = line.partition(b":")
    value = value.strip()
    if not colon or not _NAME.fullmatch(name) or b"\r" in line or b"\n" in line:
        return
    own = name.lower()
    if own in _FIELDS:
        field, read = _FIELDS[own]
        content = read(value)
        if content is not None:
            found.setdefault(field, content)
        return
    if own == _USER_PROPERTY.lower():
        encoded_name, separator, encoded_value = value.partition(b"=")
        if not separator:
            return
        name, value = unquote_to_bytes(encoded_name), unquote_to_bytes(encoded_value)
    elif own in _OWN_NAMES:
        return
    if _text(name) is not None and _text(value) is not None:
        pairs.append((name, value))


def _text(value: bytes) -> bytes | None:
    return value if len(value) <= LONGEST_STRING and is_string(value) else None


def _encoded_text(value: bytes) -> bytes | None:
    return _text(unquote_to_bytes(value))


def _data(value: bytes) -> bytes | None:
    try:
        data = b64decode(value, validate=True)
    except binascii.Error:
        return None
    return data if len(data) <= LONGEST_STRING else None


def _seconds(value: bytes) -> int | None:
    return int(value) if _SECONDS.fullmatch(value) and int(value) <= _LARGEST_UINT32 else None


def _flag(value: bytes) -> int | None:
    return int(value) if value in (b"0", b"1") else None


_FIELDS: dict[bytes, tuple[str, Callable[[bytes], bytes | int | None]]] = {
    _CONTENT_TYPE.lower(): ("content_type", _text),
    _ENCODED_CONTENT_TYPE.lower(): ("content_type", _encoded_text),
    _CORRELATION_DATA.lower(): ("correlation_data", _data),
    _EXPIRY.lower(): ("message_expiry_interval", _seconds),
    _PAYLOAD_FORMAT.lower(): ("payload_format_indicator", _flag),
}
_OWN_NAMES = frozenset((*_FIELDS, _USER_PROPERTY.lower(), b"mqtt-retain"))


def _is_header_value(value: bytes) -> bool:
    """Whether a header can have it as it is. Readers of headers drop white space around a value."""
    return value == value.strip() and b"\r" not in value and b"\n" not in value


def _line(name: bytes, value: bytes) -> bytes:
    return name + b": " + value


def _quote(text: bytes) -> bytes:
    return quote_from_bytes(text, safe="").encode()
