"""A device with a key-value bucket: URL, the bucket's name, a story, and what it needs as JSON.

"steps": calls methods of the bucket, each a list of name and arguments, and says what became of it. "watch": options of
Bucket.watch; says what changes, until the key "end" does.
"""

import asyncio
import json
import sys

import leafgate
from leafgate.jetstream import JetStreamError
from leafgate.kv import Bucket, Entry


def shown(result):
    if isinstance(result, Entry):
        return "%s=%s@%d" % (result.key, bytes(result.value).decode(), result.revision)
    return sorted(result) if isinstance(result, list) else result


async def steps(bucket, calls):
    for name, *arguments in calls:
        try:
            print(name, shown(await getattr(bucket, name)(*arguments)))
        except JetStreamError as error:
            print(name, "error", error.code, error.number)
        except ValueError as error:
            print(name, error)


async def watch(bucket, options):
    changes = await bucket.watch(**options)
    print("pending", changes.pending)
    async for entry in changes:
        value = bytes(entry.value) if len(entry.value) < 100 else b"%d bytes" % len(entry.value)
        print(entry.operation, entry.key, value.decode(), entry.revision, changes.pending)
        if entry.key == "end":
            break
    await changes.stop()


async def main(url, name, story, options):
    client = await leafgate.connect(url, 10, on_status=print)
    await {"steps": steps, "watch": watch}[story](Bucket(client, name), json.loads(options))
    await client.drain()
    print("done")


asyncio.run(main(*sys.argv[1:]))
