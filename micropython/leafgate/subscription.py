"""What comes from a subject: messages, and the subscriptions that hand them out."""

import asyncio
from collections import deque


class NoResponders(OSError):
    """Nobody is subscribed to what was asked."""


class Message:
    """`subject` and `reply` are str, `data` is bytes, `head` the header block as it came."""

    def __init__(self, client, subject, reply, data, head):
        self.client = client
        self.subject = subject
        self.reply = reply
        self.data = data
        self.head = head

    @property
    def status(self):
        """The number in the header block's first line, such as 503; 0 without one."""
        return int(self.head[9:12]) if self.head[8:9] == b" " else 0

    @property
    def headers(self):
        """A dict of str; of several values the last."""
        from leafgate.headers import decode

        return decode(self.head)

    async def respond(self, data=b"", headers=None):
        await self.client.publish(self.reply, data, headers=headers)


class Subscription:
    """`async for message in subscription`. `dropped` counts messages that found `pending` others waiting."""

    def __init__(self, client, subject, queue, callback, pending):
        self.subject = subject
        self.queue = queue
        self.left = 0  # messages until it ends by itself; 0: it does not
        self.dropped = 0
        self._client = client
        self._pending = pending
        self._waiting = deque((), pending)
        self._wake = asyncio.Event()
        self._ended = False
        self.task = asyncio.create_task(self._call(callback)) if callback else None

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()

    async def unsubscribe(self, after=0):
        """Now, or after that many messages more. What waits is still given out."""
        await self._client.unsubscribe(self, after)

    async def put(self, message):
        if len(self._waiting) >= self._pending:
            await asyncio.sleep(0)  # their turn
        if len(self._waiting) < self._pending:
            self._waiting.append(message)
            self._wake.set()
        else:
            self.dropped += 1

    def end(self):
        self._ended = True
        self._wake.set()

    async def _call(self, callback):
        async for message in self:
            try:
                await callback(message)
            except Exception as error:  # the next message is none the worse for it
                self._client.tell("error", error)
