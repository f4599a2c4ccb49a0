"""A device at a server that does not read: URL and a story. Every send ends, one way or the other."""

import asyncio
import sys

import leafgate

LARGE = bytes(100000)


async def told(client):
    """The connection is given up; who sends on it is told, and sends on the next."""

    async def send():
        try:
            for _ in range(100):
                await client.publish("out", LARGE)
        except OSError as error:
            print("told", error)
            await client.publish("out", b"end")

    tasks = [asyncio.create_task(send()) for _ in range(3)]
    for task in tasks:
        await task


async def cancelled(client):
    """Half a message may have gone, so the connection has to go, too."""
    try:
        for _ in range(100):
            await asyncio.wait_for(client.publish("out", LARGE), 0.3)
        print("not stuck")
    except asyncio.TimeoutError:
        print("cancelled")
    while client.connected.is_set():
        await asyncio.sleep_ms(5)
    await client.publish("out", b"end")


async def main(url, story):
    client = await leafgate.connect(url, ping=1 if story == "told" else 20, on_status=print)
    await globals()[story](client)
    await client.flush()
    await client.close()


asyncio.run(main(*sys.argv[1:]))
