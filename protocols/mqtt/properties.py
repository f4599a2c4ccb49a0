"""Properties of MQTT 5.0 (2.2.2). One table says what each is and which packets may carry it; the rest follows it."""

from collections.abc import Iterable
from enum import Enum, IntFlag
from typing import Any, TypeVar, dataclass_transform

from msgspec import Struct

from protocols.errors import MisuseError
from protocols.mqtt.errors import PacketError
from protocols.mqtt.primitives import PacketReader, encode_binary, encode_uint16, encode_varint, is_string
from protocols.mqtt.reason_codes import ReasonCode

Pair = tuple[bytes, bytes]

USER_PROPERTY = 0x26


class UserProperties(tuple[Pair, ...]):
    """User properties that many receivers get: written once for all of them."""

    _wire: bytes | None = None

    def wire(self) -> bytes:
        if self._wire is None:
            identifier = bytes((USER_PROPERTY,))
            self._wire = b"".join([identifier + encode_binary(name) + encode_binary(value) for name, value in self])
        return self._wire


class Carrier(IntFlag):
    """Where properties stand: in a packet, or in the will of a CONNECT."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 4
    PUBACK = 8
    PUBREC = 16
    PUBREL = 32
    PUBCOMP = 64
    SUBSCRIBE = 128
    SUBACK = 256
    UNSUBSCRIBE = 512
    UNSUBACK = 1024
    DISCONNECT = 2048
    AUTH = 4096
    WILL = 8192


T = TypeVar("T")


@dataclass_transform(kw_only_default=True)
def with_fields(cls: type[T]) -> type[T]:
    """Let a class be made of its fields by their names, and be compared by them. As `dataclasses` does it, which would
    be a tenth of what one call of the command line costs.
    """
    defaults = {name: getattr(cls, name) for name in cls.__annotations__}

    def init(self: T, **fields: Any) -> None:
        if not fields.keys() <= defaults.keys():
            raise TypeError(f"there is no field {', '.join(sorted(fields.keys() - defaults.keys()))}")
        vars(self).update(defaults | fields)

    def equals(self: T, other: object) -> bool:
        return other.__class__ is cls and all(getattr(self, name) == getattr(other, name) for name in defaults)

    # Nothing that can be changed has a hash.
    for name, value in (("__init__", init), ("__eq__", equals), ("__hash__", None)):
        setattr(cls, name, value)
    return cls


@with_fields
class Properties:
    """The properties of one packet. What is absent reads as None, or as () where a property may be repeated.

    Strings are well-formed UTF-8, kept as bytes; intervals are in seconds.
    """

    payload_format_indicator: int | None = None
    message_expiry_interval: int | None = None
    content_type: bytes | None = None
    response_topic: bytes | None = None
    correlation_data: bytes | None = None
    subscription_identifiers: tuple[int, ...] = ()
    session_expiry_interval: int | None = None
    assigned_client_identifier: bytes | None = None
    server_keep_alive: int | None = None
    authentication_method: bytes | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_interval: int | None = None
    request_response_information: int | None = None
    response_information: bytes | None = None
    server_reference: bytes | None = None
    reason_string: bytes | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user_properties: tuple[Pair, ...] = ()
    maximum_packet_size: int | None = None
    wildcard_subscription_available: int | None = None
    subscription_identifiers_available: int | None = None
    shared_subscription_available: int | None = None

    def copy(self) -> "Properties":
        """Another one that says the same, to say more with."""
        properties = Properties.__new__(Properties)
        vars(properties).update(vars(self))
        return properties

    def __repr__(self) -> str:
        said = {name: value for name, value in vars(self).items() if value not in (None, ())}
        if "authentication_data" in said:
            said["authentication_data"] = "..."
        return f"Properties({', '.join(f'{name}={value!r}' for name, value in said.items())})"


class Kind(Enum):
    FLAG = "0 or 1 in one byte"
    UINT16 = "two byte integer"
    UINT32 = "four byte integer"
    VARINT = "variable byte integer"
    STRING = "UTF-8 encoded string"
    BINARY = "binary data"
    PAIR = "UTF-8 string pair"


class Rule(Struct, frozen=True):
    """One row of table 2-4. `name` is the field of Properties; `repeats` tells where it may stand more than once."""

    identifier: int
    name: str
    kind: Kind
    carriers: Carrier
    repeats: Carrier | None = None
    zero_fault: ReasonCode | None = None
    """What it is when the value is 0; None where 0 is legal."""

    @property
    def text(self) -> str:
        return f"property 0x{self.identifier:02X} ({self.name.replace('_', ' ')})"

    @property
    def is_collected(self) -> bool:
        return self.repeats is not None

    def may_repeat_in(self, carrier: Carrier) -> bool:
        return self.repeats is not None and bool(carrier & self.repeats)


_MESSAGE = Carrier.PUBLISH | Carrier.WILL
_SETUP = Carrier.CONNECT | Carrier.CONNACK
_AUTHENTICATION = _SETUP | Carrier.AUTH
_ACKNOWLEDGEMENT = (
    Carrier.PUBACK | Carrier.PUBREC | Carrier.PUBREL | Carrier.PUBCOMP | Carrier.SUBACK | Carrier.UNSUBACK
)
_ANSWER = _ACKNOWLEDGEMENT | Carrier.CONNACK | Carrier.DISCONNECT | Carrier.AUTH
_EVERYWHERE = _MESSAGE | _ANSWER | Carrier.CONNECT | Carrier.SUBSCRIBE | Carrier.UNSUBSCRIBE
_PROTOCOL_ERROR = ReasonCode.PROTOCOL_ERROR

RULES = (
    Rule(0x01, "payload_format_indicator", Kind.FLAG, _MESSAGE),
    Rule(0x02, "message_expiry_interval", Kind.UINT32, _MESSAGE),
    Rule(0x03, "content_type", Kind.STRING, _MESSAGE),
    Rule(0x08, "response_topic", Kind.STRING, _MESSAGE),
    Rule(0x09, "correlation_data", Kind.BINARY, _MESSAGE),
    Rule(
        0x0B,
        "subscription_identifiers",
        Kind.VARINT,
        Carrier.PUBLISH | Carrier.SUBSCRIBE,
        repeats=Carrier.PUBLISH,
        zero_fault=_PROTOCOL_ERROR,
    ),
    Rule(0x11, "session_expiry_interval", Kind.UINT32, _SETUP | Carrier.DISCONNECT),
    Rule(0x12, "assigned_client_identifier", Kind.STRING, Carrier.CONNACK),
    Rule(0x13, "server_keep_alive", Kind.UINT16, Carrier.CONNACK),
    Rule(0x15, "authentication_method", Kind.STRING, _AUTHENTICATION),
    Rule(0x16, "authentication_data", Kind.BINARY, _AUTHENTICATION),
    Rule(0x17, "request_problem_information", Kind.FLAG, Carrier.CONNECT),
    Rule(0x18, "will_delay_interval", Kind.UINT32, Carrier.WILL),
    Rule(0x19, "request_response_information", Kind.FLAG, Carrier.CONNECT),
    Rule(0x1A, "response_information", Kind.STRING, Carrier.CONNACK),
    Rule(0x1C, "server_reference", Kind.STRING, Carrier.CONNACK | Carrier.DISCONNECT),
    Rule(0x1F, "reason_string", Kind.STRING, _ANSWER),
    Rule(0x21, "receive_maximum", Kind.UINT16, _SETUP, zero_fault=_PROTOCOL_ERROR),
    Rule(0x22, "topic_alias_maximum", Kind.UINT16, _SETUP),
    Rule(0x23, "topic_alias", Kind.UINT16, Carrier.PUBLISH, zero_fault=ReasonCode.TOPIC_ALIAS_INVALID),
    Rule(0x24, "maximum_qos", Kind.FLAG, Carrier.CONNACK),
    Rule(0x25, "retain_available", Kind.FLAG, Carrier.CONNACK),
    Rule(0x26, "user_properties", Kind.PAIR, _EVERYWHERE, repeats=_EVERYWHERE),
    Rule(0x27, "maximum_packet_size", Kind.UINT32, _SETUP, zero_fault=_PROTOCOL_ERROR),
    Rule(0x28, "wildcard_subscription_available", Kind.FLAG, Carrier.CONNACK),
    Rule(0x29, "subscription_identifiers_available", Kind.FLAG, Carrier.CONNACK),
    Rule(0x2A, "shared_subscription_available", Kind.FLAG, Carrier.CONNACK),
)
_BY_IDENTIFIER = {rule.identifier: rule for rule in RULES}
_BY_NAME = {rule.name: rule for rule in RULES}


def read_properties(reader: PacketReader, carrier: Carrier) -> Properties | None:
    """The properties that stand next in a packet, with their length before them; None when there are none."""
    size = reader.varint("the property length")
    if size == 0:
        return None
    if size > reader.remaining():
        raise reader.malformed("the properties are cut short")
    packet_end = reader.end
    reader.end = reader.position + size
    found: dict[str, object] = {}
    # Lists until all are read: a tuple that grows would cost the square of their number.
    collected: dict[str, list[object]] = {}
    while reader.position < reader.end:
        if reader.data[reader.position] == USER_PROPERTY:
            _read_pairs(reader, collected.setdefault("user_properties", []))
            continue
        rule = _read_rule(reader, carrier)
        value = _read_value(reader, rule)
        if rule.name in found or (rule.name in collected and not rule.may_repeat_in(carrier)):
            raise reader.protocol_error(f"{rule.text} stands there twice")
        if rule.is_collected:
            values = collected.setdefault(rule.name, [])
            if len(values) >= reader.max_user_properties:
                raise _too_many(reader, rule)
            values.append(value)
        else:
            found[rule.name] = value
    reader.end = packet_end
    # Without __init__: absent properties are read from the class, which keeps the object small.
    properties = Properties.__new__(Properties)
    vars(properties).update(found)
    for name, values in collected.items():
        vars(properties)[name] = tuple(values)
    return properties


def _read_pairs(reader: PacketReader, pairs: list[object]) -> None:
    """Append the user properties that stand next: of them there may be many, so they are read in one go."""
    rule = _BY_IDENTIFIER[USER_PROPERTY]
    data, end = reader.data, reader.end
    at = reader.position
    while at < end and data[at] == USER_PROPERTY:
        if len(pairs) >= reader.max_user_properties:
            raise _too_many(reader, rule)
        middle = stop = end + 1
        if at + 5 <= end:
            middle = at + 3 + (data[at + 1] << 8 | data[at + 2])
        if middle + 2 <= end:
            stop = middle + 2 + (data[middle] << 8 | data[middle + 1])
        name, value = data[at + 3 : middle], data[middle + 2 : stop]
        if stop > end or not (is_string(name) and is_string(value)):
            # Not so quick, but with a word for what is wrong.
            reader.position = at + 1
            name, value = reader.string(rule.text), reader.string(rule.text)
        pairs.append((name, value))
        at = reader.position = stop


def _too_many(reader: PacketReader, rule: Rule) -> PacketError:
    """The reason code for what an administrator limits (2.4); no version before 5.0 gets here."""
    return reader.fault(ReasonCode.QUOTA_EXCEEDED, f"there are more than {reader.max_user_properties} of {rule.text}")


def _read_rule(reader: PacketReader, carrier: Carrier) -> Rule:
    identifier = reader.varint("a property identifier")
    rule = _BY_IDENTIFIER.get(identifier)
    if rule is None:  # 2.2.2.2, as the next one.
        raise reader.malformed(f"there is no property with identifier 0x{identifier:02X}")
    if not carrier & rule.carriers:
        raise reader.malformed(f"{rule.text} may not stand there")
    return rule


def _read_value(reader: PacketReader, rule: Rule) -> int | bytes | Pair:
    match rule.kind:
        case Kind.STRING:
            return reader.string(rule.text)
        case Kind.BINARY:
            return reader.binary(rule.text)
        case Kind.PAIR:
            return reader.string(rule.text), reader.string(rule.text)
        case _:
            return _read_number(reader, rule)


def _read_number(reader: PacketReader, rule: Rule) -> int:
    match rule.kind:
        case Kind.FLAG:
            number = reader.byte(rule.text)
            if number > 1:
                raise reader.protocol_error(f"{rule.text} is neither 0 nor 1")
        case Kind.UINT16:
            number = reader.uint16(rule.text)
        case Kind.UINT32:
            number = reader.uint32(rule.text)
        case _:
            number = reader.varint(rule.text)
    if number == 0 and rule.zero_fault is not None:
        raise reader.fault(rule.zero_fault, f"{rule.text} is 0")
    return number


def encode_properties(properties: Properties | None, carrier: Carrier) -> bytes:
    """The properties with their length before them. MisuseError for one that may not stand in the packet."""
    if properties is None:
        return b"\0"
    parts: list[bytes] = []
    for name, value in vars(properties).items():
        if value is None or value == ():
            continue
        rule = _BY_NAME[name]
        if isinstance(value, UserProperties):
            parts.append(value.wire())
            continue
        if not carrier & rule.carriers:
            raise MisuseError(f"{rule.text} may not stand in a {carrier.name}")
        identifier = bytes((rule.identifier,))
        values: Iterable[int | bytes | Pair] = value if rule.is_collected else (value,)
        parts.extend(identifier + _encode_value(rule.kind, one) for one in values)
    block = b"".join(parts)
    return encode_varint(len(block)) + block


def _encode_value(kind: Kind, value: int | bytes | Pair) -> bytes:
    if isinstance(value, bytes):
        return encode_binary(value)
    if isinstance(value, tuple):
        return encode_binary(value[0]) + encode_binary(value[1])
    match kind:
        case Kind.FLAG:
            return b"\1" if value else b"\0"
        case Kind.UINT16:
            return encode_uint16(value)
        case Kind.UINT32:
            return encode_uint16(value >> 16) + encode_uint16(value & 0xFFFF)
        case _:
            return encode_varint(value)
