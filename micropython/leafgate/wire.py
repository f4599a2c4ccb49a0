"""Lines and payloads over a stream, through buffers that are made once.

A stream is what asyncio's is: `await readinto(buffer)` (0 at its end, None for nothing yet), `write(data)`, which takes
all of it, `await drain()`, which sends it, and `await wait_closed()`, which closes it.
"""

import asyncio
from micropython import const

_LONGEST_LINE = const(8192)  # INFO of a large cluster


async def open_tcp(host, port):
    stream, _ = await asyncio.open_connection(host, port)
    try:
        # A message may go out in pieces; they must not wait for each other's acknowledgement.
        stream.s.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    except (OSError, AttributeError):
        pass
    return stream


class Wire:
    def __init__(self, rx, tx, broken):
        self._broken = broken
        self._buffer = bytearray(rx)
        self._rx = memoryview(self._buffer)
        self._tx = memoryview(bytearray(tx))
        self._lock = asyncio.Lock()
        self.attach(None)

    def attach(self, stream):
        """Begin with what this stream brings."""
        self.stream = stream
        self._at = self._end = 0

    async def send(self, head, data=None):
        """`head` (str), then `data` with a CRLF behind it where it is not None. Cancelled, it breaks the connection."""
        head = head.encode()
        async with self._lock:
            stream = self.stream
            if not stream:
                raise OSError("not connected")
            try:
                if data is None:
                    stream.write(head)
                else:
                    end = len(head)
                    size = end + len(data) + 2
                    tx = self._tx
                    if size > len(tx):
                        stream.write(head)
                        stream.write(data)
                        stream.write(b"\r\n")
                    else:
                        tx[:end] = head
                        tx[end : size - 2] = data
                        tx[size - 2 : size] = b"\r\n"
                        stream.write(tx[:size])
                await stream.drain()
            except asyncio.CancelledError:
                self._broken()  # half a message may have gone
                raise

    async def line(self):
        """The next line, without its CRLF."""
        head = b""
        while True:
            found = self._buffer.find(b"\r\n", self._at, self._end)
            if found >= 0:
                line = bytes(self._rx[self._at : found])
                self._at = found + 2
                return head + line if head else line
            if self._end - self._at == len(self._rx):
                head += self._rx[: self._end - 1]  # the last may be half of a CRLF
                self._at = self._end - 1
                if len(head) > _LONGEST_LINE:
                    raise OSError("line too long")
            await self._fill()

    async def payload(self, size):
        """The next `size` bytes, which a CRLF follows."""
        if size + 2 <= len(self._rx):
            while self._end - self._at < size + 2:
                await self._fill()
            data = bytes(self._rx[self._at : self._at + size])
            self._at += size + 2
            return data
        data = bytearray(size)
        view = memoryview(data)
        done = self._end - self._at
        view[:done] = self._rx[self._at : self._end]
        self._at = self._end
        while done < size:
            done += await self._read(view[done:])
        await self.skip(2)
        return data

    async def skip(self, size):
        while size:
            if self._at == self._end:
                await self._fill()
            step = min(size, self._end - self._at)
            self._at += step
            size -= step

    async def _fill(self):
        rest = self._end - self._at
        if self._at:
            self._rx[:rest] = self._rx[self._at : self._end]
            self._at = 0
            self._end = rest
        self._end += await self._read(self._rx[rest:])

    async def _read(self, buffer):
        while True:
            count = await self.stream.readinto(buffer)
            if count:
                return count
            if count == 0:
                raise OSError("closed by the server")
