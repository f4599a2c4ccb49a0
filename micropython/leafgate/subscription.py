"""What comes from a subject: messages, and the subscriptions that hand them out."""

import asyncio


class Message:
    """`subject` and `reply` are str, `data` is bytes (bytearray where it is longer than the buffer rx), `head` the
    header block as it came.
    """

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
        """Nothing, where no answer is wanted."""
        if self.reply:
            await self.client.publish(self.reply, data, headers=headers)


class Subscription:
    """`async for message in subscription`. `dropped` counts messages that found `pending` others waiting."""

    def __init__(self, client, subject, queue, cb, pending):
        self.client = client
        self.subject = subject
        self.queue = queue
        self.pending = pending
        self.waiting = []
        self.count = 0  # messages that came on this connection
        self.left = 0  # messages until it ends by itself; 0: it does not
        self.dropped = 0
        self.closed = False
        self.wake = asyncio.Event()
        self.task = asyncio.create_task(self.run(cb)) if cb else None

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self.waiting:
            if self.closed:
                raise StopAsyncIteration
            self.wake.clear()
            await self.wake.wait()
        return self.waiting.pop(0)

    async def unsubscribe(self, after=0):
        """Now, or after that many messages more. What waits is still given out."""
        await self.client.unsubscribe(self, after)

    def line(self):
        """What tells a server that has not heard of it."""
        self.count = 0
        line = "SUB %s %s %d\r\n" % (self.subject, self.queue, self.sid)
        return line + "UNSUB %d %d\r\n" % (self.sid, self.left) if self.left else line

    async def put(self, message):
        """None: that was all."""
        if len(self.waiting) >= self.pending:
            await asyncio.sleep_ms(0)  # their turn
        if not message:
            self.closed = True
        elif len(self.waiting) < self.pending:
            self.waiting.append(message)
        else:
            self.dropped += 1
        self.wake.set()

    async def run(self, cb):
        async for message in self:
            try:
                await cb(message)
            except Exception as error:  # the next message is none the worse for it
                self.client.tell("error", error)
