"""The NATS client: publishes, subscribes, asks; connects, and connects again."""

import asyncio
import gc
import json
import os
import re
import sys
from leafgate.subscription import Message, Subscription
from leafgate.wire import Wire, open_tcp
from micropython import const
from time import ticks_diff, ticks_ms

# What the server says begins with one of these, or is a message; what is none of them fails where it is read.
_HMSG = const(72)  # H
_PING_PONG = const(80)  # P
_PING = const(73)  # I, the second letter
_INFO = const(73)  # I
_ERR = const(45)  # -
_OK = const(43)  # +
_PAUSE_MS = const(500)
_LONGEST_PAUSE_MS = const(30000)
_CONNECT = const(
    'CONNECT {"lang":"micropython","version":"1","protocol":1,"verbose":false,"pedantic":false,"headers":true,'
    '"no_responders":true,%s\r\nPING\r\n'
)


class Client:
    """Connects, and stays connected, from the moment it is made; `connect` also waits for the first time.

    servers: a URL (nats, tls, ws, wss) or what opens a stream, such as SerialLink; or a list of them. How to log in:
    user and password, token, or nkey, be it with a JWT (see leafgate.nkey). tls: an ssl.SSLContext, or the CA's
    certificate as DER.
    presence: a subject on which the gateway tells that we are there, and that we are not. ready: an async function,
    awaited before every attempt, such as Wifi.up; a function that it returns is called with True when a server has let
    us in, with False when that one is lost. on_status: called with "connected", "lost", "error" or "closed" and a
    detail. ping: seconds between signs of life, and until a server must have let us in. rx, tx: bytes of the buffers.
    largest: bytes of a message that is taken.

    `connected` is an asyncio.Event; `info` is what the server told; `dropped` counts messages that were too large.
    """

    def __init__(
        self,
        servers,
        name="",
        user=None,
        password=None,
        token=None,
        nkey=None,
        tls=None,
        presence=None,
        echo=True,
        ready=None,
        on_status=None,
        ping=20,
        rx=1024,
        tx=256,
        largest=8192,
    ):
        self.servers = list(servers) if isinstance(servers, (list, tuple)) else [servers]
        self.nkey = nkey
        self.tls = tls
        self.ready = ready
        self.on_status = on_status
        self.ping = ping
        self.rx = bytearray(rx)
        self.tx = bytearray(tx)
        self.largest = largest
        self.connected = asyncio.Event()
        self.closed = False
        self.info = {}
        self.dropped = 0
        self._login = {
            "name": name,
            "user": user,
            "pass": password,
            "auth_token": token,
            "presence": presence,
            "echo": echo,
        }
        self._subs = {}
        self._last = 0  # of their numbers
        self._answers = None
        self._pings = []  # that wait for their PONG
        self._wire = None
        self._heard = ticks_ms()
        self._task = asyncio.create_task(self._stay())

    # What applications call.

    async def publish(self, subject, data=b"", reply="", headers=None):
        """Waits for the connection. ValueError: more than the server takes; OSError: closed, or just lost."""
        if isinstance(data, str):
            data = data.encode()
        await self._up()
        size = len(data)
        if headers:
            from leafgate.headers import announce

            line, size = announce(subject, reply, headers, size)
        else:
            line = "PUB %s %s %d\r\n" % (subject, reply, size)
        if size > self.info["max_payload"]:
            raise ValueError("message too large")
        await self._wire.send(line, data)

    async def subscribe(self, subject, queue="", cb=None, pending=16):
        """A Subscription, on this connection and those after it. `cb`: an async function, called message by message."""
        return await self._add(Subscription(self, subject, queue, cb, pending))

    async def unsubscribe(self, sub, after=0):
        sub.left = after
        if not after and self._subs.pop(sub.sid, None):
            await sub.put(None)
        await self._say("UNSUB %d %s\r\n" % (sub.sid, sub.count + after if after else ""))

    async def request(self, subject, data=b"", timeout=2, headers=None):
        """The answer. asyncio.TimeoutError: none within `timeout` seconds; NoResponders: there is nobody to ask."""
        if not self._answers:
            from leafgate.answers import Answers

            self._answers = Answers(self)
            await self._add(self._answers)
        return await asyncio.wait_for(self._answers.ask(subject, data, headers), timeout)

    async def flush(self):
        """What was sent has reached the server, and what it had for us has come. OSError: the connection was lost."""
        await self._up()
        pings = self._pings
        ping = asyncio.Event()
        pings.append(ping)
        await self._wire.send("PING\r\n")
        await ping.wait()
        if pings is not self._pings:
            raise OSError("connection lost")

    async def drain(self, timeout=10):
        """End the subscriptions, deal with what has come, send what is left, and close."""
        from leafgate.ending import drain

        await drain(self, list(self._subs.values()), timeout)

    async def close(self):
        if not self.closed:
            self.closed = True
            self._task.cancel()
            try:
                await self._task
            except asyncio.CancelledError:
                pass  # it had not even begun
            for sub in self._subs.values():
                await sub.put(None)
            self.connected.set()  # who waits for it is told
            self.tell("closed")

    def idle_ms(self):
        """How long ago the server was heard."""
        return ticks_diff(ticks_ms(), self._heard)

    def tell(self, state, data=None):
        _call(self.on_status, state, data)

    async def _up(self):
        await self.connected.wait()
        if self.closed:
            raise OSError("closed")

    async def _say(self, line):
        """To the server that is there; `_greet` tells the next one."""
        if self.closed:
            raise OSError("closed")
        if self.connected.is_set():
            try:
                await self._wire.send(line)
            except OSError:
                pass

    async def _add(self, sub):
        self._last += 1
        sub.sid = self._last
        self._subs[sub.sid] = sub
        await self._say(sub.line())
        return sub

    # The connection.

    async def _stay(self):
        tries = 0
        pause = _PAUSE_MS
        while True:
            url = self.servers[tries % len(self.servers)]
            watch = through = None
            state = "error"
            try:
                if tries:  # boards that lost the same server must not come back in step
                    await asyncio.sleep_ms(pause // 2 + int.from_bytes(os.urandom(2), "big") % pause)
                    if tries % len(self.servers) == 0:
                        pause = min(pause * 2, _LONGEST_PAUSE_MS)
                if self.ready:
                    through = await self.ready()
                gc.collect()  # so that there is room in one piece, for INFO
                watch = asyncio.create_task(self._watch())
                await self._greet(url)
                pause = _PAUSE_MS
                state = "lost"
                _call(through, True)
                self.tell("connected", url)
                while True:
                    await self._take()
            except asyncio.CancelledError:
                error = OSError("given up")
            except Exception as reason:
                error = reason
            self.connected.clear()
            if watch:
                watch.cancel()
            for ping in self._pings:
                ping.set()
            self._pings = []
            if self._wire:
                await self._wire.close()
                self._wire = None
            if state == "lost":
                _call(through, False)
            if self.closed:
                return
            self.tell(state, error)
            tries += 1

    async def _watch(self):
        """Find out that the server is gone, where nothing else tells."""
        self._heard = ticks_ms()
        while True:
            await asyncio.sleep(self.ping)
            if self.idle_ms() > self.ping * (2500 if self.connected.is_set() else 1000):
                self._task.cancel()
            elif self.connected.is_set():
                self._pings.append(asyncio.Event())
                asyncio.create_task(self._say("PING\r\n"))  # it may have to wait; we may not

    async def _greet(self, url):
        """From nothing to subscribed."""
        login = self._login
        plain = False
        if isinstance(url, str):
            plain = re.match(r"nats://([^@:/[]+):?(\d*)$", url)
            if plain:
                stream = await open_tcp(plain.group(1), int(plain.group(2) or 4222))
            else:
                from leafgate.entry import dial

                stream = await dial(url, self.tls)
        else:
            stream = await url.open()
        wire = self._wire = Wire(stream, self.rx, self.tx, self._task)
        self.info = {}
        await self._take()
        if not self.info:
            raise OSError("no NATS server")
        if not plain or self.tls or self.nkey or self.info["tls_required"]:
            from leafgate.entry import enter

            login = await enter(self, url, wire, login)
        ping = asyncio.Event()
        self._pings.append(ping)
        await wire.send(_CONNECT % json.dumps(login)[1:])
        while not ping.is_set():
            await self._take()
        sid = 0
        while sid < self._last:  # those that are added meanwhile, too
            sid += 1
            if sid in self._subs:
                await wire.send(self._subs[sid].line())
        self.connected.set()

    async def _take(self):
        """Deal with one operation of the server."""
        line = await self._wire.line()
        self._heard = ticks_ms()
        kind = line[0]
        if kind == _PING_PONG:
            if line[1] == _PING:
                await self._wire.send("PONG\r\n")
            elif self._pings:
                self._pings.pop(0).set()
        elif kind == _INFO:
            nonce = _field(line, "nonce")
            self.info = {
                "max_payload": int(_field(line, "max_payload")),
                "nonce": nonce and nonce.decode(),
                "tls_required": _field(line, "tls_required") == b"true",
            }
            if _field(line, "connect_urls"):
                from leafgate.entry import meet

                meet(self.servers, line)
        elif kind == _ERR:
            error = OSError(line[5:].decode().strip("'"))
            if not self.connected.is_set():
                raise error
            self.tell("error", error)  # the server closes by itself where it must
        elif kind != _OK:
            await self._on_message(line.split())

    async def _on_message(self, line):
        """`line`: MSG, subject, number, reply where there is one, size; or HMSG and two sizes, of the head first."""
        size = int(line.pop())
        head = int(line.pop()) if line[0][0] == _HMSG else 0
        sid = int(line[2])
        data = None
        if 0 <= size <= self.largest:
            try:
                data = await self._wire.read(size)
            except MemoryError:
                pass
        sub = self._subs.get(sid)
        if data is None:
            self.dropped += 1
            await self._wire.skip(size + 2)
        elif not sub:
            await self._say("UNSUB %d\r\n" % sid)
        else:
            reply = line[3].decode() if len(line) > 3 else ""
            await sub.put(Message(self, line[1].decode(), reply, data[head:] if head else data, data[:head]))
            sub.count += 1
            if sub.left:
                sub.left -= 1
                if not sub.left:
                    del self._subs[sid]
                    await sub.put(None)


def _call(function, *arguments):
    """What it raises is printed; it ends nothing of ours."""
    if callable(function):
        try:
            function(*arguments)
        except Exception as error:
            sys.print_exception(error)


def _field(info, name):
    """The whole of INFO as a dict takes more memory than some boards have."""
    match = re.search('"%s": *"?([^",}]*)' % name, info)
    return match and match.group(1)


async def connect(servers, wait=None, **options):
    """A Client once it is connected; asyncio.TimeoutError after `wait` seconds. See Client for the options."""
    client = Client(servers, **options)
    try:
        if wait:
            await asyncio.wait_for(client.connected.wait(), wait)
        await client.connected.wait()
    except BaseException:
        await client.close()
        raise
    return client
