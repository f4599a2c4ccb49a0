"""A device with little memory, as bytecode: it sends itself 1,000 messages, answers requests, and ends on "stop"."""

import asyncio
import gc
import sys

import leafgate

count = 0


async def on_message(message):
    global count
    if not message.reply:
        count += 1
        return
    await message.respond(message.data)


async def main(url):
    client = await leafgate.connect(url, rx=512, tx=128, on_status=print)
    await client.subscribe("board.in", cb=on_message)
    stop = await client.subscribe("board.stop")
    gc.collect()
    print("live", gc.mem_alloc())
    for number in range(1, 1001):
        await client.publish("board.in", b"21.5 degrees")
        if number % 5 == 0:
            await client.flush()
    while count < 1000:
        await asyncio.sleep_ms(1)
    print("received", count)
    await stop.__anext__()
    await client.close()
    print("live", gc.mem_alloc())


asyncio.run(main(sys.argv[2]))
