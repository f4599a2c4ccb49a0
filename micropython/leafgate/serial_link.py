# Serial link, the device's end: a reliable byte stream over a UART, as protocols/serial_link/README.md specifies it.
# `await leafgate.connect(SerialLink(uart))`. It opens streams, one after the other, and is the one that is open. A link
# keeps its UART for good; after the end of a session (readinto gives 0) open() begins another.

import asyncio
import os
from asyncio import core
from binascii import crc32
from micropython import const
from struct import pack, unpack_from
from time import ticks_add, ticks_diff, ticks_ms, ticks_us

_HELLO = const(0x10)
_DATA = const(0x11)
_ACK = const(0x12)
_PING = const(0x13)
_PONG = const(0x14)
_BAUD = const(0x15)
_BYE = const(0x16)
_WINDOW = const(32)

# A DATA frame on its way: a list of its number, place in the ring, size, order of sending, time of sending (0: more
# than once) and what became of it.
_SEQ = const(0)
_AT = const(1)
_SIZE = const(2)
_ORDER = const(3)
_TIME = const(4)
_STATE = const(5)
_SENT = const(1)
_LOST = const(2)
_THERE = const(3)


class SerialLink:
    # uart: machine.UART(..., timeout=0, rxbuf=line) or another stream that can be polled. baud: 0 for USB, which has
    # none. rx, tx: bytes of the stream that are kept. set_baud: a function that changes the rate, or None. console: the
    # line acts on control characters.
    def __init__(self, uart, name="", baud=115200, mtu=256, rx=2048, tx=2048, line=4096, set_baud=None, console=False):
        self.uart = uart
        self.name = name.encode()[:64]
        self.baud = self._base = baud
        self.mtu = mtu
        self.up = False
        self.damaged = 0
        self._line = line
        self._set_baud = set_baud
        self._console = console
        self._rx = memoryview(bytearray(rx))
        self._tx = memoryview(bytearray(tx))
        self._frame = memoryview(bytearray(max(mtu, 96) + 4))
        self._wire = memoryview(bytearray(2 * len(self._frame) + 10))
        self._part = memoryview(bytearray(len(self._wire)))
        self._moved = asyncio.Event()  # for the application
        self._work = asyncio.Event()  # for the sender
        self._idle = None
        self._heard = self._old = 0
        self._end()

    def _end(self):
        # Forget the session; its frames validate nowhere any more.
        self.up = self._used = self._wanted = False
        self._sid = unpack_from("<I", os.urandom(4))[0] or 1
        self._peer = self._edge = self._next_in = self._owed = 0
        self._seq = self._order = self._rtt = 0
        self._due = None
        self._early = {}
        self._flight = []
        self._says = []
        self._out = []
        self._flying = self._wired = 0  # bytes of the stream, and of the line
        self._moved.set()

    # The stream.

    async def open(self):
        # A session of its own with the gateway; waits until there is one.
        self._end()
        self._rx_at = self._rx_n = self._tx_at = self._tx_n = 0
        self._wanted = True
        if self._idle is None:
            for task in self._receive, self._send, self._clock:
                asyncio.create_task(task())
        self._hello(1)
        while self.up < self._wanted:  # it may have begun and ended at once
            await self._move()
        return self

    async def readinto(self, buf):
        while self._wanted and not self._rx_n:
            await self._move()
        at = self._rx_at
        n = min(len(buf), self._rx_n, len(self._rx) - at)
        buf[:n] = self._rx[at : at + n]
        self._rx_at = (at + n) % len(self._rx)
        self._rx_n -= n
        if self._credit() - self._told >= len(self._rx) >> 7:  # half of it, in units of 64
            self._owe(True)
        return n

    def write(self, data):
        self._out.append(memoryview(data))

    async def drain(self):
        # Returns when everything is accepted; OSError when the session has ended.
        size = len(self._tx)
        while self._out and self._wanted:
            data = self._out[0]
            end = (self._tx_at + self._tx_n) % size
            n = min(len(data), size - self._tx_n, size - end)
            if n:
                self._tx[end : end + n] = data[:n]
                self._tx_n += n
                self._out[0] = data = data[n:]
                self._work.set()
            if not data:
                self._out.pop(0)
            elif not n:
                await self._move()
        if not self._wanted:
            raise OSError

    async def wait_closed(self):
        # What was written has a second to arrive.
        for _ in range(50):
            if self.up and self._tx_n:
                await asyncio.sleep_ms(20)
        if self.up:
            self._say(_BYE)
            await asyncio.sleep_ms(50)
        self._end()

    async def _move(self):
        self._moved.clear()
        await self._moved.wait()

    # Sending.

    def _credit(self):
        return min((len(self._rx) - self._rx_n) >> 6, 255)

    def _owe(self, now):
        # An acknowledgement is due: at once, or in 10 ms.
        if now or self._idle:
            self._due = ticks_ms()
            self._work.set()
        elif self._due is None:
            self._due = ticks_add(ticks_ms(), 10)

    def _say(self, kind, seq=0, payload=b""):
        if len(self._says) < 8:
            self._says.append((kind, seq, payload))
        self._work.set()

    def _hello(self, ask):
        b = pack(
            "<3sBIIHHHB",
            b"NL1",
            ask,
            self._sid,
            self._peer,
            self.mtu,
            self._line,
            self._console + 2 * bool(self._set_baud),
            len(self.name),
        )
        self._said = ticks_ms()
        self._say(_HELLO, 0, b + self.name)

    def _next(self):
        # Make the next frame in _wire; where it ends, or None.
        if self._says:
            kind, seq, payload = self._says.pop(0)
            n = len(payload)
            self._frame[4 : 4 + n] = payload
            return self._encode(kind, seq, n)
        if not self.up:
            return None
        due = self._due is not None and ticks_diff(ticks_ms(), self._due) >= 0
        f = None if self._old or (due and self._early) else self._pick()
        if f:
            seq, at, n = f[:3]
            head = min(n, len(self._tx) - at)
            self._frame[4 : 4 + head] = self._tx[at : at + head]
            self._frame[4 + head : 4 + n] = self._tx[: n - head]
            self._order = f[_ORDER] = (self._order + 1) & 0x3FFF
            f[_STATE] = _SENT
            self._wired += n + 9
            kind = _DATA
        elif due:
            kind = _ACK
            seq = n = bits = 0
            for s in self._early:
                bits |= 1 << ((s - self._next_in - 1) & 255)
                n = 4
            self._frame[4:8] = pack("<I", bits)
        else:
            return None
        if kind == _ACK or not self._early:
            self._due = None
            self._owed = 0
        return self._encode(kind, seq, n)

    def _pick(self):
        # The DATA frame to send: a lost one, else a new one that the gateway has room for.
        for f in self._flight:
            if f[_STATE] == _LOST:
                f[_TIME] = 0
                return f
        free = self._edge - self._flying
        n = min(self._tx_n - self._flying, self.mtu, self._pmtu)
        if n <= 0 or free <= 0 or len(self._flight) >= _WINDOW:
            return None
        if not self._flight:
            n = min(n, free)
            self._arm()
        elif n > free or self._wired + n + 9 > self._pline:
            return None
        f = [self._seq, (self._tx_at + self._flying) % len(self._tx), n, 0, ticks_ms() | 1, 0]
        self._flight.append(f)
        self._flying += n
        self._seq = (self._seq + 1) & 255
        return f

    def _encode(self, kind, seq, n):
        f = self._frame
        f[0] = kind
        f[1] = seq
        f[2] = self._next_in
        f[3] = self._told = self._credit()
        n += 4
        body = bytes(f[:n])
        body += pack("<I", crc32(body, 0 if kind == _HELLO else self._sid))
        body = body.replace(b"\xc1", b"\xc1\xe1").replace(b"\xc0", b"\xc1\xe0")
        if kind == _HELLO or self._console:
            for c in range(32):
                body = body.replace(bytes((c,)), bytes((0xC1, c ^ 32)))
        n = len(body) + 1
        self._wire[1:n] = body
        self._wire[0] = self._wire[n] = 0xC0
        return n + 1

    async def _send(self):
        free = 0
        while True:
            n = self._next()
            if n is None:
                free = 0
                self._work.clear()
                if self._old < 0:
                    await asyncio.sleep_ms(50)  # the answer must have left
                    self._old, new = self.baud, -self._old
                    self._rate(new)
                await self._work.wait()
                continue
            data = self._wire[1 if free else 0 : n]  # behind silence an END comes first
            while data:
                yield core._io_queue.queue_write(self.uart)
                data = data[self.uart.write(data) or 0 :]
            # No more than 20 ms of the line wait in the system: what is urgent would wait behind.
            now = ticks_us()
            if not free or ticks_diff(free, now) < 0:
                free = now
            free = ticks_add(free, self.baud and n * 10000000 // self.baud) | 1
            ahead = ticks_diff(free, now)
            if ahead > 20000:
                await asyncio.sleep_ms((ahead - 10000) // 1000)

    def _rate(self, baud):
        try:
            self._set_baud(baud)
            self.baud = baud
        except Exception:
            pass  # the gateway comes back to the rate that was
        self._heard = ticks_ms()

    def _arm(self):
        self._since = ticks_ms()
        floor = self.baud and 20 + 30000 * (self.mtu + 9) // self.baud
        self._rto = max(2 * self._rtt + 10 if self._rtt else 200, floor)

    def _lose(self, f):
        if f[_STATE] == _SENT:
            f[_STATE] = _LOST
            self._wired -= f[_SIZE] + 9

    def _acked(self, ack, credit, bits):
        flight = self._flight
        if (self._seq - ack) & 255 > len(flight):
            return
        newest = None
        for f in flight:
            k = (f[_SEQ] - ack) & 255
            if (k > 127 or (k and bits >> (k - 1) & 1)) and f[_STATE] != _THERE:
                self._lose(f)
                f[_STATE] = _THERE
                if newest is None or (f[_ORDER] - newest) & 0x3FFF < 0x2000:
                    newest = f[_ORDER]
                    if f[_TIME]:
                        rtt = ticks_diff(ticks_ms(), f[_TIME])
                        self._rtt = ((self._rtt or rtt) * 7 + rtt + 8) >> 3
        while flight and flight[0][_SEQ] != ack:
            n = flight.pop(0)[_SIZE]
            self._tx_at = (self._tx_at + n) % len(self._tx)
            self._tx_n -= n
            self._flying -= n
        self._edge = credit
        if newest is not None:
            for f in flight:
                # A line keeps the order: what went before something that arrived is lost.
                if (newest - f[_ORDER]) & 0x3FFF < 0x2000:
                    self._lose(f)
            self._arm()
            self._moved.set()
        self._work.set()

    # Receiving.

    async def _receive(self):
        part = self._part
        fill = 0
        while True:
            yield core._io_queue.queue_read(self.uart)
            data = self.uart.read(512) or b""
            if not data:
                await asyncio.sleep_ms(20)  # unplugged
            start = 0
            while start <= len(data):
                end = data.find(b"\xc0", start)
                stop = len(data) if end < 0 else end
                n = stop - start
                if fill + n <= len(part):
                    part[fill : fill + n] = data[start:stop]
                fill += n
                start = stop + 1
                if end >= 0:
                    if fill <= len(part) and self._wanted:
                        self._take(bytes(part[:fill]))
                    fill = 0

    def _take(self, body):
        body, *rest = body.split(b"\xc1")
        for p in rest:
            if p:
                body += bytes((p[0] ^ 32,)) + p[1:]
        n = len(body) - 4
        if n < 4:
            return
        kind, seq, ack, credit = body[:4]
        if crc32(memoryview(body)[:n], 0 if kind == _HELLO else self._peer) != unpack_from("<I", body, n)[0]:
            self.damaged += 1
            if self.up:
                self._owe(True)
        elif kind == _HELLO:
            if n >= 23:
                self._greet(body, ack, credit << 6)
        elif self.up:
            self._heard = ticks_ms()
            word = unpack_from("<I", body, 4)[0]  # of payload or check sum
            if kind <= _PONG:
                self._acked(ack, credit << 6, word if kind == _ACK and n == 8 else 0)
                if self._old > 0:
                    self._old = 0  # the new rate works
            if kind == _DATA:
                self._arrived(seq, body[4:n])
            elif kind == _PING:
                self._say(_PONG)
            elif kind == _BYE:
                self._end()
            elif kind == _BAUD and not seq and n >= 8:
                if self._set_baud:
                    self._old = -word
                self._say(_BAUD, 1 if self._set_baud else 2, body[4:8])

    def _arrived(self, seq, payload):
        if seq != self._next_in:
            if (seq - self._next_in) & 255 <= _WINDOW:
                self._early[seq] = payload
            self._owe(True)
            return
        gap = len(self._early)
        size = len(self._rx)
        while payload is not None and len(payload) <= size - self._rx_n:
            n = len(payload)
            end = (self._rx_at + self._rx_n) % size
            head = min(n, size - end)
            self._rx[end : end + head] = payload[:head]
            self._rx[: n - head] = payload[head:]
            self._rx_n += n
            self._next_in = (self._next_in + 1) & 255
            payload = self._early.pop(self._next_in, None)
        self._moved.set()
        self._owed += 1
        self._owe(gap or self._owed > 3)

    def _greet(self, body, ack, credit):
        magic, ask, sid, peer, mtu, line = unpack_from("<3sBIIHH", body, 4)
        if magic != b"NL1" or sid == self._sid:
            return
        known = peer == self._sid
        if sid:
            if self._used and not (known and sid == self._peer):
                self._end()  # the gateway has forgotten us
                return
            self._peer = sid
            if known and not self.up:
                self.up = self._used = True
                self._heard = ticks_ms()
                self._pmtu = mtu
                self._pline = line
                self._acked(ack, credit, 0)
                for f in self._flight:
                    self._lose(f)
                self._owe(True)
                self._moved.set()
        if ask & 1 or not known:
            self._hello(not self.up)

    # Time.

    async def _clock(self):
        while True:
            self._idle = self._due is None and not self._flight
            await asyncio.sleep_ms(50 if self._idle else 10)
            if not self._wanted:
                continue
            now = ticks_ms()
            silent = ticks_diff(now, self._heard)
            if self._old > 0 and silent > 500:
                self._rate(self._old)
                self._old = 0
            elif silent > 3000:
                self.up = False
                if self.baud != self._base:
                    self._rate(self._base)
            if not self.up:
                if ticks_diff(now, self._said) > 250:
                    self._hello(1)
                continue
            if self._due is not None:
                self._work.set()
            if self._flight and ticks_diff(now, self._since) > self._rto:
                self._since = now
                self._rto = min(self._rto * 2, 2000)
                for f in self._flight:
                    if f[_STATE] != _THERE:
                        self._lose(f)
                        self._work.set()
                        break
            if silent > (250 if self._tx_n > self._flying == 0 else 1000) and ticks_diff(now, self._said) > 250:
                self._said = now
                self._say(_PING)
