"""A gateway that is killed in the middle of its commits has lost nothing that it said was on the disk."""

import random
import subprocess
import sys
from pathlib import Path

from gateway.storage.storage import Storage

PROGRAM = Path(__file__).with_name("durable_writer.py")


def run_and_kill(directory: Path, lines: int) -> list[str]:
    """What the program said until it was killed, at least so many lines."""
    root = str(PROGRAM.parents[3])
    with subprocess.Popen(
        [sys.executable, PROGRAM, directory], stdout=subprocess.PIPE, cwd=root, env={"PYTHONPATH": root}
    ) as program:
        assert program.stdout is not None
        said = [program.stdout.readline() for _ in range(lines)]
        program.kill()
        said += program.stdout.readlines()
    return [line.decode().rstrip("\n") for line in said if line.endswith(b"\n")]


def test_everything_said_to_be_durable_is_there_after_a_kill(tmp_path: Path):
    chance = random.Random(1)
    queued: set[int] = set()
    planned: set[int] = set()
    gone: set[int] = set()
    for _ in range(5):
        for line in run_and_kill(tmp_path, chance.randrange(1, 3000)):
            word, number = line.split()
            {"queued": queued, "plan": planned, "gone": gone}[word].add(int(number))
        storage = Storage(tmp_path, 1_000_000, 1 << 30)
        assert storage.database.set_aside is None
        connection = storage.database.connection
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute(
            "SELECT session, sequence, body FROM queue LEFT JOIN message ON id = message"
        ).fetchall()
        for key in {one.session.key for one in storage.global_account.restored}:
            found = {sequence: body for session, sequence, body in rows if session == key}
            assert queued - planned <= found.keys()
            assert not gone & found.keys()
            assert all(body == b"%d" % sequence * (1 + sequence % 50) for sequence, body in found.items())
        newest: dict[int, int] = {}
        for sequence in sorted(queued):
            newest[sequence % 7] = sequence
        for number, sequence in newest.items():
            message = storage.global_account.retained.get(b"r.%d" % number)
            assert message is not None
            assert int(message.payload()) >= sequence
        storage.close()
    assert len(queued) > 100
