"""A device on a serial link, in MicroPython: TTY BAUD CAN-CHANGE-BAUD. Counts on `count`, answers on `ask`.

Begins anew after the end of a session. `stop` ends it.
"""

import asyncio
import sys
import termios

from leafgate.serial_link import SerialLink

RATES = {9600: termios.B9600, 115200: termios.B115200, 230400: termios.B230400, 921600: termios.B921600}


class Tty:
    """What a UART is on a board: a stream with a rate."""

    def __init__(self, path, baud):
        self.file = open(path, "r+b")  # noqa: SIM115 - the device keeps it for good
        termios.setraw(self.file.fileno())
        self.set_baud(baud)

    def set_baud(self, baud):
        settings = termios.tcgetattr(self.file.fileno())
        settings[4] = settings[5] = RATES[baud]
        settings[6][5] = settings[6][6] = 0  # VTIME, VMIN: a read returns what is there
        termios.tcsetattr(self.file.fileno(), termios.TCSANOW, settings)


async def count(stream):
    number = 0
    while True:
        payload = b"%d" % number
        await stream.write(b"PUB count %d\r\n%s\r\n" % (len(payload), payload))
        number += 1
        await asyncio.sleep_ms(2)


async def line(stream, rest):
    """The next line and what came behind it; None at the end."""
    while b"\r\n" not in rest:
        more = await stream.read(256)
        if not more:
            return None, b""
        rest += more
    return rest.split(b"\r\n", 1)


async def session(link):
    """One session, from open to end; True when it was told to stop."""
    stream = await link.open()
    await stream.write(b'CONNECT {"verbose":false,"name":"serial-node"}\r\nSUB ask 1\r\nSUB stop 2\r\nSUB flood 3\r\n')
    counting = asyncio.create_task(count(stream))
    rest = b""
    try:
        while True:
            head, rest = await line(stream, rest)
            if head is None:
                return False
            if head == b"PING":
                await stream.write(b"PONG\r\n")
            elif head.startswith(b"MSG"):
                words = head.split(b" ")
                payload, rest = await line(stream, rest)
                if words[1] == b"stop":
                    await stream.close()
                    return True
                if words[1] == b"ask":
                    answer = b"answer to " + payload
                    await stream.write(b"PUB %s %d\r\n%s\r\n" % (words[3], len(answer), answer))
    finally:
        counting.cancel()


async def main(path, baud, changes):
    tty = Tty(path, baud)
    tty.file.write(b"rst:0x1 (POWERON_RESET)\r\nhello from the boot loader\r\n")
    link = SerialLink(tty.file, "node-1", baud, set_baud=tty.set_baud if changes else None)
    while not await session(link):
        pass


asyncio.run(main(sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3))
