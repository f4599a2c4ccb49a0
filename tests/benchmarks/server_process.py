"""A server under test as the operating system sees it: started on its core, measured from outside, ended by pid."""

import contextlib
import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from machine import LoadError

Address = tuple[str, int]

START_SECONDS = 60.0
STOP_SECONDS = 60.0


def free_port() -> int:
    """A loopback port that was free a moment ago, for servers that cannot pick one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """A running server: addresses by protocol, processor time, memory. As a context manager it ends the server.

    `trust` is what a client knows it by, where it speaks TLS.
    """

    def __init__(self, name: str, directory: "tempfile.TemporaryDirectory[str]") -> None:
        self.name = name
        self.addresses: dict[str, Address] = {}
        self.trust: ssl.SSLContext | None = None
        self.directory = Path(directory.name)
        self._temporary = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._command: Sequence[str] = ()
        self._core = 0

    @property
    def log(self) -> str:
        """What the server has written to its standard output and error so far."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LoadError(f"{self.name} was never started")
        return self._process.pid

    def start(self, command: Sequence[str], core: int) -> None:
        """Run the command in its own directory, bound to one core from its first instruction on.

        Binding before exec matters: Go's scheduler counts its cores once, when it starts.
        """
        self._command, self._core = command, core
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )

    def await_addresses(self, read: Callable[[], dict[str, Address] | None]) -> None:
        """Wait until `read` tells the addresses; raises LoadError with the log when the server ends or stays silent."""
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            self.check_alive()
            found = read()
            if found is not None:
                self.addresses = found
                return
            time.sleep(0.01)
        raise LoadError(f"{self.name} was not ready within {START_SECONDS:.0f} s: {self.log[-400:]!r}")

    def check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise LoadError(f"{self.name} ended by itself: {self.log[-400:]!r}")

    def cpu_seconds(self) -> float:
        """Processor time of the whole process, all threads, to the nanosecond.

        Linux derives a process's clock id from its pid: clock_getcpuclockid(3), CPUCLOCK_SCHED = 2.
        """
        return time.clock_gettime((~self.pid << 3) | 2)

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def written_bytes(self) -> int:
        """What it has written to the disk, as the system counts the pages of its files that it has changed."""
        return int(Path(f"/proc/{self.pid}/io").read_text().split("\nwrite_bytes: ")[1].split()[0])

    def kill(self) -> None:
        """End the process as a power cut would, but for what the system keeps; its directory stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def end(self) -> None:
        """End the process (politely, then not); its directory stays."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            if process.poll() is None:
                self.kill()

    def start_again(self) -> None:
        """The same command on what it left; where its ports are fixed, they are the same."""
        self.start(self._command, self._core)

    def stop(self) -> None:
        """End the process and remove its directory."""
        self.end()
        self._temporary.cleanup()

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
