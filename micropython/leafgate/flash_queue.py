"""The outbox's queue in a file, for boards that may lose power at any time.

A record is kind (B), number (I), size (H), little-endian, that many bytes, and the CRC-32 of it all. The first says
what ids begin with and which messages are done; behind it come messages, and marks: what has a lower number is done. A
record that was not written to its end is overwritten by the next one.

Wear: a message is synced when it is queued, and what is done when that is all. When at least half of a full file is
done, and when all is done and half is used, what is left moves to a new file: no byte is written more than twice. On
LittleFS it comes to two blocks erased for each message; 1 MiB of flash (256 blocks, 100,000 erasures each) is good for
some ten million messages.
"""

import os
import struct
from binascii import crc32
from micropython import const

_NAME = const(83)  # S, the start of the file
_MESSAGE = const(77)  # M
_MARK = const(68)  # D
_HEAD = const(7)
_FRAME = const(11)  # what a record is longer than its bytes
_CHUNK = const(128)
_NO_FILE = const(2)
_NO_SPACE = const(28)


class FlashQueue:
    """See leafgate.outbox.Queue. `size` is that of the file: messages find room for at least half of it. With `drop`
    it is the oldest half that gives way.
    """

    def __init__(self, name, size, drop, path):
        self.name = name
        self.size = size
        self.drop = drop
        self.path = path
        self.sent = []
        self.count = 0
        self.live = 0  # bytes of the records of messages that are not done
        self.mark = 0  # numbers below are done
        self.next = 1
        self.at = self.end = 0  # of the next record to take, and of the last record
        try:
            os.stat(path)
        except OSError:
            try:
                os.rename(path + ".new", path)
            except OSError:
                pass
        self.file = None
        try:
            self.file = open(path, "r+b")
            self._load()
        except OSError as error:
            if error.errno != _NO_FILE:
                raise
        if not self.count:
            self._begin(name)
        # Should the file have lost its end, what comes now must not be taken for a repeat of what stood there.
        self.next += int.from_bytes(os.urandom(2), "little")

    def put(self, body):
        """How many had to give way."""
        need = len(body) + _FRAME
        if len(body) > 65535 or not self._fits(need, 0, 0):
            raise OSError(_NO_SPACE)
        dropped = 0
        if self.end + need + _FRAME * (self.count + 2) > self.size:
            while self.live * 2 > self.size or not self._fits(need, self.live, self.count):
                if not self.drop:
                    raise OSError(_NO_SPACE)
                self._forget(self.sent[0] if self.sent else self.take())
                dropped += 1
            self._move()
        self.end += _write(self.file, self.end, _MESSAGE, self.next, body, self.seed)
        self.file.flush()
        self.next += 1
        self.count += 1
        self.live += need
        return dropped

    def take(self):
        """The next one, now in `sent`; None where there is none."""
        while self.at < self.end:
            kind, number, size = self._head(self.at)
            body = self.file.read(size) if kind == _MESSAGE and number >= self.mark else None
            self.at += size + _FRAME
            if body is not None:
                self.taken = number
                self.sent.append([number, body, 0])
                return self.sent[-1]
        return None

    def done(self, entry):
        self._forget(entry)
        mark = self.sent[0][0] if self.sent else self.taken + 1
        if mark > self.mark:
            self.mark = mark
            if not self.count and self.end * 2 > self.size:
                self._move()
                return
            self.end += _write(self.file, self.end, _MARK, mark, b"", self.seed)
        if not self.count:
            self.file.flush()

    def _forget(self, entry):
        self.sent.remove(entry)
        self.count -= 1
        self.live -= len(entry[1]) + _FRAME

    def _fits(self, need, live, count):
        """Whether so much more would find room in a new file, with a mark for each message."""
        return len(self.name) + live + need + _FRAME * (count + 3) <= self.size

    def _head(self, at):
        self.file.seek(at)
        return struct.unpack("<BIH", self.file.read(_HEAD))

    def _begin(self, name):
        self.name = name
        self.seed = crc32(name.encode())
        self.mark = self.taken = self.next = 0
        if self.file:
            self.file.close()
        with open(self.path, "wb") as file:
            self.at = self.end = _write(file, 0, _NAME, 0, name.encode(), 0)
        self.file = open(self.path, "r+b")

    def _load(self):
        """Look at everything."""
        self.seed = 0
        kind, number, size = self._check() or (0, 0, 0)
        if kind != _NAME:
            return
        self.file.seek(_HEAD)
        name = self.file.read(size)
        self.name = name.decode()
        self.seed = crc32(name)
        self.mark = self.next = number
        self.end = start = size + _FRAME
        while True:
            kind, number, size = self._check() or (0, 0, 0)
            if kind == _MESSAGE and number >= self.next:  # or it is left over from behind a broken one
                self.next = number + 1
            elif kind == _MARK:
                self.next = max(self.next, number)
                self.mark = max(self.mark, number)
            else:
                break
            self.end += size + _FRAME
        self.taken = self.mark - 1
        self.at = self.end
        at = start
        while at < self.end:
            kind, number, size = self._head(at)
            if kind == _MESSAGE and number >= self.mark:
                self.at = min(self.at, at)
                self.count += 1
                self.live += size + _FRAME
            at += size + _FRAME

    def _check(self):
        """What stands at the head of the record at `end`; None where there is no whole one."""
        self.file.seek(self.end)
        head = self.file.read(_HEAD)
        if len(head) < _HEAD:
            return None
        found = struct.unpack("<BIH", head)
        left = found[2]
        crc = crc32(head, self.seed)
        while left:
            chunk = self.file.read(min(left, _CHUNK))
            if not chunk:
                return None
            crc = crc32(chunk, crc)
            left -= len(chunk)
        return found if self.file.read(4) == struct.pack("<I", crc) else None

    def _move(self):
        """What is not done goes to a new file, which takes the place of the old one once it is whole."""
        name = self.name.encode()
        mark = self.sent[0][0] if self.sent else self.taken + 1
        numbers = [entry[0] for entry in self.sent]
        with open(self.path + ".new", "wb") as file:
            end = _write(file, 0, _NAME, mark, name, 0)
            first = 0
            at = len(name) + _FRAME
            while at < self.end:
                kind, number, size = self._head(at)
                size += _FRAME
                if kind == _MESSAGE and (at >= self.at or number in numbers):
                    if at >= self.at and not first:
                        first = end
                    self.file.seek(at)
                    _copy(self.file, file, size)
                    end += size
                at += size
            file.flush()
        self.file.close()
        try:
            os.rename(self.path + ".new", self.path)
        except OSError:  # FAT replaces nothing
            os.remove(self.path)
            os.rename(self.path + ".new", self.path)
        self.file = open(self.path, "r+b")
        self.mark = mark
        self.end = end
        self.at = first or end


def _copy(source, target, size):
    while size:
        chunk = source.read(min(size, _CHUNK))
        target.write(chunk)
        size -= len(chunk)


def _write(file, at, kind, number, body, seed):
    """How long the record has become."""
    head = struct.pack("<BIH", kind, number, len(body))
    file.seek(at)
    file.write(head)
    file.write(body)
    file.write(struct.pack("<I", crc32(body, crc32(head, seed))))
    return len(body) + _FRAME
