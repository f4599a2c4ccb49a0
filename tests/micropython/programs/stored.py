"""A device that publishes what a server is to store: URL, then as JSON a list of arguments of jetstream.publish."""

import asyncio
import json
import sys

import leafgate
from leafgate.jetstream import JetStreamError, publish


async def main(url, messages):
    client = await leafgate.connect(url, 10)
    for message in messages:
        try:
            ack = await publish(client, **message)
            print("stored", ack.stream, ack.seq, ack.duplicate)
        except JetStreamError as error:
            print("error", error.code, error.number, error.description)
    await client.drain()


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
