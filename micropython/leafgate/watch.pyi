from typing import Protocol

from leafgate.kv_entry import Entry
from leafgate.subscription import Connection

# What of a Bucket a watch needs.
class Watched(Protocol):
    client: Connection
    timeout: float
    stream: str
    prefix: str
    async def revision(self) -> int: ...

class Watch:
    bucket: Watched
    client: Connection
    pattern: str
    values: bool
    heartbeat: float
    pending: int
    def __init__(self, bucket: Watched, pattern: str, values: bool, heartbeat: float) -> None: ...
    def __aiter__(self) -> Watch: ...
    async def __anext__(self) -> Entry: ...
    async def begin(self) -> None: ...
    async def stop(self) -> None: ...
