from asyncio import Event, Task
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

_Data = bytes | bytearray | memoryview | str

# What messages, subscriptions and the modules beside the client know of a Client.
class Connection(Protocol):
    connected: Event
    closed: bool
    info: dict[str, Any]
    dropped: int
    async def publish(
        self, subject: str, data: _Data = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None: ...
    async def subscribe(
        self,
        subject: str,
        queue: str = "",
        cb: Callable[[Message], Awaitable[object]] | None = None,
        pending: int = 16,
    ) -> Subscription: ...
    async def unsubscribe(self, sub: Subscription, after: int = 0) -> None: ...
    async def request(
        self, subject: str, data: _Data = b"", timeout: float = 2, headers: dict[str, str] | None = None
    ) -> Message: ...
    async def flush(self) -> None: ...
    async def drain(self, timeout: float = 10) -> None: ...
    async def close(self) -> None: ...
    def idle_ms(self) -> int: ...
    def tell(self, state: str, data: Any = None) -> None: ...

class Message:
    client: Connection
    subject: str
    reply: str
    data: bytes | bytearray
    head: bytes
    def __init__(self, client: Connection, subject: str, reply: str, data: bytes | bytearray, head: bytes) -> None: ...
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> dict[str, str]: ...
    async def respond(self, data: _Data = b"", headers: dict[str, str] | None = None) -> None: ...

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
        client: Connection,
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
