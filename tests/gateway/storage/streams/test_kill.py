"""A gateway that is killed in the middle of its commits has lost nothing that it said was on the disk."""

import random
import subprocess
import sys
from pathlib import Path

from tests.gateway.storage.streams.appending_writer import payload
from tests.gateway.storage.streams.running_store import opened, read_all

PROGRAM = Path(__file__).with_name("appending_writer.py")


def run_and_kill(directory: Path, lines: int) -> list[list[str]]:
    """The words of what the program said until it was killed, at least so many lines."""
    root = str(PROGRAM.parents[4])
    with subprocess.Popen(
        [sys.executable, PROGRAM, directory], stdout=subprocess.PIPE, cwd=root, env={"PYTHONPATH": root}
    ) as program:
        assert program.stdout is not None
        said = [program.stdout.readline() for _ in range(lines)]
        program.kill()
        said += program.stdout.readlines()
    return [line.decode().split() for line in said if line.endswith(b"\n")]


async def test_everything_said_to_be_durable_is_there_after_a_kill(tmp_path: Path):
    chance = random.Random(1)
    appended = {"plain": 0, "last": 0, "queue": 0}
    acknowledged = 0
    ids: dict[int, bytes] = {}
    for _ in range(5):
        for word, *rest in run_and_kill(tmp_path, chance.randrange(1, 5000)):
            if word == "appended":
                appended[rest[0]] = max(appended[rest[0]], int(rest[1]))
            else:
                acknowledged = max(acknowledged, int(rest[0]))
        async with opened(tmp_path) as store:
            assert store.database.set_aside is None
            assert store.damaged_chunks == 0
            for name, last in appended.items():
                stream = store.get("$G", name)
                assert stream is not None
                assert stream.last >= last
                messages = await read_all(stream)
                assert all(message.payload == payload(message.sequence) for message in messages)
                sequences = [message.sequence for message in messages]
                times = [message.time_ns for message in messages]
                assert times == sorted(times)
                if name == "last":
                    assert sequences == list(range(stream.last - 6, stream.last + 1))
                else:
                    assert sequences == list(range(stream.first, stream.last + 1))
                if name == "plain":
                    assert stream.first == 1
                    assert all(
                        stream.message_id(one) == ids.setdefault(one, stream.message_id(one)) for one in sequences
                    )
                    assert len(set(ids.values())) == len(ids)
                if name == "queue":
                    assert stream.cursors["forward"].floor >= acknowledged
                    assert stream.first <= stream.cursors["forward"].floor + 1
    assert acknowledged > 100
    assert min(appended.values()) > 100
