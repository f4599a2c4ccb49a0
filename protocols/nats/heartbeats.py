"""PING and PONG, as all NATS protocols have them. What came in a row is one event."""

PING = b"PING\r\n"
PONG = b"PONG\r\n"


class Heartbeat:
    """`count` of them; equal to one of the same kind with the same count."""

    __slots__ = ("count",)

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Heartbeat) and other.count == self.count

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(count={self.count})"


class Ping(Heartbeat):
    """Each of `count` wants its own PONG."""

    __slots__ = ()


class Pong(Heartbeat):
    __slots__ = ()
