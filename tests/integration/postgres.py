"""Debian's PostgreSQL, in a cluster of its own below a temporary directory."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.integration.peers import free_port, missing_peer

PROGRAMS = Path("/usr/lib/postgresql")
# Who runs it where the tests run as root, which it does not do.
USER = "postgres"
STOP = "immediate"


def find_programs() -> Path:
    """The directory of the newest version's programs; skips the test without any."""
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        missing_peer("postgres is not installed (Debian: postgresql)")
    return found[-1].parent


class Postgres:
    """`start` and `stop` as often as wanted; the cluster stays."""

    def __init__(self, directory: Path) -> None:
        self._programs = find_programs()
        self._directory = directory
        self._port = free_port()
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(directory, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", str(directory / "data"), "-U", "edge", "-A", "trust", "-N", "-E", "UTF8")

    @property
    def url(self) -> str:
        return f"postgresql://edge@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._directory} -F"
        log = str(self._directory / "log")
        self._run("pg_ctl", "-D", str(self._directory / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._directory / "data"), "-m", STOP, "stop")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type,unused-ignore]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def postgres() -> Iterator[Postgres]:
    """One that runs. Its directory is no one of pytest's, which another user may not enter."""
    directory = Path(tempfile.mkdtemp(prefix="leafgate-postgres-"))
    try:
        one = Postgres(directory)
        one.start()
        try:
            yield one
        finally:
            one.stop()
    finally:
        shutil.rmtree(directory)
