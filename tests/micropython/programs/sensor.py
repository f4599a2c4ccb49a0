"""A sensor: URL, and how long it may take to connect. It tells its temperature until it is asked, answers, and ends
when it is asked nothing.
"""

import asyncio
import sys

import leafgate


async def main(url, wait=None):
    asked = []

    async def on_ask(message):
        asked.append(message)
        if message.reply:
            await message.respond(message.data + b" 21.5", headers=message.headers)

    try:
        client = await leafgate.connect(url, wait and float(wait), on_status=lambda state, detail: print(state))
    except asyncio.TimeoutError:
        print("TimeoutError")
        return
    await client.subscribe("sensors.shed.ask", cb=on_ask)
    await client.publish("sensors.shed.temperature", "%.1f" % 21.5, headers={"unit": "C"})
    while not asked or asked[-1].reply:
        await asyncio.sleep_ms(5)
    await client.drain()


asyncio.run(main(*sys.argv[1:]))
