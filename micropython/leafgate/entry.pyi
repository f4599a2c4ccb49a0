from ssl import SSLContext
from typing import Any, Protocol

from leafgate.wire import Opener, Stream, Wire

def parse(url: str) -> tuple[str, str, int, dict[str, str]]: ...

# What of a Client decides how it gets in.
class Entrant(Protocol):
    tls: SSLContext | bytes | bool | None
    nkey: str | bytes | None
    info: dict[str, Any]

async def dial(url: str, tls: SSLContext | bytes | bool | None) -> Stream: ...
async def enter(client: Entrant, server: str | Opener, wire: Wire, login: dict[str, Any]) -> dict[str, Any]: ...
def meet(servers: list[str | Opener], info: bytes) -> None: ...
