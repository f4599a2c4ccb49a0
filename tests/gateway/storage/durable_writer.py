"""A program that writes to a data directory until it is killed, and says on standard output what is on the disk.

Lines: `queued <sequence>`, `gone <sequence>`, `kept <number>`; a line comes after the commit that holds the change, and
`plan` lines, of the same form, before it.
"""

import os
import sys
from pathlib import Path

import trio

from gateway.storage.storage import Storage
from gateway.storage.stored_session import NEVER_EXPIRES, StoredSession
from protocols.message import Message, make_message
from tests.gateway.storage.running_journal import running


def say(*lines: str) -> None:
    os.write(1, "".join(f"{line}\n" for line in lines).encode())


async def write(directory: Path) -> None:
    storage = Storage(directory, 1_000_000, 1 << 30)
    sessions, journal = storage.global_account.mqtt_sessions, storage.journal
    if storage.global_account.restored:
        keys = [one.session.key for one in storage.global_account.restored]
        sequence = max(one.last_sequence for one in storage.global_account.restored)
    else:
        keys = [sessions.new_key() for _ in range(3)]
        for key in keys:
            sessions.save(StoredSession(key, b"client%d" % key, 4, NEVER_EXPIRES))
        sequence = 0
    queued: list[tuple[int, Message]] = []
    async with running(journal):
        while True:
            for _ in range(10):
                sequence += 1
                message = make_message(b"a", b"%d" % sequence * (1 + sequence % 50))
                for key in keys:
                    sessions.enqueue(key, sequence, message, 1)
                queued.append((sequence, message))
                journal.when_durable(lambda sequence=sequence: say(f"queued {sequence}"))
                storage.global_account.retained.keep(make_message(b"r.%d" % (sequence % 7), b"%d" % sequence))
                if sequence % 3 == 0:
                    old, message = queued.pop(0)
                    say(f"plan {old}")
                    for key in keys:
                        sessions.dequeue(key, old, message)
                    journal.when_durable(lambda old=old: say(f"gone {old}"))
            await trio.lowlevel.checkpoint()
            if journal.pending_bytes > 1 << 20:
                await trio.sleep(0.001)


trio.run(write, Path(sys.argv[1]))
