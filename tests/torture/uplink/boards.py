"""Devices with an outbox in a real MicroPython, over TCP or a serial line; what they were told goes into the ledger."""

import os
import re
import subprocess
import threading
from pathlib import Path

from tests.integration.peers import STOP_SECONDS
from tests.integration.serial_line import LIBRARY, MICROPYTHON
from tests.torture.uplink.ledger import UplinkLedger

PROGRAM = Path(__file__).parents[1] / "micropython" / "numbered_outbox.py"
# Errors behind which an outbox gives a message up.
GIVEN_UP = re.compile(r"error 4(?!08|29)\d\d ")
# It numbers on as long as it runs: what it has sent and was not told about may be anywhere.
MOST_NUMBERS = 1 << 40


class BoardPublisher:
    """`where` is a URL or a tty. Its process is not killed, so that it knows what was acknowledged."""

    def __init__(self, where: str, name: str, subject: str, directory: Path, ledger: UplinkLedger) -> None:
        self.name = name
        self._ledger = ledger
        self._stop = directory / f"stop-{name}"
        self._stop.unlink(missing_ok=True)
        ledger.sent[name] = MOST_NUMBERS
        command = [str(MICROPYTHON), "-X", "heapsize=512k", str(PROGRAM), where, name, subject, str(self._stop)]
        self._process = subprocess.Popen(
            command,
            env=os.environ | {"MICROPYPATH": f"{LIBRARY}:.frozen"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._told = 0
        self._finished = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def settled(self) -> bool:
        return self._finished

    def stop(self) -> None:
        """Publish nothing new, and end once everything is acknowledged."""
        self._stop.touch()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                word, _, rest = line.partition(" ")
                if word == "acknowledged":
                    for number in range(self._told, int(rest)):
                        self._ledger.acknowledge((self.name, number))
                    self._told = max(self._told, int(rest))
                elif word == "sent":
                    self._finished = True
                elif GIVEN_UP.match(line) or "Traceback" in line:
                    self._ledger.faults.append(f"{self.name}: {line.strip()}")
