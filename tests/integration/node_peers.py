"""Clients in Node for the integration tests: scripts in `node/` that take commands and tell events as JSON lines."""

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers import missing_peer, require_peer
from tests.patience import PATIENCE_SECONDS

HERE = Path(__file__).parent
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# What playwright-core runs in.
OLDEST_NODE = 20


def require_node(*packages: str) -> str:
    """The path of node; skips without it or without its packages (fails where LEAFGATE_REQUIRE_PEERS=1)."""
    program = require_peer("node")
    for package in packages:
        if not (HERE / "node_modules" / package).is_dir():
            missing_peer(f"the npm package {package} is not installed (npm install in tests/integration)")
    return program


def require_chromium() -> str:
    """The path of a Chromium; skips without it, or without a Node that drives it (fails where it is required)."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        missing_peer("no Chromium here (Debian: chromium-headless-shell)")
    assert found is not None
    node = require_node("playwright-core")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(told.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        missing_peer(f"playwright-core needs Node {OLDEST_NODE}, this is {told.strip()}")
    return found


class NodeClient:
    """A running script. Each command is answered once; messages wait in a queue of their own."""

    def __init__(self, program: str, script: str, url: str, *arguments: str) -> None:
        self.script = script
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._process = subprocess.Popen(
            [program, str(HERE / "node" / script), url, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def call(self, command: str, **arguments: Any) -> Any:
        """Have a command of the script carried out; returns its result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self.next_answer()

    def next_answer(self) -> Any:
        answer = self._take(self._answers)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def next_message(self) -> dict[str, Any]:
        return self._take(self._messages)

    def close(self) -> None:
        """End of input ends the script, which closes its connection first."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                event = json.loads(line)
                (self._messages if "message" in event else self._answers).put(event.get("message", event))

    def _take(self, events: "queue.Queue[dict[str, Any]]") -> dict[str, Any]:
        try:
            return events.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            pytest.fail(f"{self.script} said nothing for {PATIENCE_SECONDS:g} s, status {self._process.poll()}")


@contextmanager
def node_client(script: str, url: str) -> Iterator[NodeClient]:
    """A script that is connected to `url`."""
    program = require_node("ws", "mqtt", "@nats-io/nats-core")
    client = NodeClient(program, script, url)
    try:
        assert client.next_answer() == "connected"
        yield client
    finally:
        client.close()
