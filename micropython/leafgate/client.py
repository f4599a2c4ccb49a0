"""The NATS client: publishes, subscribes, asks; connects, and connects again."""

import asyncio
import json
import os
from leafgate.subscription import Message, Subscription
from leafgate.wire import Wire, open_tcp
from micropython import const
from time import ticks_add, ticks_diff, ticks_ms

_MOST_SERVERS = const(16)
_PINGS_OUT = const(2)
_DIAL_SECONDS = const(20)  # TLS and the signature of a login take a small board some of it
_PAUSE_MS = const(500)
_LONGEST_PAUSE_MS = const(30000)
_CONNECT = (
    'CONNECT {"lang":"micropython","version":"1","protocol":1,"verbose":false,"pedantic":false,"headers":true,'
    '"no_responders":true,'
)


class Client:
    """Connects, and stays connected, from the moment it is made; `connect` also waits for the first time.

    servers: a URL (nats, tls, ws, wss) or what opens a stream, such as SerialLink; or a list of them. How to log in:
    user and password, token, or nkey (see leafgate.nkey). tls: an ssl.SSLContext, or the CA's certificate as DER.
    presence: a subject on which the gateway tells that we are there, and that we are not. ready: an async function,
    awaited before every attempt, such as Wifi.up. on_status: called with "connected", "lost", "error" or "closed" and a
    detail. ping: seconds between signs of life. rx, tx: bytes of the buffers. largest: bytes of a message that is taken.

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
        self.connected = asyncio.Event()
        self.closed = False
        self.info = {}
        self.dropped = 0
        self._fields = {
            "name": name,
            "user": user,
            "pass": password,
            "auth_token": token,
            "presence": presence,
            "echo": echo,
        }
        self._nkey = nkey
        self._tls = tls
        self._ready = ready
        self._on_status = on_status
        self._wire = Wire(rx, tx, self._interrupt)
        self._largest = largest
        self._subs = {}
        self._last_sid = 0
        self._answers = None
        self._heard = ticks_ms()
        self._pings = self._pongs = self._lost = 0
        self._ponged = asyncio.Event()
        self._next = 0
        self._session = None
        self._tasks = asyncio.create_task(self._stay()), asyncio.create_task(self._check(ping))

    # What applications call.

    async def publish(self, subject, data=b"", reply="", headers=None):
        """Waits for the connection. ValueError: more than the server takes; OSError: closed, or just lost."""
        if isinstance(data, str):
            data = data.encode()
        await self._up()
        size = len(data)
        if headers:
            from leafgate.headers import encode

            block = encode(headers)
            before = len(block.encode())
            size += before
            head = "HPUB %s %s %d %d\r\n%s" % (subject, reply, before, size, block)
        else:
            head = "PUB %s %s %d\r\n" % (subject, reply, size)
        if size > self.info.get("max_payload", size):
            raise ValueError("message too large")
        await self._wire.send(head, data)

    async def subscribe(self, subject, queue="", cb=None, pending=16):
        """A Subscription, on this connection and those after it. `cb`: an async function, called message by message."""
        return await self._add(Subscription(self, subject, queue, cb, pending))

    async def unsubscribe(self, sub, after=0):
        sub.left = after
        if not after and self._subs.pop(sub.sid, None):
            sub.end()
        await self._unsub(sub.sid, after or "")

    async def request(self, subject, data=b"", timeout=2, headers=None):
        """The answer. asyncio.TimeoutError: none within `timeout` seconds; NoResponders: nobody is there to give one."""
        if not self._answers:
            from leafgate.answers import Answers

            self._answers = await self._add(Answers(self))
        return await asyncio.wait_for(self._answers.ask(subject, data, headers), timeout)

    async def flush(self):
        """What was sent has reached the server, and what it had for us has come. OSError: the connection was lost."""
        await self._up()
        lost = self._lost
        wanted = await self._send_ping()
        while self._pongs < wanted:
            self._ponged.clear()
            await self._ponged.wait()
            if lost != self._lost:
                raise OSError("connection lost")

    async def drain(self, seconds=10):
        """End the subscriptions, deal with what has come, send what is left, and close."""
        try:
            await asyncio.wait_for(self._drain(), seconds)
        except (OSError, asyncio.TimeoutError):
            pass
        await self.close()

    async def close(self):
        if not self.closed:
            self.closed = True
            for task in self._tasks:
                task.cancel()
            await self._hang_up()
            for sub in self._subs.values():
                sub.end()
            self.connected.set()  # who waits for it is told
            self.tell("closed")

    def idle_ms(self):
        """How long ago the server was heard."""
        return ticks_diff(ticks_ms(), self._heard)

    def tell(self, state, detail=None):
        if self._on_status:
            self._on_status(state, detail)

    async def _up(self):
        await self.connected.wait()
        if self.closed:
            raise OSError("closed")

    async def _say(self, line):
        """To the server that is there; the next one is told by `_greet`."""
        if self.closed:
            raise OSError("closed")
        if self.connected.is_set():
            try:
                await self._wire.send(line)
            except OSError:
                pass

    async def _add(self, sub):
        self._last_sid += 1
        sub.sid = self._last_sid
        self._subs[sub.sid] = sub
        await self._say(_subscribing(sub))
        return sub

    async def _drain(self):
        subs = list(self._subs.values())
        for sub in subs:
            await self._unsub(sub.sid)
        await self.flush()
        for sub in subs:
            sub.end()
        for sub in subs:
            if sub.task and sub.task is not asyncio.current_task():
                await sub.task
        await self.flush()

    async def _unsub(self, sid, after=""):
        await self._say("UNSUB %s %s\r\n" % (sid, after))

    async def _send_ping(self):
        self._pings += 1
        wanted = self._pings
        await self._wire.send("PING\r\n")
        return wanted

    # The connection.

    async def _stay(self):
        pause = _PAUSE_MS
        while True:
            server = self.servers[self._next % len(self.servers)]
            try:
                if self._ready:
                    await self._ready()
                await asyncio.wait_for(self._greet(server), _DIAL_SECONDS)
                pause = _PAUSE_MS
                self.tell("connected", server)
                self._session = asyncio.create_task(self._listen())
                await self._session
            except asyncio.CancelledError:
                if self.closed:
                    raise
                self._fail("given up")
            except Exception as error:
                self._fail(error)
            await self._hang_up()
            self._next += 1
            # Boards that lost the same server must not come back in step.
            wait = pause // 2 + int.from_bytes(os.urandom(2), "big") % pause
            await asyncio.sleep_ms(wait)
            if self._next % len(self.servers) == 0:
                pause = min(pause * 2, _LONGEST_PAUSE_MS)

    def _fail(self, error):
        if self.connected.is_set():
            self.connected.clear()
            self._lost += 1
            self._ponged.set()
            self.tell("lost", error)
        else:
            self.tell("error", error)

    def _interrupt(self):
        if self._session and self._session is not asyncio.current_task():
            self._session.cancel()

    async def _hang_up(self):
        stream = self._wire.stream
        self._wire.attach(None)
        self._interrupt()
        self._session = None
        if stream:
            try:
                await stream.wait_closed()
            except OSError:
                pass

    async def _greet(self, server):
        """From nothing to subscribed."""
        wire = self._wire
        scheme, host, port, login = "", "", 0, {}
        if isinstance(server, str):
            scheme, host, port, login = _parse(server)
            if scheme[:2] == "ws":
                from leafgate.websocket import open_websocket

                wire.attach(await open_websocket(scheme, host, port, self._tls))
            else:
                wire.attach(await open_tcp(host, port))
        else:
            wire.attach(await server.open())
        self._on_info(await wire.line())
        if scheme == "tls" or (scheme == "nats" and (self._tls or self.info.get("tls_required"))):
            from leafgate.tls import upgrade

            wire.stream = await upgrade(wire.stream, host, self._tls)
        for field in self._fields:
            if self._fields[field] is not None:
                login[field] = self._fields[field]
        if self._nkey:
            from leafgate.nkey import sign_in

            login.update(await sign_in(self._nkey, self.info.get("nonce")))
        await wire.send(_CONNECT + json.dumps(login)[1:] + "\r\n")
        self._pongs = self._pings
        await self._send_ping()
        while self._pongs < self._pings:
            await self._take()
        told = 0
        while told < self._last_sid:  # those that are added meanwhile, too
            told += 1
            if told in self._subs:
                await wire.send(_subscribing(self._subs[told]))
        self.connected.set()

    async def _listen(self):
        while True:
            await self._take()

    async def _take(self):
        """Deal with one operation of the server."""
        line = await self._wire.line()
        self._heard = ticks_ms()
        if line[:4] == b"MSG ":
            await self._on_message(line.split(), 0)
        elif line[:5] == b"HMSG ":
            *words, size = line.split()
            head = int(words.pop())
            words.append(size)
            await self._on_message(words, head)
        elif line == b"PING":
            await self._wire.send("PONG\r\n")
        elif line == b"PONG":
            self._pongs += 1
            self._ponged.set()
        elif line[:4] == b"INFO":
            self._on_info(line)
        elif line[:4] == b"-ERR":
            error = OSError(line[5:].decode().strip("'"))
            if not self.connected.is_set():
                raise error
            self.tell("error", error)  # the server closes by itself where it must

    def _on_info(self, line):
        if line[:5] != b"INFO ":
            raise OSError("no NATS server")
        info = json.loads(line[5:])
        for url in info.pop("connect_urls", ()):
            url = "nats://" + url
            if url not in self.servers and len(self.servers) < _MOST_SERVERS:
                self.servers.append(url)
        for name in list(info):
            if name not in ("nonce", "max_payload", "tls_required", "server_name"):
                del info[name]  # the rest is long
        self.info = info

    async def _on_message(self, words, head):
        """`words`: MSG, subject, sid, reply where there is one, size."""
        size = int(words[-1])
        sub = self._subs.get(int(words[2]))
        data = None
        if size <= self._largest:
            try:
                data = await self._wire.payload(size)
            except MemoryError:
                pass
        if data is None:
            self.dropped += 1
            await self._wire.skip(size + 2)
            return
        subject = words[1].decode()
        reply = words[3].decode() if len(words) > 4 else ""
        message = Message(self, subject, reply, data[head:] if head else data, data[:head])
        if not sub:
            await self._unsub(words[2].decode())
            return
        await sub.put(message)
        if sub.left:
            sub.left -= 1
            if not sub.left:
                del self._subs[sub.sid]
                sub.end()

    async def _check(self, seconds):
        while True:
            await asyncio.sleep(seconds)
            if self._session:
                try:
                    if self._pings - self._pongs < _PINGS_OUT:
                        await self._send_ping()
                        continue
                except OSError:
                    pass
                self._interrupt()


def _subscribing(sub):
    line = "SUB %s %s %d\r\n" % (sub.subject, sub.queue, sub.sid)
    return line + "UNSUB %d %d\r\n" % (sub.sid, sub.left) if sub.left else line


def _parse(url):
    """Scheme, host, port and what a login in it says."""
    scheme, _, rest = url.rpartition("://")
    rest = rest.split("/")[0]
    user, at, place = rest.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = place, {"ws": 80, "wss": 443}.get(scheme, 4222)
    login = {}
    if at:
        name, colon, password = user.partition(":")
        login = {"user": name, "pass": password} if colon else {"auth_token": name}
    return scheme or "nats", host.strip("[]"), int(port), login


async def connect(servers, wait=None, **options):
    """A Client once it is connected; asyncio.TimeoutError after `wait` seconds. See Client for the options."""
    client = Client(servers, **options)
    try:
        await asyncio.wait_for(client.connected.wait(), wait)
    except BaseException:
        await client.close()
        raise
    return client
