"""Names by which a gateway and its parts are told apart: server ids and unique tokens."""

import base64
import binascii
import os
import string
from dataclasses import dataclass
from random import SystemRandom

SERVER_KEY_PREFIX = 13 << 3
ALPHABET = string.digits + string.ascii_letters
# Enough that no two gateways of a cluster share one; it stands in every reply subject.
GATEWAY_ID_LENGTH = 8
# As good as `secrets`, which would load OpenSSL.
_random = SystemRandom()


def new_server_id() -> str:
    """A server id in the form of a public server key (`N…`): base32 of a prefix, 32 bytes and their CRC-16."""
    body = bytes([SERVER_KEY_PREFIX]) + os.urandom(32)
    checksum = binascii.crc_hqx(body, 0).to_bytes(2, "little")
    return base64.b32encode(body + checksum).decode().rstrip("=")


def new_token() -> str:
    """22 characters that nobody else has."""
    return "".join(_random.choice(ALPHABET) for _ in range(22))


def new_gateway_id() -> str:
    return new_token()[:GATEWAY_ID_LENGTH]


def random_sid() -> int:
    """A session id of a serial link: 32 bits, not 0."""
    return _random.randint(1, 0xFFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Names:
    """What this gateway is called. `server_id` is new with each start; `gateway_id`, which stands in reply subjects,
    stays the same as long as there is a data directory.
    """

    server_id: str
    server_name: str
    gateway_id: bytes
