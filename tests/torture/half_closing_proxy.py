"""A proxy before a server that closes connections halfway: one direction ends, the other carries nothing."""

import contextlib
import socket
import threading

READ = 1 << 16


class Pair:
    """Both ends of one connection; once it `is_silent` what comes from either is lost."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far
        self.is_silent = False


class HalfClosingProxy:
    """Carries connections to a port of this machine; `port` is its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._pairs: list[Pair] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "HalfClosingProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        for pair in [*self._pairs]:
            end(pair)

    def half_close(self, before_server: bool) -> None:
        """The server, or else its client, hears that the other one says nothing more."""
        for pair in [*self._pairs]:
            pair.is_silent = True
            with contextlib.suppress(OSError):
                (pair.far if before_server else pair.near).shutdown(socket.SHUT_WR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # It is closed.
            while True:
                near, _ = self._listening.accept()
                try:
                    pair = Pair(near, socket.create_connection(("127.0.0.1", self._target)))
                except OSError:
                    near.close()
                    continue
                self._pairs.append(pair)
                for source, sink in ((pair.near, pair.far), (pair.far, pair.near)):
                    threading.Thread(target=self._carry, args=(pair, source, sink), daemon=True).start()

    def _carry(self, pair: Pair, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(READ):
                if not pair.is_silent:
                    sink.sendall(data)
        # Whose other end has gone is over, but for one that is closed halfway: that lasts until its client goes.
        if not pair.is_silent or source is pair.near:
            end(pair)
            with contextlib.suppress(ValueError):
                self._pairs.remove(pair)


def end(pair: Pair) -> None:
    for one in (pair.near, pair.far):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
