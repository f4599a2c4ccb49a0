from typing import Any

from leafgate.subscription import Connection, Message, Subscription

class Outbox(Subscription):
    store: Any
    dropped: int
    def __init__(
        self,
        client: Connection,
        size: int = 4096,
        path: str | None = None,
        prefix: str = "$LEAFGATE.publish.",
        drop: bool = False,
        ahead: int = 4,
    ) -> None: ...
    async def publish(
        self, subject: str, data: bytes | bytearray | memoryview | str = b"", headers: dict[str, str] | None = None
    ) -> None: ...
    async def flush(self) -> None: ...
    def line(self) -> str: ...
    async def put(self, message: Message | None) -> None: ...

class Queue:
    count: int
    sent: list[list[Any]]
    def __init__(self, name: str, size: int, drop: bool) -> None: ...
    def put(self, body: bytes) -> int: ...
    def take(self) -> list[Any] | None: ...
    def done(self, entry: list[Any]) -> None: ...
