"""A device on a serial link that begins one session after the other, in MicroPython: TTY."""

import asyncio
import sys
import termios

from leafgate.serial_link import SerialLink

tty = open(sys.argv[1], "r+b")  # noqa: SIM115 - the device keeps it for good
termios.setraw(tty.fileno())
settings = termios.tcgetattr(tty.fileno())
settings[6][5] = settings[6][6] = 0  # VTIME, VMIN: a read returns what is there
termios.tcsetattr(tty.fileno(), termios.TCSANOW, settings)


async def main():
    link = SerialLink(tty, "restless")
    while True:
        await link.open()
        while await link.readinto(memoryview(bytearray(8))):
            pass


asyncio.run(main())
