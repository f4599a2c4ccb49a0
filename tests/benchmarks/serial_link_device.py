"""The device of serial_link_rates.py; runs in MicroPython: TTY BAUD MTU MODE SIZE. Modes: up, down, echo."""

import asyncio
import sys
import termios
from binascii import crc32

from leafgate.serial_link import SerialLink


def raw_tty(path):
    file = open(path, "r+b")  # noqa: SIM115 - the device keeps it for good
    descriptor = file.fileno()
    termios.setraw(descriptor)
    settings = termios.tcgetattr(descriptor)
    settings[6][5] = settings[6][6] = 0  # VTIME, VMIN: a read returns what is there
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    return file


def pattern(size):
    """Bytes that look random to the escaping, the same at both ends."""
    state, out = 1, bytearray(size)
    for index in range(size):
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        out[index] = state >> 16 & 0xFF
    return out


async def main(tty, baud, mtu, mode, size):
    link = SerialLink(raw_tty(tty), "bench", baud, mtu, 8192, 8192, 8192)
    stream = await link.open()
    block = pattern(4096)
    left, check = size, 0
    if mode == "up":
        while left:
            stream.write(block[: min(left, len(block))])
            await stream.drain()
            left -= min(left, len(block))
    else:
        buffer = bytearray(1024)
        view = memoryview(buffer)
        while left:
            count = await stream.readinto(buffer)
            check = crc32(view[:count], check)
            left -= count
            if mode == "echo":
                stream.write(view[:count])
                await stream.drain()
        if mode == "down":
            stream.write(b"%08x" % check)
            await stream.drain()
    while await stream.readinto(block):
        pass
    print(link.damaged)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])))
