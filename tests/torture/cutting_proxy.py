"""A proxy before a server that cuts connections: each after a number of bytes of its own, so that every packet is cut
somewhere some day; politely or by a reset.
"""

import random
import socket
import struct

import trio

READ = 1 << 16
# Bytes in both directions before a connection is cut, and how many connections in a row last longer.
FEWEST_BYTES, MOST_BYTES = 30, 60_000
RESET = struct.pack("ii", 1, 0)


class CuttingProxy:
    """`target` is host and port; connections are left alone until `cutting` is set."""

    def __init__(self, port: int, target: tuple[str, int], seed: int) -> None:
        self.port = port
        self.cuts = 0
        self.cutting = False
        self._target = target
        self._random = random.Random(seed)

    async def run(self) -> None:
        await trio.serve_tcp(self._serve, self.port, host="127.0.0.1")

    async def _serve(self, near: trio.SocketStream) -> None:
        left = [int(FEWEST_BYTES * (MOST_BYTES / FEWEST_BYTES) ** self._random.random())]
        try:
            far = await trio.open_tcp_stream(*self._target)
        except OSError:
            await near.aclose()
            return
        async with near, far, trio.open_nursery() as both:
            both.start_soon(self._carry, near, far, left, both.cancel_scope)
            both.start_soon(self._carry, far, near, left, both.cancel_scope)

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, left: list[int], life: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(READ):
                if self.cutting and len(data) >= left[0]:
                    await sink.send_all(data[: left[0]])
                    self.cuts += 1
                    if self._random.random() < 0.5:
                        for stream in (source, sink):
                            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    break
                left[0] -= len(data)
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        life.cancel()
