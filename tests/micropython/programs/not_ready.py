"""A device whose network is there at the second look only: URL."""

import asyncio
import sys

import leafgate

looks = 0


async def look():
    global looks
    print("asked")
    looks += 1
    if looks == 1:
        raise OSError("no network yet")


async def main(url):
    def tell(state, detail):
        print(state, detail if state == "error" else None)

    client = leafgate.Client(url, ready=look, on_status=tell)
    await client.connected.wait()
    client.on_status = None
    await client.close()


asyncio.run(main(sys.argv[1]))
