"""What stands in the places of a session and of a socket once a connection has ended: nothing keeps those then."""

from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.message import Buffer


class Gone:
    """Where the outbox of a connection that has ended sends to."""

    def send(self, data: bytes | memoryview) -> int:
        return 0

    def send_pieces(self, pieces: list[Buffer]) -> int:
        return 0

    def start_writer(self) -> None:
        pass

    def overrun(self) -> None:
        pass

    def failed(self, error: Exception) -> None:
        pass


GONE = Gone()


class Departed:
    """What stands in the place of a session whose connection is gone: it says what was spoken."""

    is_client = False
    has_more = False
    port = None

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def unfinished_bytes(self) -> int:
        return 0

    def refuse_input(self, detail: str) -> None:
        pass

    def opened(self) -> None:
        pass

    def receive(self, data: bytes) -> None:
        pass

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        pass

    def announce_lame_duck(self) -> None:
        pass

    def settings_changed(self) -> None:
        pass

    def describe(self) -> PeerSnapshot:
        return PeerSnapshot(type="nats")
