"""A device with an outbox: URL, options of the Outbox as JSON, the first of the numbers that it publishes on "kept.a",
and how many. Where the queue is full it waits for room. It says how far it is, and leaves when all is acknowledged.
"""

import asyncio
import json
import sys

import leafgate
from leafgate.outbox import Outbox

NO_SPACE = 28


async def queue(outbox, number):
    while True:
        try:
            return await outbox.publish("kept.a", str(number), {"Number": str(number)})
        except OSError as error:
            assert error.errno == NO_SPACE
            await asyncio.sleep_ms(10)


async def main(url, options, first, count):
    client = leafgate.Client(url, name="shed", on_status=print)
    outbox = Outbox(client, **options)
    print("found", outbox.store.count)
    for number in range(first, first + count):
        await queue(outbox, number)
        await asyncio.sleep_ms(1)
        if number % 10 == 9:
            print("queued", number + 1)
    print("queued all")
    await outbox.flush()
    print("acknowledged all; dropped", outbox.dropped)
    await client.close()


asyncio.run(main(*[json.loads(argument) for argument in sys.argv[1:]]))
