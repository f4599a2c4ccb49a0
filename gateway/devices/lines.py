"""Serial lines: a device that only prints. Its lines become messages by a pattern, and messages become lines for it."""

import re
from collections import deque

import trio

from gateway.accounts.account import Account
from gateway.accounts.permissions import EVERYTHING, Permissions
from gateway.dataplane.port import Port, Receiver
from gateway.devices.ports.port import SerialPort
from gateway.devices.subjects import DeviceSubjects
from gateway.runtime.runtime import Runtime
from gateway.settings.line_pattern import LONGEST_LINE, longest_line
from gateway.settings.serial import Serial
from protocols.message import Message


class LineWriter(Receiver):
    """The subscription to `<subject>.write`: each payload is one line, in a queue of at most `limit` bytes."""

    __slots__ = ("_lines", "_size", "limit", "wake")

    def __init__(self, subject: bytes, limit: int) -> None:
        super().__init__(Port(None), subject, b"")
        self.limit = limit
        self.wake = trio.Event()
        self._lines: deque[bytes] = deque()
        self._size = 0

    def deliver(self, message: Message, source: Port) -> bool:
        line = message.payload() + b"\n"
        if self._size + len(line) > self.limit:
            self.port.dropped += 1
            return False
        self._lines.append(line)
        self._size += len(line)
        self.wake.set()
        return True

    def take(self) -> bytes:
        """All that waits."""
        data = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        return data


class SerialLines:
    """One device in plain-line mode."""

    def __init__(
        self, runtime: Runtime, account: Account, config: Serial, name: str, rights: Permissions = EVERYTHING
    ) -> None:
        self.account = account
        self.rights = rights
        self.subjects = DeviceSubjects(runtime, account, config, name)
        self.writer = LineWriter(self.subjects.prefix + b".write", config.queue_bytes)
        self._pattern = re.compile(config.pattern.encode())
        # Matching longer ones would hold everybody up: they are what the device printed, no more.
        self._longest_matched = longest_line(config.pattern)
        self._rest = b""
        self._is_tail = False

    async def serve(self, port: SerialPort) -> None:
        """Raises PortError, in a group, when the port is gone."""
        self.subjects.presence(True, port.name)
        if self.rights.may_subscribe(self.writer.subject):
            self.account.router.subscribe(self.writer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, port)
                while True:
                    self.receive(await port.read())
        finally:
            if self.writer.slot >= 0:
                self.account.router.unsubscribe(self.writer)
            self.subjects.presence(False, port.name)

    def receive(self, data: bytes) -> None:
        """Publish the lines that are complete; one that is too long is left out."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines and self._is_tail:
            del lines[0]
            self._is_tail = False
        if len(self._rest) > LONGEST_LINE:
            # What is still to come of it must not pass for a line of its own.
            self._rest = b""
            self._is_tail = True
        for line in lines:
            if len(line) <= LONGEST_LINE:
                self._publish(line.strip())

    def _publish(self, line: bytes) -> None:
        match = self._pattern.fullmatch(line) if len(line) <= self._longest_matched else None
        if match is None or not self.subjects.publish(match["subject"] or b"", match["payload"] or b"", self.rights):
            self.subjects.log(line)

    async def _write(self, port: SerialPort) -> None:
        while True:
            data = self.writer.take()
            if data:
                await port.write(data)
            else:
                self.writer.wake = trio.Event()
                await self.writer.wake.wait()
