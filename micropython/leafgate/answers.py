"""Requests: one subscription takes all answers."""

import asyncio
import os
from binascii import hexlify
from leafgate.subscription import NoResponders


class Answers:
    """What comes back to those who asked: each gets the one that has its token at the end of the subject."""

    def __init__(self, client):
        self.subject = "_INBOX." + hexlify(os.urandom(8)).decode() + ".*"
        self.queue = ""
        self.left = self._last = 0
        self.task = None
        self._client = client
        self._asked = {}

    async def ask(self, subject, data, headers):
        self._last += 1
        token = str(self._last)
        self._asked[token] = answer = [asyncio.Event(), None]
        try:
            await self._client.publish(subject, data, self.subject[:-1] + token, headers)
            await answer[0].wait()
        finally:
            del self._asked[token]
        if not answer[1]:
            raise OSError("closed")
        if answer[1].status == 503:
            raise NoResponders(subject)
        return answer[1]

    async def put(self, message):
        answer = self._asked.get(message.subject[len(self.subject) - 1 :])
        if answer:
            answer[1] = message
            answer[0].set()

    def end(self):
        for answer in self._asked.values():
            answer[0].set()
