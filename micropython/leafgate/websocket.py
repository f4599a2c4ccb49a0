"""WebSocket, the client's end (RFC 6455), as a stream over a stream: binary frames, only their content counts."""

import asyncio
import os
from binascii import b2a_base64
from hashlib import sha1
from micropython import const

_BINARY = const(2)
_CLOSE = const(8)
_PING = const(9)
_PONG = const(10)
_LONGEST_ANSWER = const(2048)
_MASKED_AT_ONCE = const(256)


async def open_websocket(scheme, host, port, tls, path="/"):
    """A stream; `scheme` is ws or wss, `tls` what leafgate.tls takes. OSError: no WebSocket there."""
    from leafgate.wire import open_tcp

    stream = await open_tcp(host, port)
    try:
        if scheme == "wss":
            from leafgate.tls import upgrade

            stream = await upgrade(stream, host, tls)
        if ":" in host:
            host = "[%s]" % host
        return WebSocket(stream, await _shake_hands(stream, "%s:%d" % (host, port), path))
    except BaseException:
        await stream.wait_closed()
        raise


async def _shake_hands(stream, host, path):
    """What came behind the server's answer."""
    key = b2a_base64(os.urandom(16))[:-1]
    request = (
        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    )
    stream.write((request % (path, host)).encode() + b"Sec-WebSocket-Key: %s\r\n\r\n" % key)
    await stream.drain()
    answer = b""
    buffer = bytearray(256)
    while b"\r\n\r\n" not in answer:
        count = await stream.readinto(buffer)
        if count == 0 or len(answer) > _LONGEST_ANSWER:
            raise OSError("no WebSocket: %s" % answer.split(b"\r\n")[0][:60])
        answer += buffer[: count or 0]
    head, rest = answer.split(b"\r\n\r\n", 1)
    status, *lines = head.split(b"\r\n")
    if status.split(b" ")[1:2] != [b"101"]:
        raise OSError("no WebSocket: %s" % status[:60])
    told = {}
    for line in lines:
        name, _, value = line.partition(b":")
        told[name.strip().lower()] = value.strip()
    accept = sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    if (
        told.get(b"upgrade", b"").lower() != b"websocket"
        or b"upgrade" not in told.get(b"connection", b"").lower()
        or told.get(b"sec-websocket-accept") != b2a_base64(accept)[:-1]
        or b"sec-websocket-extensions" in told  # 4.1: what was not asked for
        or b"sec-websocket-protocol" in told
    ):
        raise OSError("no WebSocket: a wrong answer")
    return rest


class WebSocket:
    """What is written up to a drain is one frame, masked with a key of its own. Memory does not grow with frames."""

    def __init__(self, stream, rest=b""):
        self._stream = stream
        self._rest = rest
        self._out = []
        self._answer = None  # to the last ping
        self._lock = asyncio.Lock()
        self._head = b""  # of the frame that comes, as far as it is there
        self._left = 0  # bytes of its content
        self._control = None  # the content of a control frame, or None
        self._opcode = 0
        self._whole = True  # not within a fragmented message
        self._ended = False

    async def readinto(self, buffer):
        if self._ended:
            return 0
        rest = self._rest
        if rest:
            count = min(len(rest), len(buffer))
            buffer[:count] = rest[:count]
            self._rest = rest[count:]
        else:
            count = await self._stream.readinto(buffer)
            if not count:
                return count
        view = memoryview(buffer)
        done = at = 0
        while at < count:
            if not self._left:
                at = self._take_head(view, at, count)
            step = min(self._left, count - at)
            if self._control is not None:
                self._control += view[at : at + step]
            else:
                if done != at:
                    view[done : done + step] = view[at : at + step]
                done += step
            at += step
            self._left -= step
            if self._control is not None and not self._left and not self._head:
                await self._on_control(self._opcode, self._control)
                self._control = None
                if self._ended:
                    break
        return done or (0 if self._ended else None)

    def _take_head(self, view, at, count):
        """Look at the next bytes of a frame's head (5.2); the place behind them."""
        head = self._head
        while True:
            short = head[1] & 127 if len(head) > 1 else 0
            size = 2 if short < 126 else 4 if short == 126 else 10
            if len(head) == size or at == count:
                break
            step = min(size - len(head), count - at)
            head += view[at : at + step]
            at += step
        if len(head) < size:
            self._head = head
            return at
        self._head = b""
        self._left = short if size == 2 else int.from_bytes(head[2:], "big")
        opcode, last = head[0] & 15, head[0] >> 7
        if head[0] & 0x70 or head[1] >> 7:  # extensions; masked by a server
            raise OSError("WebSocket: a bad frame")
        if opcode >= _CLOSE:
            if opcode > _PONG or not last or short > 125:  # 5.5
                raise OSError("WebSocket: a bad control frame")
            self._opcode = opcode
            self._control = b""
        else:
            if opcode != (_BINARY if self._whole else 0):  # 5.4
                raise OSError("WebSocket: no binary message")
            self._whole = last
        return at

    async def _on_control(self, opcode, content):
        if opcode == _PING:
            self._answer = content
            if not self._lock.locked():  # who has it sends the answer, too
                await self.drain()
        elif opcode == _CLOSE:
            self._ended = True

    def write(self, data):
        self._out.append(data)

    async def drain(self):
        async with self._lock:
            while self._out or self._answer is not None:
                if self._answer is not None:
                    content, self._answer = (self._answer,), None
                    await self._send(_PONG, content)
                if self._out:
                    content, self._out = self._out, []
                    await self._send(_BINARY, content)

    async def wait_closed(self):
        try:
            if not self._lock.locked():
                # 5.5.1; whether it goes out does not matter any more.
                self._stream.write(_frame(_CLOSE, 2, bytes(4)) + b"\x03\xe8")
        except OSError:
            pass
        await self._stream.wait_closed()

    async def _send(self, opcode, pieces):
        """One frame; whoever has the lock may."""
        size = 0
        for piece in pieces:
            size += len(piece)
        key = os.urandom(4)
        head = _frame(opcode, size, key)
        for piece in pieces:
            view = memoryview(piece)
            for at in range(0, len(piece), _MASKED_AT_ONCE):
                part = view[at : at + _MASKED_AT_ONCE]
                self._stream.write(head + _masked(part, key))
                await self._stream.drain()
                head = b""
                turn = len(part) & 3
                key = key[turn:] + key[:turn]
        if head:  # there was no content
            self._stream.write(head)
            await self._stream.drain()


def _frame(opcode, size, key):
    """The head of a frame that is whole and masked (5.2)."""
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + key
    if size < 65536:
        return bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big") + key
    return bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big") + key


def _masked(data, key):
    """As one large number; a loop over the bytes takes four times as long and more."""
    size = len(data)
    number = int.from_bytes(data, "little") ^ int.from_bytes(key * (size // 4) + key[: size & 3], "little")
    return number.to_bytes(size, "little")
