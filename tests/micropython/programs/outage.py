"""A device that stays: servers and options of the client as JSON. It says what happens to it; "stop" ends it.

It prints what comes on "in", and the three messages more that it wants on "limited". While there is no server it asks
and publishes all the same. The option `raises` is the state at which its status callback fails, `ready` that it makes
ready for every attempt and wants to know what became of it.
"""

import asyncio
import json
import sys

import leafgate


async def main(servers, options):
    raises = options.pop("raises", None)
    stop = asyncio.Event()

    async def take(message):
        print(message.subject, message.data.decode())
        if message.reply:
            await message.respond(b"here")

    async def end(message):
        stop.set()

    async def ask():
        try:
            await client.request("svc", timeout=0.1)
        except asyncio.TimeoutError:
            print("asked in vain")

    async def publish():
        await client.publish("out", b"during")
        print("published")

    def tell(state, detail):
        print(state, detail)
        if state == "lost":
            asyncio.create_task(ask())
            asyncio.create_task(publish())
        if state == raises:
            raise ValueError("no good")

    async def get_ready():
        return tell_through

    def tell_through(there):
        print("through", there)
        raise ValueError("no good")

    if options.pop("ready", False):
        options["ready"] = get_ready
    client = leafgate.Client(servers, on_status=tell, **options)
    await client.subscribe("in", cb=take)
    limited = await client.subscribe("limited", cb=take)
    await limited.unsubscribe(after=3)
    await client.subscribe("stop", cb=end)
    await stop.wait()
    await client.drain()


asyncio.run(main(*[json.loads(argument) for argument in sys.argv[1:]]))
