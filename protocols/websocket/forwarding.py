"""Whom a request comes from when proxies stand between: what they say, where they are trusted."""

import ipaddress
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# More proxies than these do not stand in a row; the list could be as long as a request.
MOST_PROXIES = 16


def client_address(peer: str, forwarded: list[str], trusted: tuple[Network, ...]) -> str:
    """The client's address behind the trusted proxies; empty where that is the peer itself.

    `forwarded` are the elements of X-Forwarded-For. Each proxy appends the address that it saw, so only what the last
    ones wrote is known: the client is the last address that is no trusted proxy's.
    """
    client: Address | None = None
    address = _parse(peer)
    for text in reversed(forwarded[-MOST_PROXIES:]):
        if address is None or not _is_among(address, trusted):
            break
        address = _parse(text)
        client = address or client
    return str(client) if client is not None else ""


def is_trusted(peer: str, trusted: tuple[Network, ...]) -> bool:
    """Whether an address is a trusted proxy's."""
    address = _parse(peer)
    return address is not None and _is_among(address, trusted)


def _is_among(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # How a socket for both versions names an IPv4 peer.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
