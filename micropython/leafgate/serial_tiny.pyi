from collections.abc import Callable
from typing import Any

def crc32(data: bytes | bytearray, seed: bytes) -> bytes: ...

class Client:
    uart: Any
    name: bytes
    up: bool
    connected: bool
    damaged: int
    resent: int
    dropped: int
    error: bytes | None
    def __init__(self, uart: Any, name: str = "", line: int = 64, console: bool = True) -> None: ...
    def publish(self, subject: str, data: bytes | str = b"", reply: str = "") -> bool: ...
    def subscribe(
        self, subject: str, callback: Callable[[str, bytes], bytes | str | None], queue: str = ""
    ) -> None: ...
    def poll(self) -> bool: ...
    def close(self) -> None: ...
