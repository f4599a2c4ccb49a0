"""Asks the server for the time and sets a clock by it: URL EPOCH, where the epoch is the year that time counts from."""

import asyncio
import sys
import time

import leafgate

SECONDS_TO_2000 = 946684800


class Rtc:
    """In place of machine.RTC, which the Unix port has not."""

    def datetime(self, fields):
        print("clock", fields)


class Machine:
    RTC = Rtc


class TimeFrom2000:
    """In place of time on a port that counts from 2000."""

    def __getattr__(self, name):
        return getattr(time, name)

    def gmtime(self, seconds):
        return time.gmtime(seconds + SECONDS_TO_2000)


async def main(url, epoch):
    sys.modules["machine"] = Machine
    client = await leafgate.connect(url)
    if epoch == "2000":
        sys.modules["time"] = TimeFrom2000()
    from leafgate.clock import now, set_clock

    try:
        print("now %d %d" % await now(client))
        await set_clock(client)
    except leafgate.NoResponders:
        print("nobody")
    await client.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
