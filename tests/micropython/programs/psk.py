"""TLS with a shared key: PORT IDENTITY KEY. Says hello and prints what comes back."""

import asyncio
import sys
from binascii import unhexlify

from leafgate.tls import psk, upgrade
from leafgate.wire import open_tcp


async def main(port, identity, key):
    stream = await upgrade(await open_tcp("127.0.0.1", port), "localhost", psk(identity.encode(), unhexlify(key)))
    stream.write(b"hello\n")
    await stream.drain()
    print(await stream.readline())


asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
