"""The `nats` command, as people use it."""

import os
import subprocess
from pathlib import Path

from tests.integration.peers import NATS_COMMAND, Peer, require_peer
from tests.patience import PATIENCE_SECONDS


class NatsCommand:
    """Runs the command as a user of a gateway; it finds no configuration of anybody's."""

    def __init__(self, peer: Peer, user: str, home: Path) -> None:
        self._program = require_peer(NATS_COMMAND)
        host, port = peer.address("nats")
        self._server = f"nats://{user}:{user}@{host}:{port}"
        self._environment = os.environ | {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "NO_COLOR": "1"}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the command; what it says comes from its `stdout`."""
        patience = () if "--timeout" in arguments else ("--timeout", f"{PATIENCE_SECONDS:g}s")
        return subprocess.Popen(
            [self._program, "--server", self._server, *patience, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        """What the command says; it must end with this status."""
        process = self.start(*arguments)
        try:
            said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise AssertionError(f"nats {' '.join(arguments)} did not end:\n{said}") from None
        assert process.returncode == status, f"nats {' '.join(arguments)}:\n{said}"
        return said
