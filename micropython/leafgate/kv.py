"""Key-value buckets of a server with JetStream, or of the hub behind the gateway."""

import asyncio
import re
from leafgate.answers import NoResponders
from leafgate.jetstream import JetStreamError, api, publish
from leafgate.kv_entry import Entry
from micropython import const

_WRONG_SEQUENCE = const(10071)
_NO_MESSAGE = const(10037)
_DIRECT_TIMEOUT = const(2)


class Bucket:
    """A bucket that somebody has made. `timeout`: seconds for an answer.

    JetStreamError: code 404 or 503 without the bucket; ValueError: no key, or too large; OSError: closed;
    asyncio.TimeoutError: no answer, so that whether a value was written is not known, or one larger than the client
    takes (through a leafnode values come by a third larger).
    """

    def __init__(self, client, name, timeout=5):
        self.client = client
        self.timeout = timeout
        self.stream = "KV_" + name
        self.prefix = "$KV." + name + "."
        self.direct = True  # until the stream does not answer DIRECT.GET, which would be less work for it and us

    async def get(self, key):
        """The Entry, or None where there is no value."""
        entry = await self._last(key)
        return entry if entry and entry.operation == "PUT" else None

    async def put(self, key, value):
        """The new revision."""
        return await self._write(key, value, None)

    async def update(self, key, value, revision):
        """The new revision; JetStreamError 10071 where the key's revision is another one. 0: there is no such key."""
        return await self._write(key, value, {"Nats-Expected-Last-Subject-Sequence": revision})

    async def create(self, key, value):
        """The new revision; JetStreamError 10071 where the key has a value."""
        try:
            return await self.update(key, value, 0)
        except JetStreamError as error:
            if error.number != _WRONG_SEQUENCE:
                raise
            last = await self._last(key)
            if not last or last.operation == "PUT":
                raise
        return await self.update(key, value, last.revision)

    async def delete(self, key):
        """Its history stays. The revision of the deletion."""
        return await self._write(key, b"", {"KV-Operation": "DEL"})

    async def keys(self, pattern=">"):
        """A list of those that have a value."""
        watch = await self.watch(pattern, values=False)
        keys = set()
        if watch.pending:
            async for entry in watch:
                if entry.operation == "PUT":
                    keys.add(entry.key)
                else:
                    keys.discard(entry.key)
                if not watch.pending:
                    break
            else:
                raise OSError("closed")
        await watch.stop()
        return list(keys)

    async def watch(self, pattern=">", values=True, heartbeat=10):
        """A Watch: first what is there, then what changes. values: False for entries without them. heartbeat: seconds
        between signs of life; twice that without one, and the watch begins anew where it was.
        """
        from leafgate.watch import Watch

        watch = Watch(self, pattern, values, heartbeat)
        await watch.begin()
        return watch

    async def revision(self):
        """The last one."""
        return (await api(self.client, "STREAM.INFO." + self.stream, None, self.timeout))["state"]["last_seq"]

    async def _write(self, key, value, headers):
        return (await publish(self.client, self._subject(key), value, None, headers, self.timeout)).seq

    def _subject(self, key):
        if not re.match(r"[-/_=.0-9A-Za-z]+$", key) or key[0] == "." or key[-1] == ".":
            raise ValueError("no key")
        return self.prefix + key

    async def _last(self, key):
        subject = self._subject(key)
        if self.direct:
            name = "$JS.API.DIRECT.GET.%s.%s" % (self.stream, subject)
            try:
                message = await self.client.request(name, b"", _DIRECT_TIMEOUT)
                if message.status == 404:
                    return None
                headers = message.headers
                return Entry(key, message.data, int(headers["Nats-Sequence"]), headers)
            except (NoResponders, asyncio.TimeoutError, KeyError):
                self.direct = False  # it may not, or there is a leafnode in between
        from binascii import a2b_base64
        from leafgate.headers import decode

        try:
            body = {"last_by_subj": subject}
            answer = (await api(self.client, "STREAM.MSG.GET." + self.stream, body, self.timeout))["message"]
        except JetStreamError as error:
            if error.number == _NO_MESSAGE:
                return None
            raise
        headers = decode(a2b_base64(answer.get("hdrs", "")))
        return Entry(key, a2b_base64(answer.get("data", "")), answer["seq"], headers)
