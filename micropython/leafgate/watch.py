"""What changes in a bucket: a pull consumer at the server, which sends no more than there is room for here."""

import asyncio
import os
from binascii import hexlify
from leafgate.jetstream import JetStreamError, api
from leafgate.kv_entry import Entry
from micropython import const

_BATCH = const(8)
_ROOM = const(16)  # for a batch, and what the server says about it until it expires
_HEARTBEAT = const(100)
_REQUEST_ENDED = (404, 408)


class Watch:
    """`async for entry in watch`. `pending`: how many of the values that were there are still to come.

    It goes on over lost connections and restarts of the server, without what a later change of the same key has
    overwritten meanwhile. It ends when the client is closed; JetStreamError 404: the bucket is gone.
    """

    def __init__(self, bucket, pattern, values, heartbeat):
        self.bucket = bucket
        self.client = bucket.client
        self.pattern = pattern
        self.values = values
        self.heartbeat = heartbeat
        self.pending = 0
        self._revision = 0  # that was given out last
        self._sub = None  # None: there is no consumer
        self._consumer = ""
        self._number = 0  # of the consumer's messages that have come
        self._asked = 0  # messages that the server may still send
        self._dropped = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            try:
                if not self._sub:
                    await self.begin()
                if not self._asked:
                    await self._pull()
                message = await asyncio.wait_for(self._sub.__anext__(), 2 * self.heartbeat)
                entry = self._entry(message) if message.reply[:8] == "$JS.ACK." else self._told(message)
                if entry:
                    return entry
                continue
            except (OSError, asyncio.TimeoutError):
                pass
            except JetStreamError as error:
                if error.code == 404:
                    raise
            if self.client.closed:
                raise StopAsyncIteration
            await self._end()
            await asyncio.sleep(self.heartbeat / 4)

    async def stop(self):
        """Leave nothing behind at the server."""
        if self._sub:
            await self._end()
            await self.client.publish("$JS.API.CONSUMER.DELETE.%s.%s" % (self.bucket.stream, self._consumer))

    async def begin(self):
        """A new consumer, which begins behind the last revision."""
        bucket = self.bucket
        config = {
            "filter_subject": bucket.prefix + self.pattern,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "headers_only": not self.values,
            "inactive_threshold": int(self.heartbeat * 8000) * 1000000,
        }
        # A bucket that was made anew counts from 1 again.
        if self._revision and self._revision <= await bucket.revision():
            config["deliver_policy"] = "by_start_sequence"
            config["opt_start_seq"] = self._revision + 1
        body = {"stream_name": bucket.stream, "config": config}
        answer = await api(self.client, "CONSUMER.CREATE." + bucket.stream, body, bucket.timeout)
        self._consumer = answer["name"]
        self.pending = answer["num_pending"]
        self._number = self._asked = 0
        self._dropped = self.client.dropped
        # Each has a subject of its own, so that nothing comes from the one before.
        inbox = "_INBOX." + hexlify(os.urandom(8)).decode()
        self._sub = await self.client.subscribe(inbox, pending=_ROOM)

    async def _end(self):
        sub = self._sub
        if sub:
            self._sub = None
            await sub.unsubscribe()

    async def _pull(self):
        expires = int(self.heartbeat * 4000) * 1000000
        body = '{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (_BATCH, expires, expires // 4)
        name = "$JS.API.CONSUMER.MSG.NEXT.%s.%s" % (self.bucket.stream, self._consumer)
        await self.client.publish(name, body, self._sub.subject)
        self._asked = _BATCH

    def _entry(self, message):
        """An ACK subject ends with the consumer, how often, revision, number, time, and how many are to come."""
        tokens = message.reply.split(".")
        _, revision, number, _, pending = tokens[4:9] if len(tokens) == 9 else tokens[6:11]
        self._check(int(number) - 1)
        self._number += 1
        self._asked -= 1
        self._revision = int(revision)
        self.pending = int(pending)
        return Entry(message.subject[len(self.bucket.prefix) :], message.data, self._revision, message.headers)

    def _told(self, message):
        status = message.status
        if status in _REQUEST_ENDED:
            self._asked = 0
        elif status != _HEARTBEAT:
            raise OSError("consumer lost")
        else:
            self._check(int(message.headers.get("Nats-Last-Consumer", self._number)))

    def _check(self, number):
        """OSError: what the server has sent went to a connection that was lost."""
        if number != self._number:
            if self.client.dropped == self._dropped:
                raise OSError("messages lost")
            self._dropped = self.client.dropped
            self._number = number  # too large for us, now as ever
