"""A device: URL and options of the client as JSON. Prints its status, answers on `ask`; `stop` ends it.

`ca` is a file with a certificate as DER.
"""

import asyncio
import json
import sys

import leafgate


async def main(url, options):
    if "ca" in options:
        with open(options.pop("ca"), "rb") as file:
            options["tls"] = file.read()
    stop = asyncio.Event()

    async def answer(message):
        await message.respond(b"answer to " + message.data)

    async def end(message):
        stop.set()

    def tell(state, detail):
        print(state, repr(detail))

    client = leafgate.Client(url, on_status=tell, **options)
    await client.subscribe("ask", cb=answer)
    await client.subscribe("stop", cb=end)
    await stop.wait()
    await client.drain()


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
