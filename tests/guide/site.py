"""A machine for one page: its servers, each on the addresses that the page writes, and a shell.

It runs in network and mount namespaces of its own (see `run_page`), so nothing here meets anything outside.
"""

import json
import os
import re
import select
import signal
import socket
import subprocess
import time
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.patience import PATIENCE_SECONDS

SECONDS = PATIENCE_SECONDS
POLL_SECONDS = 0.02
MONITORING = "127.0.0.1:8222"
LOG_TAIL = 3000


def wait_until(ready: Callable[[], bool], what: str) -> None:
    """Poll until `ready()`; raises TimeoutError."""
    give_up = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > give_up:
            raise TimeoutError(f"{what} did not happen within {SECONDS:g} s")
        time.sleep(POLL_SECONDS)


class Server:
    """A server that a file configures: the gateway, nats-server or mosquitto."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.log = file.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        text = file.read_text()
        if file.suffix == ".toml":
            self._command = ["leafgate", "run", "-c", str(file)]
            self.monitoring = tomllib.loads(text).get("monitoring", {}).get("address", MONITORING)
            self._port = ""
        else:
            broker = "mosquitto" in file.name
            self._command = ["mosquitto" if broker else "nats-server", "-c", str(file)]
            http, port = (re.search(rf"^{key}:? *\"?([\w.]+:?[\w.]+)", text, re.M) for key in ("http", "listen(?:er)?"))
            self.monitoring = http[1] if http else ""
            self._port = port[1] if port else ""

    def start(self) -> None:
        """Start it, or start it again, and return once it takes clients."""
        self.stop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self.log.open("ab") as log:
            notify = self.file.with_suffix(".notify")
            notify.unlink(missing_ok=True)
            manager.bind(str(notify))
            manager.settimeout(POLL_SECONDS)
            self._process = subprocess.Popen(
                self._command,
                cwd=self.file.parent,
                env=os.environ | {"NOTIFY_SOCKET": str(notify)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            wait_until(lambda: self._is_ready(manager), f"start with {self.file.name}")

    def _is_ready(self, manager: socket.socket) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.file.name}: status {self._process.returncode}: {self.log_tail()}")
        if self.file.suffix == ".toml":
            try:
                return b"READY=1" in manager.recv(4096)
            except TimeoutError:
                return False
        return "is ready" in self.log_tail() or "running" in self.log_tail()

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def subscriptions(self) -> int:
        """Those of its clients and of its links, as monitoring tells."""
        found = 0
        for path, key in (("connz", "connections"), ("leafz", "leafs")):
            with urllib.request.urlopen(f"http://{self.monitoring}/{path}", timeout=PATIENCE_SECONDS) as answer:
                found += sum(one.get("subscriptions", 0) for one in json.load(answer).get(key) or ())
        return found


class Job:
    """A command that was started: where its output goes, and its process group if it runs in the background."""

    def __init__(self, output: Path, group: int = 0) -> None:
        self._output = output
        self._group = group

    def printed(self) -> list[str]:
        return self._output.read_text(errors="replace").splitlines()

    def end(self) -> None:
        if self._group:
            try:
                os.killpg(self._group, signal.SIGTERM)
            except ProcessLookupError:
                pass


class Shell:
    """A bash that keeps its variables from command to command."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0
        read_end, write_end = os.pipe()
        self._told = os.fdopen(read_end)
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=(write_end,),
        )
        os.close(write_end)
        self._say = f">&{write_end}"
        # What runs in the background is a process group, which can be ended as a whole.
        self._ask(f"set -m; echo 0 {self._say}")

    def run(self, text: str) -> tuple[Job, int]:
        """Run a command to its end; returns it and its exit status."""
        output = self._next_output()
        status = self._ask(
            f"{{ {text}\n}} >{output} 2>&1 </dev/null; status=$?; echo $status {self._say}; (exit $status)"
        )
        return Job(output), status

    def start(self, text: str) -> Job:
        """Start a command in the background."""
        output = self._next_output()
        output.touch()
        return Job(output, self._ask(f"{{ {text}\n}} >{output} 2>&1 </dev/null & echo $! {self._say}; disown"))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _next_output(self) -> Path:
        self._number += 1
        return self._directory / f".output.{self._number}"

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        readable, _, _ = select.select([self._told], [], [], SECONDS)
        if not readable:
            raise TimeoutError(f"it did not end within {SECONDS:g} s")
        return int(self._told.readline())
