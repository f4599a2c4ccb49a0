"""The other side of `programs/node.py`: NATS clients that ask it something and end it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import nats
from nats.errors import NoRespondersError

from tests.micropython.unix_port import PATIENCE_SECONDS, board

QUESTIONS = (b"1", bytes(range(256)), b"x" * 5000)


async def ask(url: str, questions: Sequence[bytes] = QUESTIONS, **options: Any) -> None:
    """Ask the device at a server some questions and tell it to stop."""
    client = await nats.connect(url, **options)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for question in questions:
                assert (await answer(client, question)).endswith(b"answer to " + question)
        await client.publish("stop")
        await client.flush()
    finally:
        await client.close()


async def answer(client: nats.NATS, question: bytes) -> bytes:
    """The device's answer, once it listens."""
    while True:
        try:
            return (await client.request("ask", question, timeout=PATIENCE_SECONDS)).data
        except NoRespondersError:
            await asyncio.sleep(0.02)


def meet(url: str, server: str, **options: Any) -> str:
    """A device with these options comes to `url`, answers somebody at `server`, and leaves. What it printed."""
    with board("node.py", url, json.dumps(options)) as device:
        device.until("connected")
        asyncio.run(ask(server))
        return device.finished()


def refused(url: str, **options: Any) -> str:
    """What a device with these options says when it cannot come to `url`."""
    with board("node.py", url, json.dumps(options)) as device:
        return device.until("error")
