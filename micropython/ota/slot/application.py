"""The application: replace this file with yours, and send it with `leafgate device push`. It says how long it runs."""

import asyncio
import time

EVERY_SECONDS = 30


async def run(device):
    started = time.time()
    while True:
        await device.connected.wait()
        await device.publish("uptime", b"%d" % (time.time() - started))
        await asyncio.sleep(EVERY_SECONDS)
