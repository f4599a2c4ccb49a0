"""A program that appends to streams until it is killed, and says on standard output what is on the disk.

Lines: `appended <stream> <sequence>` behind the commit that holds the message, `acknowledged <sequence>` behind the one
that holds the cursor.
"""

import os
import sys
from pathlib import Path

import trio

from gateway.storage.streams.limits import Limits
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream

STREAMS = {
    "plain": Limits(subjects=False),
    "last": Limits(max_per_subject=1),
    "queue": Limits(keep_acknowledged=False, subjects=False),
}


def payload(sequence: int) -> bytes:
    return b"%d" % sequence * (1 + sequence % 50)


def say(*lines: str) -> None:
    os.write(1, "".join(f"{line}\n" for line in lines).encode())


async def write(directory: Path) -> None:
    store = StreamStore(directory)
    streams = [store.get("$G", name) or store.create("$G", name, limits) for name, limits in STREAMS.items()]
    queue = streams[-1]
    cursor = queue.cursor("forward")
    store.start(trio.lowlevel.current_trio_token().run_sync_soon, lambda: None)
    while True:
        for _ in range(10):
            for stream in streams:
                sequence = stream.append(b"a.%d" % (stream.last % 7), b"", payload(stream.last + 1))
                tell(store, stream, sequence)
        floor = max(queue.committed - 20, cursor.floor)
        cursor.acknowledge_through(floor)
        store.commits.when_durable(lambda floor=floor: say(f"acknowledged {floor}"))
        await trio.lowlevel.checkpoint()
        if store.commits.pending_bytes > 1 << 20:
            await trio.sleep(0.001)


def tell(store: StreamStore, stream: Stream, sequence: int) -> None:
    store.commits.when_durable(lambda: say(f"appended {stream.name} {sequence}"))


if __name__ == "__main__":
    trio.run(write, Path(sys.argv[1]))
