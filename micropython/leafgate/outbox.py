"""At-least-once publishing: a message waits in a bounded queue until a server has acknowledged it.

Each carries an id (Nats-Msg-Id), so that a repeat of one that had arrived is recognised: by the gateway, which answers
once the message is on its disk, and by JetStream.
"""

import asyncio
import json
import os
from binascii import hexlify
from leafgate.headers import decode
from leafgate.subscription import Subscription
from micropython import const
from time import ticks_add, ticks_diff, ticks_ms

_PAUSE_MS = const(2000)
_LONGEST_PAUSE_MS = const(60000)
_ENTRY = const(32)  # what one takes beside its bytes
_NO_SPACE = const(28)


class Outbox(Subscription):
    """Messages leave in order, up to `ahead` of them before the first is acknowledged; with ahead=1 they arrive in
    order even where a server takes the second and not the first.

    size: bytes of the queue. path: a file that keeps it over a reboot (see leafgate.flash_queue). drop: where the queue
    is full the oldest messages give way, and `dropped` counts them. prefix: "" for JetStream.

    What no server ever takes is given up, and a server that takes nothing now is asked again, less and less often, up
    to once a minute; both are told to `on_status` as "error". `flush` before the client is drained or closed: then
    nothing is left.
    """

    def __init__(self, client, size=4096, path=None, prefix="$LEAFGATE.publish.", drop=False, ahead=4):
        token = hexlify(os.urandom(8)).decode()
        super().__init__(client, "_INBOX.%s.*" % token, "", None, 0)
        self.prefix = prefix
        self.ahead = ahead
        self.pause = _PAUSE_MS
        name = "%s-%s-" % (client._login["name"][:24], token)  # the gateway takes ids of 128 bytes
        if path:
            from leafgate.flash_queue import FlashQueue

            self.store = FlashQueue(name, size, drop, path)
        else:
            self.store = Queue(name, size, drop)
        self.empty = asyncio.Event()
        self._look()
        self.sender = asyncio.create_task(self._send())

    async def publish(self, subject, data=b"", headers=None):
        """Returns when it is in the queue. OSError(28): that is full; ValueError: no subject, or no header."""
        if self.closed:
            raise OSError("closed")
        if isinstance(data, str):
            data = data.encode()
        lines = ["%s: %s\r\n" % pair for pair in headers.items()] if headers else []
        head = "%s\r\n%s\r\n" % (subject, "".join(lines))
        # What no server can read would come again with every connection, and nothing behind it would ever leave.
        if ".." in "." + subject + "." or subject.split() != [subject] or head.count("\n") != len(lines) + 2:
            raise ValueError("bad subject or header")
        self.dropped += self.store.put(head.encode() + data)
        self.empty.clear()
        self.wake.set()

    async def flush(self):
        """Everything has been acknowledged, or given up. OSError: the client was closed before."""
        await self.empty.wait()
        if self.store.count:
            raise OSError("closed")

    # What the client calls.

    def line(self):
        """This server is new: what was sent to the one before is sent again."""
        for entry in self.store.sent:
            entry[2] = ticks_ms()
        self.pause = _PAUSE_MS // 2
        self.wake.set()
        return super().line()

    async def put(self, message):
        if not message:
            self.closed = True
            self.empty.set()
        else:
            number = message.subject[len(self.subject) - 1 :]
            for entry in self.store.sent:
                if str(entry[0]) == number:
                    self._answered(entry, message)
                    break
        self.wake.set()

    def _answered(self, entry, message):
        try:
            if message.status:
                raise OSError("nobody acknowledges")
            answer = json.loads(message.data)
            error = answer.get("error")
            if not error:
                answer["seq"]  # else it is somebody else's answer
                self.pause = _PAUSE_MS
                self._done(entry)
                return
            code = error["code"]
            reason = OSError("%d %s" % (code, error.get("description")))
            if 400 <= code < 500 and code != 408 and code != 429:
                self._done(entry)
        except Exception as unknown:  # it is sent again, as without an answer
            reason = unknown
        self.client.tell("error", reason)

    def _done(self, entry):
        try:
            if entry in self.store.sent:  # it has not given way meanwhile
                self.store.done(entry)
        except OSError as error:  # of the file: after a reboot it will be sent again
            self.client.tell("error", error)
        self._look()

    def _look(self):
        if not self.store.count:
            self.empty.set()

    # The task that sends.

    async def _send(self):
        sent = self.store.sent
        try:
            await self.client._add(self)
        except OSError:
            return  # closed
        while not self.closed:
            self.wake.clear()
            try:
                await self.client.connected.wait()
                await self._repeat()
                while len(sent) < self.ahead:
                    entry = self.store.take()
                    if not entry:
                        break
                    await self._ask(entry)
            except (OSError, MemoryError):  # the connection has gone, or there may be room later
                await asyncio.sleep_ms(100)
                continue
            if sent:
                wait = min([ticks_diff(entry[2], ticks_ms()) for entry in sent])
                try:
                    await asyncio.wait_for_ms(self.wake.wait(), max(wait, 1))
                except asyncio.TimeoutError:
                    pass
            else:
                await self.wake.wait()

    async def _repeat(self):
        """Send what should have been acknowledged by now."""
        sent = self.store.sent
        now = ticks_ms()
        late = [entry for entry in sent if ticks_diff(now, entry[2]) >= 0]
        if late:
            self.pause = min(self.pause * 2, _LONGEST_PAUSE_MS)
        for entry in late:
            if entry in sent:
                await self._ask(entry)

    async def _ask(self, entry):
        number, body, _ = entry
        entry[2] = ticks_ms()  # late, should this fail
        try:
            end = body.find(b"\r\n\r\n") + 4
            headers = decode(body[: end - 2])
            headers["Nats-Msg-Id"] = self.store.name + str(number)
            subject = self.prefix + body[: body.find(b"\r\n")].decode()
            await self.client.publish(subject, memoryview(body)[end:], self.subject[:-1] + str(number), headers)
        except ValueError as error:  # larger than the server takes, or a header that is none
            self._done(entry)
            self.client.tell("error", error)
        # Boards that wait for the same server must not come back in step.
        entry[2] = ticks_add(ticks_ms(), self.pause + (os.urandom(1)[0] * self.pause >> 9))


class Queue:
    """Messages in memory. `sent` are those that were taken and are not done, the oldest first, each a list: its number,
    its bytes (subject, headers, an empty line, data), and when to send it again. `name` goes before the number in ids.
    """

    def __init__(self, name, size, drop):
        self.name = name
        self.size = self.room = size
        self.drop = drop
        self.count = 0
        self.next = 1
        self.sent = []
        self.waiting = []

    def put(self, body):
        """How many had to give way."""
        need = len(body) + _ENTRY
        if need > (self.size if self.drop else self.room):
            raise OSError(_NO_SPACE)
        dropped = 0
        while need > self.room:
            self.done((self.sent or self.waiting)[0])
            dropped += 1
        self.room -= need
        self.waiting.append([self.next, body, 0])
        self.next += 1
        self.count += 1
        return dropped

    def take(self):
        """The next one, now in `sent`; None where there is none."""
        if self.waiting:
            self.sent.append(self.waiting.pop(0))
            return self.sent[-1]
        return None

    def done(self, entry):
        (self.sent if entry in self.sent else self.waiting).remove(entry)
        self.room += len(entry[1]) + _ENTRY
        self.count -= 1
