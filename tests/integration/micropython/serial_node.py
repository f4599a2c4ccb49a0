"""A device on a serial link, in MicroPython: TTY BAUD CAN-CHANGE-BAUD. Counts on `count`, answers on `ask`.

Begins anew after the end of a session. `stop` ends it.
"""

import asyncio
import sys
import termios

import leafgate
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


async def answer(message):
    await message.respond(b"answer to " + message.data)


async def count(client):
    number = 0
    while True:
        await client.publish("count", str(number))
        number += 1
        await asyncio.sleep_ms(2)


async def main(path, baud, changes):
    tty = Tty(path, baud)
    tty.file.write(b"rst:0x1 (POWERON_RESET)\r\nhello from the boot loader\r\n")
    link = SerialLink(tty.file, "node-1", baud, set_baud=tty.set_baud if changes else None)
    client = await leafgate.connect(link, name="serial-node")
    await client.subscribe("ask", cb=answer)
    await client.subscribe("flood")
    stop = await client.subscribe("stop")
    counting = asyncio.create_task(count(client))
    await stop.__anext__()
    counting.cancel()
    await client.drain()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3))
