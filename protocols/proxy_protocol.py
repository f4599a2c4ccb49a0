"""The PROXY protocol, versions 1 and 2: what a proxy says before all else of whom it speaks for.

By "The PROXY protocol, versions 1 & 2" of HAProxy; the sections named here are its. What the header says beside the
addresses (2.2.1: TLS, the host asked for) is passed over.
"""

import ipaddress
from typing import NamedTuple

from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"  # 2.2
FIRST_VERSION = b"PROXY "
# 2.1: the longest line, with its end.
LONGEST_LINE = 107
# Version 2 without the addresses, and how much may stand behind: a certificate's subject, a token of a cloud's.
FIXED = 16
LONGEST_REST = 4096
LOCAL, PROXY = 0x0, 0x1
INET, INET6 = 0x1, 0x2
UNSPECIFIED, STREAM = 0x0, 0x1


class ProxyHeader(NamedTuple):
    """A whole header. `source` is the client's address, None where the proxy speaks for itself (a health check) or does
    not say (2.1 UNKNOWN, 2.2 LOCAL and AF_UNSPEC); `rest` is what came behind it.
    """

    source: tuple[str, int] | None
    rest: bytes


def violation(detail: str) -> PeerViolation:
    return PeerViolation(CloseReason.PROTOCOL_VIOLATION, f"PROXY protocol: {detail}")


class ProxyHeaderDecoder:
    """`receive` answers with the header once it is there whole, or with what is wrong; then it is done with. It keeps
    no more than a header may be long, and what came with its end.
    """

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    @property
    def pending(self) -> int:
        """How many bytes are kept."""
        return len(self._data)

    def receive(self, data: bytes) -> ProxyHeader | PeerViolation | None:
        self._data = data = self._data + data
        # 2: whoever does not begin so is to be refused, and not served as if there were no proxy.
        if data.startswith(SIGNATURE):
            return read_binary(data)
        if data.startswith(FIRST_VERSION):
            return read_line(data)
        if SIGNATURE.startswith(data) or FIRST_VERSION.startswith(data):
            return None
        return violation("the connection does not begin with its header")


def read_line(data: bytes) -> ProxyHeader | PeerViolation | None:
    """2.1, the form that people can read."""
    end = data.find(b"\r\n", 0, LONGEST_LINE)
    if end < 0:
        return violation(f"a line of more than {LONGEST_LINE} bytes") if len(data) >= LONGEST_LINE else None
    words, rest = data[:end].split(b" "), data[end + 2 :]
    if words[1:2] == [b"UNKNOWN"]:  # What follows is to be ignored.
        return ProxyHeader(None, rest)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        return violation("the line is none: PROXY TCP4 source destination port port")
    _, family, source, destination, source_port, destination_port = words
    kind = ipaddress.IPv4Address if family == b"TCP4" else ipaddress.IPv6Address
    try:
        found = kind(source.decode("ascii"))
        kind(destination.decode("ascii"))
    except ValueError:
        return violation(f"an address that is none of {family.decode()}")
    ports = [port_of(text) for text in (source_port, destination_port)]
    if min(ports) < 0:
        return violation("a port that is none")
    return ProxyHeader((text_of(found), ports[0]), rest)


def port_of(text: bytes) -> int:
    """-1 for what is none: digits without zeros before them, up to 65535."""
    is_number = text.isdigit() and len(text) <= 5 and (text == b"0" or not text.startswith(b"0"))
    return int(text) if is_number and int(text) <= 65_535 else -1


def read_binary(data: bytes) -> ProxyHeader | PeerViolation | None:
    """2.2, the binary form."""
    if len(data) < FIXED:
        return None
    version, command = data[12] >> 4, data[12] & 0xF
    family, transport = data[13] >> 4, data[13] & 0xF
    length = int.from_bytes(data[14:16], "big")
    if version != 2 or command not in (LOCAL, PROXY):
        return violation(f"version {version} and command {command} are not known")
    if length > LONGEST_REST:
        return violation(f"a header of {length} bytes, more than {LONGEST_REST}")
    if len(data) < FIXED + length:
        return None
    addresses, rest = data[FIXED : FIXED + length], data[FIXED + length :]
    if command == LOCAL or (family not in (INET, INET6) and transport in (UNSPECIFIED, STREAM)):
        return ProxyHeader(None, rest)  # A health check, or a client without such an address.
    if transport != STREAM:
        return violation("what it speaks for is no stream")
    size = 4 if family == INET else 16
    if length < 2 * size + 4:
        return violation(f"{length} bytes hold no addresses of its family")
    source = ipaddress.ip_address(addresses[:size])
    return ProxyHeader((text_of(source), int.from_bytes(addresses[2 * size : 2 * size + 2], "big")), rest)


def text_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address of IPv4 in its own form, also where a proxy listens for both versions."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
