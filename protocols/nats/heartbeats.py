"""PING and PONG, as all NATS protocols have them. What came in a row is one event."""

import msgspec

PING = b"PING\r\n"
PONG = b"PONG\r\n"


class Ping(msgspec.Struct):
    """Each of `count` wants its own PONG."""

    count: int = 1


class Pong(msgspec.Struct):
    count: int = 1
