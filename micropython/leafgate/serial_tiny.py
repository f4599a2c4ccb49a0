# The serial link's tiny profile (protocols/serial_link/README.md, 6) with the least of a NATS client on it, for boards
# with less than 12 KB of heap and neither asyncio nor binascii, such as the micro:bit. Nothing runs in the background:
# poll() does what is due. It imports nothing of this package; a loader may compile one method after the other.
# Calls nest little: the micro:bit's stack takes six.

from array import array
from random import getrandbits
from time import ticks_diff, ticks_ms

from micropython import const, kbd_intr

_HELLO = const(0x10)
_DATA = const(0x11)
_ACK = const(0x12)
_PING = const(0x13)
_PONG = const(0x14)
_BYE = const(0x16)
_LONGEST = const(128)  # of a line, and of a message with its line: what is longer is dropped, messages are counted
_RETRY = const(100)  # ms

# CRC-32 by nibbles in 16-bit halves: integers stay small ones.
_LOW = array(
    "H",
    (
        0x0000,
        0x1064,
        0x20C8,
        0x30AC,
        0x4190,
        0x51F4,
        0x6158,
        0x713C,
        0x8320,
        0x9344,
        0xA3E8,
        0xB38C,
        0xC2B0,
        0xD2D4,
        0xE278,
        0xF21C,
    ),
)
_HIGH = array(
    "H",
    (
        0x0000,
        0x1DB7,
        0x3B6E,
        0x26D9,
        0x76DC,
        0x6B6B,
        0x4DB2,
        0x5005,
        0xEDB8,
        0xF00F,
        0xD6D6,
        0xCB61,
        0x9B64,
        0x86D3,
        0xA00A,
        0xBDBD,
    ),
)


def crc32(data, seed):
    # zlib's crc32(data, seed); seed and result are four bytes, little endian. Of data and its own CRC it is 0x2144DF1C.
    low = ~(seed[0] | seed[1] << 8) & 0xFFFF
    high = ~(seed[2] | seed[3] << 8) & 0xFFFF
    for c in data:
        for n in c, c >> 4:
            n = (low ^ n) & 15
            low = (low >> 4 | (high & 15) << 12) ^ _LOW[n]
            high = high >> 4 ^ _HIGH[n]
    return bytes((~low & 255, ~low >> 8 & 255, ~high & 255, ~high >> 8 & 255))


class Client:
    # uart: a stream whose readinto() does not wait. name: device and client. line: what the UART's buffer holds; frames
    # fit into it even if each byte is escaped. console: the UART is the REPL's, whose Ctrl-C is turned off then.
    # After the end of a session poll() begins another, subscriptions included. What did not arrive before is lost.

    def __init__(self, uart, name="", line=64, console=True):
        self.uart = uart
        self.name = bytes(name, "utf-8")
        self.damaged = self.resent = self.dropped = 0  # frames, frames, messages that were too long
        self.error = None  # the gateway's last -ERR
        self._mtu = mtu = min(line // 2 - 8, 64)
        self._about = bytes((mtu, 0, line & 255, line >> 8, console, 0, len(self.name))) + self.name
        self._piece = bytearray(32)
        self._part = b""
        self._subs = []
        self._busy = False
        if console:
            kbd_intr(-1)
        self._end()

    def _end(self):
        # Forget the session. Its successor begins both streams anew.
        self.up = self.connected = self._login = self._used = False
        self._sid = bytes((getrandbits(8), getrandbits(8), getrandbits(8), 1))
        self._peer = bytes(4)
        self._in = self._out = self._flight = b""
        self._seq = self._next_in = self._edge = self._skip = self._owed = 0
        self._heard = self._said = ticks_ms()

    # The link: one frame on its way in each direction.

    def _step(self):
        # Take one frame, and say at most one.
        end = self._part.find(b"\xc0")
        if end < 0:
            n = self.uart.readinto(self._piece)
            if n:
                self._part = self._part[-144:] + bytes(self._piece[:n])
        else:
            body = bytearray()
            flip = 0
            for c in self._part[:end]:
                if c == 0xC1:
                    flip = 32
                else:
                    body.append(c ^ flip)
                    flip = 0
            self._part = self._part[end + 1 :]
            if len(body) > 7 and crc32(body, bytes(4) if body[0] == _HELLO else self._peer) == b"\x1c\xdf\x44\x21":
                self._take(bytes(body))
            elif body:
                self.damaged += 1
                self._owed = self._owed or _ACK
        kind = self._due()
        if kind:
            body = self._payload(kind)
            body += crc32(body, self._sid if kind != _HELLO else bytes(4))
            wire = bytearray(b"\xc0")
            for c in body:
                if c & 0xFE == 0xC0 or (c < 32 and kind == _HELLO):
                    wire.append(0xC1)
                    c ^= 32
                wire.append(c)
            wire.append(0xC0)
            self.uart.write(wire)

    def _take(self, body):
        # A frame whose check sum held.
        kind, seq, ack, credit = body[:4]
        if kind == _HELLO:
            sid = body[8:12]
            if body[4:7] != b"NL1" or sid == self._sid:
                return
            known = body[12:16] == self._sid
            if body[7] & 1 or not known:
                self._owed = _HELLO
            if sid == bytes(4):
                return
            if self._used and not (known and sid == self._peer):
                self._end()  # the gateway has forgotten us
                return
            self._peer = sid
            if self.up or not known:
                return
            self.up = self._used = True
            self._owed = self._owed or _ACK
        elif not self.up:
            return
        self._heard = ticks_ms()
        self._edge = credit
        if self._flight and ack == (self._seq + 1) & 255:
            self._seq = ack
            self._flight = b""
        if kind == _DATA:
            if seq == self._next_in and len(self._in) <= _LONGEST:
                self._next_in = (seq + 1) & 255
                self._in += body[4:-4]
            self._owed = self._owed or _ACK
        elif kind == _PING:
            self._owed = _PONG
        elif kind == _BYE:
            self._end()

    def _due(self):
        # The kind of frame that is to be said now, or 0. Each tells what has arrived, so DATA stands for ACK.
        now = ticks_ms()
        said = ticks_diff(now, self._said) > 250
        kind = self._owed
        silent = ticks_diff(now, self._heard)
        if not self.up:
            kind = _HELLO if said or kind == _HELLO else 0
        elif silent > 3000:
            self.up = False
        elif kind and kind != _ACK:
            pass
        elif self._flight:
            if ticks_diff(now, self._since) > self._rto:
                self._rto = min(self._rto * 2, 2000)
                self.resent += 1
                kind = _DATA
        elif self._out and self._edge:
            self._flight = self._out[: self._mtu]
            self._out = self._out[self._mtu :]
            self._rto = _RETRY
            kind = _DATA
        elif not kind and said and silent > (1000 if self._edge else 250):
            kind = _PING
        self._owed = 0
        if kind in (_HELLO, _PING):
            self._said = now
        elif kind == _DATA:
            self._since = now
        return kind

    def _payload(self, kind):
        # The frame's bytes before its check sum.
        self._told = len(self._in) <= _LONGEST
        head = bytes((kind, self._seq if kind == _DATA else 0, self._next_in, self._told))
        if kind == _DATA:
            return head + self._flight
        if kind == _HELLO:
            return head + b"NL1" + bytes((not self.up,)) + self._sid + self._peer + self._about
        return head

    # The client.

    def publish(self, subject, data=b"", reply=""):
        # Waits for what was published before, but not for a silent gateway and not in a callback. False when it finds
        # no room then, and without a connection.
        if isinstance(data, str):
            data = bytes(data, "utf-8")
        while self._out and self.up and not self._busy:
            self._step()
        if not self.connected or len(self._out) > _LONGEST:
            return False
        self._out += bytes("PUB %s %s %d\r\n" % (subject, reply, len(data)), "utf-8") + data + b"\r\n"
        return True

    def subscribe(self, subject, callback, queue=""):
        # callback(subject, data); what it returns, if not None, answers a request. It may publish, but not poll.
        self._subs.append(callback)
        line = bytes("SUB %s %s %d\r\n" % (subject, queue, len(self._subs)), "utf-8")
        self._subs.append(line)
        if self._login:
            self._out += line

    def poll(self):
        # Call it often: takes what has come, calls back for one message at most. Whether there is a connection.
        self._step()
        if self.up and not self._login:
            self._login = True
            self._out = b'CONNECT {"verbose":false,"name":"' + self.name + b'"}\r\n'
            self._out += b"".join(self._subs[1::2]) + b"PING\r\n"
        message = None if len(self._out) > _LONGEST else self._next()  # a callback finds room to publish
        if message:
            subject, number, reply, data = message
            self._busy = True
            try:
                answer = self._subs[number - 1](subject, data)
                if answer is not None and reply:
                    self.publish(reply, answer)
            finally:
                self._busy = False
        if self.up and not self._told and len(self._in) <= _LONGEST:
            self._owed = self._owed or _ACK  # there is room again
        return self.connected

    def _next(self):
        # Take one line of the stream; what a message holds. _skip: bytes to drop, or -1: up to the line's end.
        data = self._in
        skip = self._skip
        if skip > 0:
            self._in = data[skip:]
            self._skip = max(skip - len(data), 0)
            return None
        stop = data.find(b"\r\n") + 2
        if stop < 2:
            if len(data) > _LONGEST:
                self._in = data[-1:]
                self._skip = -1
            return None
        self._skip = 0
        self._in = data[stop:]
        if skip:
            return None
        line = data[: stop - 2]
        if line.startswith(b"MSG "):
            words = str(line, "utf-8").split(" ")
            end = stop + int(words[-1])
            if end + 2 > _LONGEST:
                self.dropped += 1
                self._skip = end + 2 - stop
            elif len(data) < end + 2:
                self._in = data
            else:
                self._in = data[end + 2 :]
                return words[1], int(words[2]), words[3] if len(words) > 4 else "", data[stop:end]
        elif line == b"PING":
            self._out += b"PONG\r\n"
        elif line == b"PONG":
            self.connected = True
        elif line.startswith(b"-ERR"):
            self.error = line
        return None

    def close(self):
        # What was published has a second to arrive.
        since = ticks_ms()
        while (self._out or self._flight) and ticks_diff(ticks_ms(), since) < 1000:
            self._step()
        self._owed = _BYE
        self._step()
        self._end()
