from asyncio import Task
from collections.abc import Awaitable, Callable
from typing import Any

from leafgate.client import Client

class Message:
    client: Client
    subject: str
    reply: str
    data: bytes | bytearray
    head: bytes
    def __init__(self, client: Client, subject: str, reply: str, data: bytes | bytearray, head: bytes) -> None: ...
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> dict[str, str]: ...
    async def respond(
        self, data: bytes | bytearray | memoryview | str = b"", headers: dict[str, str] | None = None
    ) -> None: ...

class Subscription:
    subject: str
    queue: str
    pending: int
    waiting: list[Message]
    left: int
    dropped: int
    closed: bool
    task: Task[Any] | None
    def __init__(
        self,
        client: Client,
        subject: str,
        queue: str,
        cb: Callable[[Message], Awaitable[object]] | None,
        pending: int,
    ) -> None: ...
    def __aiter__(self) -> Subscription: ...
    async def __anext__(self) -> Message: ...
    async def unsubscribe(self, after: int = 0) -> None: ...
    def line(self) -> str: ...
    async def put(self, message: Message | None) -> None: ...
    async def run(self, cb: Callable[[Message], Awaitable[object]]) -> None: ...
