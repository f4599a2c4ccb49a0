"""Gateways passed: which gateways a message has come through over MQTT bridges, so that it goes back to none of them.

A user property says it, `Leafgate-Via: <gateway> <gateway> …`, which is a header of the same name in NATS. It is put on
where the peer is a gateway too: each tells the other its name by a user property of CONNECT or CONNACK.
"""

from collections.abc import Iterable

from protocols.mqtt.properties import Pair, Properties, UserProperties

VIA = b"Leafgate-Via"
# In CONNECT and CONNACK: the name of the gateway that sends it.
GATEWAY = b"leafgate"
LINE = b"\r\n" + VIA + b": "
LONGEST_NAME = 64
# So many names a message keeps, the last ones: a way that is longer goes round in a circle all the same.
MOST_NAMES = 16


def gateways_passed(header: bytes) -> list[bytes]:
    """The names that a header block holds."""
    begin = header.find(LINE)
    if begin < 0:
        return []
    begin += len(LINE)
    return header[begin : header.find(b"\r", begin)].split()


def with_gateway(user_properties: Iterable[Pair], name: bytes) -> UserProperties:
    """The user properties of a message that goes on to another gateway from the one of this name."""
    others = [pair for pair in user_properties if pair[0] != VIA]
    names = [one for key, value in user_properties if key == VIA for one in value.split()]
    passed = b" ".join([*names[1 - MOST_NAMES :], name])
    return UserProperties((*others, (VIA, passed)))


def name_gateway(name: bytes) -> UserProperties:
    """What says in a CONNECT or CONNACK which gateway sends it."""
    return UserProperties(((GATEWAY, name),))


def gateway_named(properties: Properties | None) -> bytes:
    """The gateway that sent a CONNECT or CONNACK; b"" where its sender says that of no gateway."""
    pairs = properties.user_properties if properties is not None else ()
    name = next((value for key, value in pairs if key == GATEWAY), b"")
    return name if name.isalnum() and len(name) <= LONGEST_NAME else b""
