"""A device with an outbox in memory: WHERE NAME SUBJECT STOP. WHERE is a URL, or a tty at which a serial link ends. It
publishes its name and numbers, says behind "acknowledged" how many of them were, and leaves once the file STOP is there
and all is acknowledged.
"""

import asyncio
import os
import sys
import termios

import leafgate
from leafgate.outbox import Outbox
from leafgate.serial_link import SerialLink

NO_SPACE = 28
SIZE = 4096


def opened(where):
    if "://" in where:
        return where
    tty = open(where, "r+b")  # noqa: SIM115 - the device keeps it for good
    termios.setraw(tty.fileno())
    settings = termios.tcgetattr(tty.fileno())
    settings[6][5] = settings[6][6] = 0  # VTIME, VMIN: a read returns what is there
    termios.tcsetattr(tty.fileno(), termios.TCSANOW, settings)
    return SerialLink(tty, "torture", 921600)


def is_there(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


async def main(where, name, subject, stop):
    client = leafgate.Client(opened(where), name=name, on_status=print)
    # One at a time: the order is that of the numbers also where the gateway takes one and not the one before.
    outbox = Outbox(client, size=SIZE, ahead=1)
    number = told = 0
    while not is_there(stop):
        try:
            await outbox.publish(subject, "%s %d " % (name, number))
            number += 1
        except OSError as error:
            if error.errno != NO_SPACE:
                raise
        done = number - outbox.store.count
        if done != told:
            told = done
            print("acknowledged", told)
        await asyncio.sleep_ms(10)
    await outbox.flush()
    print("acknowledged", number)
    print("sent", number)
    await client.close()


asyncio.run(main(*sys.argv[1:]))
