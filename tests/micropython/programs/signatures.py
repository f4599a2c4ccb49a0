"""Compares what the board computes with what stands in a file, a JSON list."""

import asyncio
import json
import sys
from binascii import unhexlify

from leafgate.ed25519 import sign, verify
from leafgate.nkey import expand, sign_in


async def right(case):
    expanded, message = unhexlify(case["nkey_expanded"]), unhexlify(case["message"])
    signature = unhexlify(case["signature"])
    return (
        await expand(case["nkey_seed"]) == expanded
        and (await sign_in(case["nkey_seed"], None))["nkey"] == case["nkey"]
        and await sign(expanded, message) == signature
        and await verify(expanded[64:], signature, message)
        and not await verify(expanded[64:], signature, message + b"!")
    )


async def main(path):
    with open(path) as file:
        cases = json.load(file)
    for case in cases:
        print("right" if await right(case) else "wrong")


asyncio.run(main(sys.argv[1]))
