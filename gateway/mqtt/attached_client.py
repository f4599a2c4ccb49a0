"""What a session must know of the client that is connected."""

from typing import Protocol

from gateway.accounts.identity import Identity
from gateway.transport.connection import Connection


class AttachedClient(Protocol):
    """A client, or a broker beyond a bridge. `identity` is who it was admitted as."""

    connection: Connection
    identity: Identity | None
    client_id: bytes
    version: int
    max_packet_size: int
    receive_maximum: int
    topic_alias_maximum: int
    # The gateway that it is, where it bridges or is bridged to; else b"".
    beyond: bytes

    def write(self, data: bytes) -> None: ...

    def take_over(self, heir: Connection) -> None:
        """Another connection is the client now."""
