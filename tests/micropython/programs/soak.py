"""100,000 messages to itself. Prints what lives on the heap after each 10,000, and how many it had to drop."""

import asyncio
import gc
import sys

import leafgate


async def main(url):
    client = await leafgate.connect(url)
    sub = await client.subscribe("in", pending=25)
    for _ in range(10):
        for _ in range(500):
            for _ in range(20):
                await client.publish("in", b"0123456789abcdef")
            for _ in range(20):
                await sub.__anext__()
        await client.flush()
        gc.collect()
        print(gc.mem_alloc())
    print("dropped", sub.dropped + client.dropped)
    await client.close()


asyncio.run(main(sys.argv[1]))
