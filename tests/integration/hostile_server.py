"""Servers that mean a gateway ill that calls them: each of its connections meets the next script, and a quiet pair of
clients is served meanwhile.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from tests.integration.peers import Peer
from tests.integration.raw_peer import RawPeer
from tests.patience import LONG_SECONDS, PATIENCE_SECONDS

JOIN_SECONDS = PATIENCE_SECONDS
ALL_MET_SECONDS = LONG_SECONDS

Script = Callable[[socket.socket], None]


class HostileServer:
    """`served` scripts are over; behind the last one nobody listens any more."""

    def __init__(self, port: int, scripts: Sequence[Script]) -> None:
        self.served = 0
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for script in self._scripts:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError, EOFError):
                script(connection)
            self.served += 1
        self._listener.close()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # Whoever waits for a connection wakes up.
        self._listener.close()
        self._thread.join(JOIN_SECONDS)


def meet_all(edge: Peer, port: int, scripts: Sequence[Script]) -> None:
    """Return when the gateway has met them all; two clients of its exchange messages meanwhile."""
    with RawPeer(edge.address("nats")) as quiet:
        quiet.send(b'CONNECT {"verbose":false}\r\nSUB quiet 1\r\nPING\r\n')
        quiet.read_through(b"PONG\r\n")
        server = HostileServer(port, scripts)
        try:
            give_up = time.monotonic() + ALL_MET_SECONDS
            while server.served < len(scripts):
                assert time.monotonic() < give_up, f"script {server.served} is not over"
                quiet.send(b"PUB quiet 1\r\nx\r\n")
                quiet.read_through(b"MSG quiet 1 1\r\nx\r\n")
                time.sleep(0.01)
        finally:
            server.close()


def assert_log_is_ours(edge: Peer) -> None:
    """No line of it was made by somebody else, and none tells of a fault of the gateway's own."""
    log = edge.log()
    assert "Traceback" not in log
    assert all(line.startswith((" ", "20", "leafgate", "and ", "Try")) or not line for line in log.splitlines()), log
    assert all(character.isprintable() or character == "\n" for character in log)
