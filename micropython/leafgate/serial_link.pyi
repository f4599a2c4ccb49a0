from collections.abc import Callable
from typing import Any

class SerialLink:
    name: bytes
    baud: int
    mtu: int
    up: bool
    damaged: int
    def __init__(
        self,
        uart: Any,
        name: str = "",
        baud: int = 115200,
        mtu: int = 256,
        rx: int = 2048,
        tx: int = 2048,
        line: int = 4096,
        set_baud: Callable[[int], object] | None = None,
        console: bool = False,
    ) -> None: ...
    async def open(self) -> SerialLink: ...
    async def readinto(self, buf: bytearray | memoryview) -> int | None: ...
    def write(self, data: bytes | bytearray | memoryview) -> None: ...
    async def drain(self) -> None: ...
    async def wait_closed(self) -> None: ...
