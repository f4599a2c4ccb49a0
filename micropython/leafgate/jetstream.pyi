from typing import Any

from leafgate.subscription import Connection

class JetStreamError(Exception):
    code: int
    number: int
    description: str
    def __init__(self, code: int, number: int, description: str) -> None: ...

class PubAck:
    stream: str
    seq: int
    duplicate: bool
    def __init__(self, stream: str, seq: int, duplicate: bool) -> None: ...

async def publish(
    client: Connection,
    subject: str,
    data: bytes | bytearray | memoryview | str = b"",
    msg_id: str | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = 5,
) -> PubAck: ...
async def api(
    client: Connection, name: str, body: dict[str, Any] | None = None, timeout: float = 5
) -> dict[str, Any]: ...
async def ask(
    client: Connection,
    subject: str,
    data: bytes | bytearray | memoryview | str,
    timeout: float,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]: ...
