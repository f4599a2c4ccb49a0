"""How much of a serial line's rate is payload, with a real MicroPython at the other end of a paced pty.

The line takes ten bits a byte in each direction and flips bits at the given rate. Prints a table:
python -m tests.benchmarks.serial_link_rates [--bytes N] [--baud N]
"""

import argparse
import os
import pty
import random
import select
import subprocess
import sys
import time
import tty
from binascii import crc32
from dataclasses import dataclass
from pathlib import Path

from protocols.serial_link.link import Ended, Link, LinkEvent, LinkSettings, Opened, Received

HERE = Path(__file__).parent
MICROPYTHON = Path(sys.executable).parent / "micropython"
# The line's clock: bytes that are due are handed over this often.
TICK_SECONDS = 0.0005
GIVE_UP_SECONDS = 20.0
BLOCK = 4096


def pattern(size: int) -> bytes:
    """The device's, see serial_link_device.py."""
    state, out = 1, bytearray(size)
    for index in range(size):
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        out[index] = state >> 16 & 0xFF
    return bytes(out)


class PacedDirection:
    """Bytes in one direction: at most what the rate allows since the last look, with bits flipped."""

    def __init__(self, baud: int, bit_error_rate: float, seed: int) -> None:
        self.queue = bytearray()
        self._rate = baud / 10
        self._errors = bit_error_rate
        self._random = random.Random(seed)
        self._at = time.perf_counter()
        self._gap = self._next_gap()
        self._credit = 0.0

    def due(self) -> bytes:
        now = time.perf_counter()
        self._credit += (now - self._at) * self._rate
        self._at = now
        count = min(int(self._credit), len(self.queue))
        # An idle line saves nothing up; a late look makes up for what it missed.
        self._credit = self._credit - count if self.queue[count:] else min(self._credit - count, 1.0)
        data = self.queue[:count]
        del self.queue[:count]
        while self._gap < 8 * len(data):
            data[self._gap >> 3] ^= 1 << (self._gap & 7)
            self._gap += 1 + self._next_gap()
        self._gap -= 8 * len(data)
        return bytes(data)

    def _next_gap(self) -> int:
        return int(self._random.expovariate(self._errors)) if self._errors else 1 << 62


@dataclass
class Result:
    share: float
    intact: bool
    retransmissions: int
    device: str


class Run:
    """One transfer between a Link in this process and the MicroPython process."""

    def __init__(self, mode: str, size: int, baud: int, mtu: int, errors: float, seed: int) -> None:
        self.mode, self.size, self.baud, self.mtu = mode, size, baud, mtu
        block = pattern(BLOCK)
        self.sent = (block * (size // BLOCK + 1))[:size]
        self.outgoing = b"" if mode == "up" else self.sent
        self.received = bytearray()
        self.began = self.ended = 0.0
        self.to_device = PacedDirection(baud, errors, seed)
        self.to_us = PacedDirection(baud, errors, seed + 1)
        self.link = Link(LinkSettings(mtu=mtu), lambda: random.randrange(1, 1 << 32), time.perf_counter(), baud)
        self.link.attach(time.perf_counter(), baud)

    def run(self) -> Result:
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        arguments = [os.ttyname(slave), str(self.baud), str(self.mtu), self.mode, str(self.size)]
        command = [str(MICROPYTHON), "-X", "heapsize=512k", str(HERE / "serial_link_device.py"), *arguments]
        path = f"{HERE.parents[1] / 'micropython'}:.frozen"
        process = subprocess.Popen(command, env=os.environ | {"MICROPYPATH": path}, stdout=subprocess.PIPE, text=True)
        try:
            self._serve(master)
            told, _ = process.communicate(timeout=10)
        finally:
            process.kill()
            process.wait()
            os.close(master)
            os.close(slave)
        wanted = self.sent if self.mode != "down" else b"%08x" % crc32(self.sent)
        share = self.size * 10 / self.baud / (self.ended - self.began)
        return Result(share, self.received == wanted, self.link.sender.retransmissions, told.strip())

    def _serve(self, master: int) -> None:
        give_up = time.perf_counter() + GIVE_UP_SECONDS
        wanted = self.size if self.mode != "down" else 8
        finished = False
        backlog = b""
        while not finished or self.link.up or self.to_device.queue:
            if time.perf_counter() > give_up:
                raise TimeoutError(f"{len(self.received)} of {wanted} bytes after {GIVE_UP_SECONDS} s")
            readable, _, _ = select.select([master], [], [], TICK_SECONDS)
            if readable:
                self.to_us.queue += os.read(master, 4096)
            now = time.perf_counter()
            data = self.to_us.due()
            if data:
                self._act(self.link.receive(data, now), now)
            if self.outgoing and self.began:
                self.outgoing = self.outgoing[self.link.send(self.outgoing) :]
            if now >= self.link.next_deadline():
                self._act(self.link.on_deadline(now), now)
            if not finished and len(self.received) >= wanted:
                finished = True
                self.link.finish()
                self._act(self.link.on_deadline(now), now)
            while len(self.to_device.queue) < 512 and (more := self.link.bytes_to_send(now, 1)):
                self.to_device.queue += more
            backlog += self.to_device.due()
            if backlog:
                try:
                    backlog = backlog[os.write(master, backlog) :]
                except BlockingIOError:
                    pass

    def _act(self, events: list[LinkEvent], now: float) -> None:
        for event in events:
            if isinstance(event, Opened):
                self.began = self.began or now
            elif isinstance(event, Received):
                self.received += event.data
                self.link.consumed(len(event.data))
                if self.mode != "down" or len(self.received) == 8:
                    self.ended = now
            elif isinstance(event, Ended) and not self.ended:
                raise ConnectionError("the device began anew")


ROWS = [
    ("up", 256, 0.0),
    ("down", 256, 0.0),
    ("echo", 256, 0.0),
    ("up", 512, 0.0),
    ("down", 512, 0.0),
    ("up", 256, 1e-5),
    ("down", 256, 1e-5),
    ("echo", 256, 1e-5),
    ("up", 256, 1e-4),
    ("down", 256, 1e-4),
    ("echo", 256, 1e-4),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--baud", type=int, default=921_600)
    arguments = parser.parse_args()
    print(f"{arguments.bytes} bytes at {arguments.baud} baud; share of the line's rate that is payload")
    print("direction   MTU  bit errors   share  intact  repeated by us, damaged at the device")
    for mode, mtu, errors in ROWS:
        result = Run(mode, arguments.bytes, arguments.baud, mtu, errors, seed=7).run()
        print(
            f"{mode:9} {mtu:5}  {errors:10g}  {result.share:6.1%}  {'yes' if result.intact else 'NO':6}"
            f"  {result.retransmissions}, {result.device}",
            flush=True,
        )


if __name__ == "__main__":
    main()
