"""Lines and payloads over a stream.

A stream is what asyncio's is: `await readinto(buffer)` (0 at its end, None for nothing yet), `write(data)`, which takes
all of it, `await drain()`, which sends it, and `await wait_closed()`, which closes it.
"""

import asyncio
from micropython import const

_LONGEST_LINE = const(8192)  # INFO of a large cluster


async def open_tcp(host, port):
    stream = (await asyncio.open_connection(host, port))[0]
    try:
        # A message may go out in pieces; they must not wait for each other's acknowledgement.
        stream.s.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    except (OSError, AttributeError):
        pass
    return stream


class Wire:
    """One connection. The buffers, rx and tx, serve all connections one after the other; `reader` is the task that
    reads, and is cancelled where the connection is spoiled.
    """

    def __init__(self, stream, rx, tx, reader):
        self.stream = stream
        self.buf = rx
        self.rx = memoryview(rx)
        self.tx = memoryview(tx)
        self.reader = reader
        self.start = self.end = 0  # of what is in rx
        self.task = None  # that sends
        self.wake = None  # an Event where others wait to send

    async def send(self, head, data=None):
        """`head` (str), then `data` with a CRLF behind it where it is not None. Cancelled, it spoils the connection."""
        while self.task:
            if not self.wake:
                self.wake = asyncio.Event()
            await self.wake.wait()
        stream = self.stream
        if not stream:
            raise OSError("connection lost")
        self.task = asyncio.current_task()
        try:
            head = head.encode()
            if data is not None:
                size = len(head)
                end = size + len(data)
                tx = self.tx
                if end + 2 <= len(tx):
                    tx[:size] = head
                    tx[size:end] = data
                    tx[end : end + 2] = b"\r\n"
                    head = tx[: end + 2]
                    data = None
            stream.write(head)
            if data is not None:
                stream.write(data)
                stream.write(b"\r\n")
            await stream.drain()
        except asyncio.CancelledError:
            if not self.stream:
                raise OSError("connection lost")
            if self.task is not self.reader:
                self.reader.cancel()  # half a message may have gone
            raise
        finally:
            self.task = None
            if self.wake:
                self.wake.set()
                self.wake = None
                await asyncio.sleep_ms(0)  # who waits comes before our next message

    async def line(self):
        """The next line, without its CRLF."""
        head = b""
        while True:
            found = self.buf.find(b"\r\n", self.start, self.end)
            if found >= 0:
                line = bytes(self.rx[self.start : found])
                self.start = found + 2
                return head + line if head else line
            if self.end - self.start == len(self.rx):
                head += self.rx[: self.end - 1]  # the last may be half of a CRLF
                self.start = self.end - 1
                if len(head) > _LONGEST_LINE:
                    raise OSError("line too long")
            await self.fill()

    async def read(self, size):
        """The next `size` bytes, which a CRLF follows; a bytearray where the buffer is too small for them."""
        if size + 2 <= len(self.rx):
            while self.end - self.start < size + 2:
                await self.fill()
            data = bytes(self.rx[self.start : self.start + size])
            self.start += size + 2
            return data
        data = bytearray(size)
        await self.skip(size, data)
        await self.skip(2)
        return data

    async def skip(self, size, data=None):
        """Move the next `size` bytes to the bytearray `data`, or nowhere."""
        done = 0
        while done < size:
            if self.start == self.end:
                await self.fill()
            step = min(size - done, self.end - self.start)
            if data:
                data[done : done + step] = self.rx[self.start : self.start + step]
            done += step
            self.start += step

    async def fill(self):
        """Read what there is, behind what has not been taken."""
        rest = self.end - self.start
        if self.start:
            self.rx[:rest] = self.rx[self.start : self.end]
            self.start = 0
            self.end = rest
        count = await self.stream.readinto(self.rx[rest:])
        if count == 0:
            raise OSError("closed by the server")
        self.end += count or 0

    async def close(self):
        """Who still sends is told."""
        stream = self.stream
        self.stream = None
        if self.task:
            self.task.cancel()
        try:
            await stream.wait_closed()
        except OSError:
            pass
