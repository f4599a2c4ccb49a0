from asyncio import Event
from collections.abc import Awaitable, Callable, Sequence
from ssl import SSLContext
from typing import Any

from leafgate.subscription import Message, Subscription
from leafgate.wire import Opener

_Data = bytes | bytearray | memoryview | str
_Server = str | Opener

class Client:
    servers: list[_Server]
    nkey: str | bytes | None
    tls: SSLContext | bytes | bool | None
    connected: Event
    closed: bool
    info: dict[str, Any]
    dropped: int
    on_status: Callable[[str, Any], object] | None
    def __init__(
        self,
        servers: _Server | Sequence[_Server],
        name: str = "",
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        nkey: str | bytes | None = None,
        tls: SSLContext | bytes | bool | None = None,
        presence: str | None = None,
        echo: bool = True,
        ready: Callable[[], Awaitable[object]] | None = None,
        on_status: Callable[[str, Any], object] | None = None,
        ping: float = 20,
        rx: int = 1024,
        tx: int = 256,
        largest: int = 8192,
    ) -> None: ...
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

async def connect(
    servers: _Server | Sequence[_Server],
    wait: float | None = None,
    *,
    name: str = "",
    user: str | None = None,
    password: str | None = None,
    token: str | None = None,
    nkey: str | bytes | None = None,
    tls: SSLContext | bytes | bool | None = None,
    presence: str | None = None,
    echo: bool = True,
    ready: Callable[[], Awaitable[object]] | None = None,
    on_status: Callable[[str, Any], object] | None = None,
    ping: float = 20,
    rx: int = 1024,
    tx: int = 256,
    largest: int = 8192,
) -> Client: ...
