"""The service manager that started us (systemd): told how the gateway is, as sd_notify(3) has it.

It names a datagram socket in the environment; without one nobody is told anything.
"""

import os
import socket
import time
from collections.abc import MutableMapping

import trio

# Beside what the configuration allows: starting Python, reading stored sessions.
MARGIN_SECONDS = 60.0
MICROSECONDS = 1_000_000


class ServiceManager:
    """`watchdog_seconds` is how long the manager bears our silence once we are ready; 0 for ever."""

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        self.watchdog_seconds = watchdog_seconds
        # A name in the abstract name space is written with an @ for its first byte, which is 0.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)

    def starting(self, seconds: float) -> None:
        """The start may wait so long for an address or the data directory."""
        self._tell(_patience(seconds))

    def ready(self, status: str) -> None:
        """Everything is open; also behind `reloading`."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """`ready` comes when it is done."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, seconds: float) -> None:
        """Nobody new is let in; those who are there have so long to go."""
        self._tell("STOPPING=1", "STATUS=parts with its clients", _patience(seconds))

    async def keep_alive(self) -> None:
        """Give a sign of life twice in the time that the manager waits for one, from the loop that serves everybody."""
        while self.watchdog_seconds:
            self._tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_seconds / 2)

    def _tell(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            pass  # Who does not listen misses it; the next sign of life is another try.


def _patience(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={int((seconds + MARGIN_SECONDS) * MICROSECONDS)}"


def find_service_manager(environment: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """The one that the environment names, which is for this process alone: what names it is taken out."""
    address = environment.pop("NOTIFY_SOCKET", "")
    microseconds = environment.pop("WATCHDOG_USEC", "")
    is_ours = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    seconds = int(microseconds) / MICROSECONDS if is_ours and microseconds.isdecimal() else 0.0
    return ServiceManager(address if address.startswith(("/", "@")) else "", seconds)
