"""A line between gateway and hub that goes wrong in all the ways that lines do."""

import random
import socket
import struct
from collections.abc import Callable

import trio

READ = 1 << 16
RESET = struct.pack("ii", 1, 0)
TRICKLE_SECONDS = 0.002
LARGEST_DRIP = 64


class Carried:
    """One connection, and what is wrong with it at the moment."""

    def __init__(self, near: trio.SocketStream, far: trio.SocketStream) -> None:
        self.near = near
        self.far = far
        self.life = trio.CancelScope()
        # From now on what comes from one end, or from both, is read and thrown away.
        self.swallowed: set[trio.SocketStream] = set()
        # Nothing is carried before then, and only in drips before then.
        self.held_until = 0.0
        self.trickles_until = 0.0

    def reset(self) -> None:
        for stream in (self.near, self.far):
            try:
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            except OSError:
                pass  # It is closed already.
        self.life.cancel()


class HubProxy:
    """`target` is host and port."""

    def __init__(self, port: int, target: tuple[str, int], seed: int) -> None:
        self.port = port
        self._target = target
        self._random = random.Random(seed)
        self._open: set[Carried] = set()
        self._refuses = False

    async def run(self) -> None:
        await trio.serve_tcp(self._serve, self.port, host="127.0.0.1")

    # What can happen to a line. Each returns whether there was a connection that it happened to.

    def cut(self) -> bool:
        return self._strike(lambda one: one.life.cancel())

    def reset(self) -> bool:
        return self._strike(Carried.reset)

    async def half_close(self) -> bool:
        """One end is told that nothing more comes; what it sends still goes on its way."""
        sides = [(one, self._random.choice((one.near, one.far))) for one in self._open]
        for one, side in sides:
            one.swallowed.add(one.far if side is one.near else one.near)
            try:
                await side.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                one.life.cancel()
        return bool(sides)

    async def swallow(self, seconds: float) -> bool:
        """The line is dead in one direction, or both, and nobody is told; then it is gone."""
        struck = list(self._open)
        for one in struck:
            one.swallowed.update(self._random.choice(([one.near], [one.far], [one.near, one.far])))
        await trio.sleep(seconds)
        for one in struck:
            one.life.cancel()
        return bool(struck)

    def delay(self, seconds: float) -> bool:
        until = trio.current_time() + seconds
        return self._strike(lambda one: setattr(one, "held_until", until))

    def trickle(self, seconds: float) -> bool:
        until = trio.current_time() + seconds
        return self._strike(lambda one: setattr(one, "trickles_until", until))

    async def outage(self, seconds: float) -> bool:
        """Nothing gets through, and connections are refused meanwhile."""
        self._refuses = True
        self.cut()
        try:
            await trio.sleep(seconds)
        finally:
            self._refuses = False
        return True

    def _strike(self, act: Callable[[Carried], object]) -> bool:
        struck = list(self._open)
        for one in struck:
            act(one)
        return bool(struck)

    # Carrying.

    async def _serve(self, near: trio.SocketStream) -> None:
        try:
            if self._refuses:
                raise OSError("an outage")
            far = await trio.open_tcp_stream(*self._target)
        except OSError:
            await trio.aclose_forcefully(near)
            return
        one = Carried(near, far)
        self._open.add(one)
        try:
            async with near, far:
                with one.life:
                    async with trio.open_nursery() as both:
                        both.start_soon(self._carry, one, near, far)
                        both.start_soon(self._carry, one, far, near)
        finally:
            self._open.discard(one)

    async def _carry(self, one: Carried, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            while data := await source.receive_some(READ):
                await trio.sleep_until(one.held_until)
                if source in one.swallowed:
                    continue
                while data and trio.current_time() < one.trickles_until:
                    size = self._random.randint(1, LARGEST_DRIP)
                    await sink.send_all(data[:size])
                    data = data[size:]
                    await trio.sleep(TRICKLE_SECONDS)
                if data:
                    await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass  # It is gone, or half closed.
        one.life.cancel()
