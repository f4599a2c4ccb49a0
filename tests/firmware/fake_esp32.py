"""An ESP32 on a pseudo terminal, made from the published serial protocol: its ROM loader, its stub loader, its flash.

The lines DTR and RTS do not exist on a pseudo terminal. So SYNC always finds the loader, and the board starts what
its flash holds when the program that wrote lets go of the port. What it starts is in micropython_board.
"""

import hashlib
import os
import select
import struct
import threading
import tty
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

MEGABYTE = 1 << 20
SECTOR = 4096
END, ESCAPE = b"\xc0", b"\xdb"
POLL_MILLISECONDS = 20

FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
MEM_BEGIN, MEM_END, MEM_DATA = 0x05, 0x06, 0x07
SYNC, WRITE_REG, READ_REG = 0x08, 0x09, 0x0A
SPI_SET_PARAMS, SPI_ATTACH, CHANGE_BAUDRATE = 0x0B, 0x0D, 0x0F
DEFLATE_BEGIN, DEFLATE_DATA, DEFLATE_END = 0x10, 0x11, 0x12
FLASH_MD5, SECURITY_INFO = 0x13, 0x14
ERASE_FLASH, ERASE_REGION, READ_FLASH = 0xD0, 0xD1, 0xD2

FAILED_COMMAND, BAD_CHECKSUM = 0x05, 0x07
MAGIC_REGISTER = 0x40001000
READ_ID = 0x9F


@dataclass(frozen=True)
class ChipIdentity:
    """What tells one chip from another; register addresses of the SPI controller and of the MAC."""

    name: str
    chip_id: int
    spi_base: int
    user2: int
    word0: int
    mac: int
    magic: int = 0  # 0: says its chip id in SECURITY_INFO instead


ESP32 = ChipIdentity("ESP32", 0, 0x3FF42000, 0x24, 0x80, 0x3FF5A004, magic=0x00F01D83)
ESP32_C3 = ChipIdentity("ESP32-C3", 5, 0x60002000, 0x20, 0x58, 0x60008844)
ESP32_S3 = ChipIdentity("ESP32-S3", 9, 0x60002000, 0x20, 0x58, 0x60007044)


@dataclass
class Faults:
    """What goes wrong, once each unless said otherwise. Blocks are counted over all data blocks, from 1."""

    drop_reply_to_block: int = 0
    corrupt_block: int = 0  # on its way: the checksum shows it
    corrupt_flash_at: int = -1  # a cell that does not take what is written: only the digest shows it
    wrong_digest: bool = False  # every time
    unplug_at_block: int = 0
    silent_from_block: int = 0  # hangs, and again when it is tried again
    silent: bool = False  # not in download mode: never answers


class UnpluggedError(Exception):
    """The board left in the middle of a command."""


@dataclass
class Transfer:
    """A region that is being written, and where the next bytes go."""

    offset: int
    inflate: "zlib._Decompress | None" = None
    previous: bytes = b""


@dataclass
class FakeEsp32:
    """Context manager; `port` is the path to open, `flash` what was written. `started` runs when the board starts."""

    chip: ChipIdentity = ESP32
    flash_size: int = 4 * MEGABYTE
    faults: Faults = field(default_factory=Faults)
    started: Callable[["FakeEsp32"], None] | None = None
    stopped: Callable[["FakeEsp32"], None] | None = None

    def __post_init__(self) -> None:
        self.flash = bytearray(b"\xff") * self.flash_size
        self.blocks = 0
        self.baud_rates: list[int] = []
        self.received = b""  # what came while the loader was not running
        self._stub = False
        self._written = False
        self._running = False
        self._transfer = Transfer(0)
        self._registers: dict[int, int] = {}
        self._buffer = b""
        self._closing = threading.Event()
        self._kept = -1
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        os.close(slave)
        self._thread = threading.Thread(target=self._serve, name="fake ESP32", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(10)
        self._stop()
        self.unplug()
        os.close(self._kept)

    def unplug(self) -> None:
        """The port is gone, and stays so until the end: whoever looks for it must not find another test's terminal,
        which would get its number.
        """
        if self._master >= 0:
            self._kept = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
            os.close(self._master)
            self._master = -1

    def say(self, text: bytes) -> None:
        """Print on the console; lost while nobody has the port open, as on a wire."""
        try:
            os.write(self._master, text)
        except OSError:
            pass

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        try:
            while not self._closing.is_set():
                events = poll.poll(POLL_MILLISECONDS)
                if events and events[0][1] & select.POLLIN:
                    self._receive(os.read(self._master, 65536))
                elif events:  # hung up: nobody has the port open
                    self._released()
                    self._closing.wait(POLL_MILLISECONDS / 1000)
        except UnpluggedError:
            poll.unregister(self._master)
            self.unplug()

    def _released(self) -> None:
        self._buffer = b""
        self._stub = False
        if self._written and not self._running:
            self._running = True
            self._written = False
            if self.started is not None:
                self.started(self)

    def _stop(self) -> None:
        if self._running and self.stopped is not None:
            self.stopped(self)
        self._running = False

    def _receive(self, data: bytes) -> None:
        self._buffer += data
        *frames, self._buffer = self._buffer.split(END)
        for frame in filter(None, frames):
            body = frame.replace(ESCAPE + b"\xdc", END).replace(ESCAPE + b"\xdd", ESCAPE)
            if len(body) >= 8 and body[0] == 0:
                self._command(body)
        if not frames and data.isascii():  # typed at the prompt, not sent to the loader
            self.received += data

    def _command(self, body: bytes) -> None:
        operation, _, checksum = struct.unpack_from("<BHI", body, 1)
        data = body[8:]
        if self.faults.silent:
            return
        if operation == SYNC:
            self._stop()
            for _ in range(8):
                self._reply(SYNC, value=0 if self._stub else 0x07071220)
        elif operation in (FLASH_DATA, DEFLATE_DATA):
            self._block(operation, data, checksum)
        else:
            handler = self._handlers().get(operation)
            if handler is None:
                self._reply(operation, failure=FAILED_COMMAND)
            else:
                handler(operation, data)

    def _handlers(self) -> dict[int, Callable[[int, bytes], None]]:
        handlers = {
            READ_REG: self._read_register,
            WRITE_REG: self._write_register,
            MEM_END: self._start_stub,
            CHANGE_BAUDRATE: self._change_baud_rate,
            FLASH_BEGIN: self._begin,
            DEFLATE_BEGIN: self._begin,
            FLASH_MD5: self._digest,
        }
        handlers |= dict.fromkeys(
            (MEM_BEGIN, MEM_DATA, SPI_SET_PARAMS, SPI_ATTACH, FLASH_END, DEFLATE_END), lambda o, _: self._reply(o)
        )
        if self._stub:
            handlers |= {ERASE_FLASH: self._erase, ERASE_REGION: self._erase, READ_FLASH: self._read_flash}
        if not self.chip.magic:
            handlers[SECURITY_INFO] = self._security_info
        return handlers

    def _reply(self, operation: int, data: bytes = b"", value: int = 0, failure: int = 0) -> None:
        status = bytes((int(failure > 0), failure)) + (b"" if self._stub else b"\0\0")
        self._send(struct.pack("<BBHI", 1, operation, len(data) + len(status), value) + data + status)

    def _send(self, body: bytes) -> None:
        escaped = body.replace(ESCAPE, ESCAPE + b"\xdd").replace(END, ESCAPE + b"\xdc")
        rest = END + escaped + END
        while rest:
            rest = rest[os.write(self._master, rest) :]

    def _read_register(self, operation: int, data: bytes) -> None:
        address = struct.unpack("<I", data)[0]
        value = self._registers.get(address, 0)
        chip = self.chip
        if address == MAGIC_REGISTER:
            value = chip.magic
        elif address == chip.mac:
            value = 0xC4DEADBE
        elif address == chip.mac + 4:
            value = 0x240A
        elif (
            address == chip.spi_base + chip.word0
            and self._registers.get(chip.spi_base + chip.user2, 0) & 0xFF == READ_ID
        ):
            value = (self.flash_size.bit_length() - 1) << 16 | 0x40EF
        self._reply(operation, value=value)

    def _last_spi_command(self) -> int:
        return self._registers.get(self.chip.spi_base + self.chip.user2, 0) & 0xFF

    def _write_register(self, operation: int, data: bytes) -> None:
        address, value = struct.unpack_from("<II", data)
        if address != self.chip.spi_base:  # a command register: done at once
            self._registers[address] = value
        self._reply(operation)

    def _security_info(self, operation: int, _: bytes) -> None:
        self._reply(operation, struct.pack("<IB7sII", 0, 0, bytes(7), self.chip.chip_id, 0))

    def _start_stub(self, operation: int, _: bytes) -> None:
        self._reply(operation)
        self._stub = True
        self._send(b"OHAI")

    def _change_baud_rate(self, operation: int, data: bytes) -> None:
        self.baud_rates.append(struct.unpack_from("<I", data)[0])
        self._reply(operation)

    def _begin(self, operation: int, data: bytes) -> None:
        size, _, _, offset = struct.unpack_from("<IIII", data)
        if offset + size > self.flash_size:
            self._reply(operation, failure=FAILED_COMMAND)
            return
        end = offset + -(-size // SECTOR) * SECTOR
        self.flash[offset:end] = b"\xff" * (end - offset)
        self._transfer = Transfer(offset, zlib.decompressobj() if operation == DEFLATE_BEGIN else None)
        self._written = self._written or size > 0
        self._reply(operation)

    def _block(self, operation: int, data: bytes, checksum: int) -> None:
        self.blocks += 1
        if self.blocks == self.faults.unplug_at_block:
            raise UnpluggedError
        if 0 < self.faults.silent_from_block <= self.blocks:
            return
        payload = data[16:]
        if self.blocks == self.faults.corrupt_block:
            payload = bytes((payload[0] ^ 0x40,)) + payload[1:]
        if _checksum(payload) != checksum:
            self._reply(operation, failure=BAD_CHECKSUM)
            return
        transfer = self._transfer
        sequence = data[4:8]
        if sequence != transfer.previous:  # else a retry: the reply was lost, the data was not
            plain = transfer.inflate.decompress(payload) if transfer.inflate else payload
            self.flash[transfer.offset : transfer.offset + len(plain)] = plain
            if transfer.offset <= self.faults.corrupt_flash_at < transfer.offset + len(plain):
                self.flash[self.faults.corrupt_flash_at] ^= 1
            transfer.offset += len(plain)
            transfer.previous = sequence
        if self.blocks != self.faults.drop_reply_to_block:
            self._reply(operation)

    def _digest(self, operation: int, data: bytes) -> None:
        offset, size = struct.unpack_from("<II", data)
        digest = hashlib.md5(self.flash[offset : offset + size])
        raw = bytes(16) if self.faults.wrong_digest else digest.digest()
        self._reply(operation, raw if self._stub else raw.hex().encode())

    def _erase(self, operation: int, data: bytes) -> None:
        offset, size = struct.unpack("<II", data) if data else (0, self.flash_size)
        self.flash[offset : offset + size] = b"\xff" * size
        self._reply(operation)

    def _read_flash(self, operation: int, data: bytes) -> None:
        """All at once: the other side's acknowledgements come later and are no commands."""
        offset, size, block, _ = struct.unpack("<IIII", data)
        self._reply(operation)
        region = bytes(self.flash[offset : offset + size])
        for start in range(0, size, block):
            self._send(region[start : start + block])
        self._send(hashlib.md5(region).digest())


def _checksum(data: bytes) -> int:
    state = 0xEF
    for byte in data:
        state ^= byte
    return state
