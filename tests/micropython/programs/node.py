"""A device: URL and options of the client as JSON, or a file with them. Prints its status, answers on `ask`; `stop`
ends it.

`ca` is a file with a certificate as DER; `cert` and `key` are such files with the device's own, `creds` is one of
credentials. `psk` is an identity and a key that is shared, in hexadecimal digits.
"""

import asyncio
import json
import sys

import leafgate


def content(path):
    with open(path, "rb") as file:
        return file.read()


async def main(url, options):
    if "ca" in options:
        options["tls"] = content(options.pop("ca"))
    if "cert" in options:
        from leafgate.tls import verified

        options["tls"] = verified(options["tls"])
        options["tls"].load_cert_chain(content(options.pop("cert")), content(options.pop("key")))
    if "psk" in options:
        from leafgate.tls import psk

        identity, key = options.pop("psk")
        options["tls"] = psk(identity.encode(), bytes.fromhex(key))
    if "creds" in options:
        options["nkey"] = content(options.pop("creds")).decode()
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


given = sys.argv[2]
asyncio.run(main(sys.argv[1], json.loads(given if given.startswith("{") else content(given))))
