"""The least of a NATS client: one server, TCP, core messages. Enough to come onto the subject space and be updated."""

import asyncio
import binascii
import json

PING_SECONDS = 20
# Signing the login takes a small board some seconds of it.
CONNECT_SECONDS = 20


class Message:
    def __init__(self, subject, reply, data):
        self.subject = subject
        self.reply = reply
        self.data = data


class Client:
    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self._callbacks = {}
        self._inboxes = 0
        self._end = asyncio.Event()
        self._heard = True
        self._tasks = []

    async def open(self, fields, nkey_expanded):
        info = await self._reader.readline()
        if not info.startswith(b"INFO "):
            raise OSError("no NATS server")
        if nonce := nkey_expanded and json.loads(info[5:]).get("nonce"):
            from leafgate.ed25519 import sign

            signature = await sign(bytes.fromhex(nkey_expanded), nonce.encode())
            encoded = binascii.b2a_base64(signature)[:86]
            fields["sig"] = encoded.replace(b"+", b"-").replace(b"/", b"_").decode()
        await self._send(b"CONNECT " + json.dumps(fields).encode() + b"\r\nPING\r\n")
        while (line := await self._reader.readline()) != b"PONG\r\n":
            if not line or line.startswith(b"-ERR"):
                raise OSError(line.decode().strip() or "the server closed the connection")
        self._inbox = "_INBOX.%s.%d" % (fields["name"], id(self))
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._ping())]

    async def publish(self, subject, payload, reply=""):
        await self._send(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(payload), payload))

    async def subscribe(self, subject, cb):
        sid = b"%d" % (len(self._callbacks) + 1)
        self._callbacks[sid] = cb
        await self._send(b"SUB %s %s\r\n" % (subject.encode(), sid))

    async def request(self, subject, payload, timeout):
        self._inboxes += 1
        inbox, sid = "%s.%d" % (self._inbox, self._inboxes), b"r%d" % self._inboxes
        answered = asyncio.Event()
        answers = []

        async def take(message):
            answers.append(message)
            answered.set()

        self._callbacks[sid] = take
        try:
            await self._send(b"SUB %s %s\r\nUNSUB %s 1\r\n" % (inbox.encode(), sid, sid))
            await self.publish(subject, payload, inbox)
            await asyncio.wait_for(answered.wait(), timeout)
        finally:
            del self._callbacks[sid]
        return answers[0]

    async def closed(self):
        """Return once the connection has ended."""
        await self._end.wait()
        for task in self._tasks:
            task.cancel()
        self._writer.close()

    async def _send(self, data):
        self._writer.write(data)
        await self._writer.drain()

    async def _read(self):
        try:
            while line := await self._reader.readline():
                self._heard = True
                words = line.split()
                if words[0] == b"MSG":
                    data = await self._reader.readexactly(int(words[-1]) + 2)
                    reply = words[3].decode() if len(words) == 5 else ""
                    callback = self._callbacks.get(words[2])
                    if callback:
                        await callback(Message(words[1].decode(), reply, data[:-2]))
                elif words[0] == b"PING":
                    await self._send(b"PONG\r\n")
        except (OSError, EOFError):
            pass
        self._end.set()

    async def _ping(self):
        try:
            while self._heard:
                self._heard = False
                await self._send(b"PING\r\n")
                await asyncio.sleep(PING_SECONDS)
        except OSError:
            pass
        self._end.set()


async def connect(servers, name="", user=None, password=None, nkey=None, nkey_expanded=None):
    """A connected client. Raises OSError or asyncio.TimeoutError. A server without a nonce does not ask for the NKey."""
    host, _, port = servers[0].split("://")[-1].rpartition(":")
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), CONNECT_SECONDS)
    client = Client(reader, writer)
    fields = {"name": name, "lang": "micropython", "version": "1", "protocol": 1, "verbose": False, "pedantic": False}
    if user is not None:
        fields["user"], fields["pass"] = user, password
    if nkey is not None:
        fields["nkey"] = nkey
    try:
        await asyncio.wait_for(client.open(fields, nkey_expanded), CONNECT_SECONDS)
    except BaseException:
        writer.close()
        raise
    return client
