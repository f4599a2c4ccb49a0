"""Requests: one subscription takes all answers."""

import asyncio
import os
from binascii import hexlify
from leafgate.subscription import Subscription


class NoResponders(OSError):
    """Nobody is subscribed to what was asked."""


class Answers(Subscription):
    """What comes back to those who asked: each gets the one that has its token at the end of the subject."""

    def __init__(self, client):
        super().__init__(client, "_INBOX.%s.*" % hexlify(os.urandom(8)).decode(), "", None, 0)
        self.asked = {}
        self.last = 0

    async def ask(self, subject, data, headers):
        self.last += 1
        token = str(self.last)
        self.asked[token] = answer = [asyncio.Event(), None]
        try:
            await self.client.publish(subject, data, self.subject[:-1] + token, headers)
            await answer[0].wait()
        finally:
            del self.asked[token]
        if not answer[1]:
            raise OSError("closed")
        if answer[1].status == 503:
            raise NoResponders(subject)
        return answer[1]

    async def put(self, message):
        if not message:
            for answer in self.asked.values():
                answer[0].set()
        elif message.subject[len(self.subject) - 1 :] in self.asked:
            answer = self.asked[message.subject[len(self.subject) - 1 :]]
            answer[1] = message
            answer[0].set()
