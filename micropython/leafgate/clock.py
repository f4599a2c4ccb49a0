"""The clock, from the gateway, which answers `$LEAFGATE.time`: a board has none, or none that it keeps.

After `await set_clock(client)` time.time() and time.gmtime() are right to some milliseconds, in UTC.
"""

import sys
import time

_SUBJECT = "$LEAFGATE.time"
# Some ports count from 2000.
EPOCH = 946684800 if time.gmtime(0)[0] == 2000 else 0


async def now(client, tries=3):
    """Seconds since 1970 and microseconds. Of `tries` answers the one that took the shortest counts.

    OSError and asyncio.TimeoutError as client.request; NoResponders: this server does not tell the time.
    """
    best = None
    for _ in range(tries):
        asked = time.ticks_us()
        answer = await client.request(_SUBJECT)
        came = time.ticks_us()
        took = time.ticks_diff(came, asked)
        if best is None or took < best[0]:
            best = took, came, answer.data
    took, came, told = best
    seconds, nanoseconds = told.split()
    micros = int(nanoseconds) // 1000 + took // 2 + time.ticks_diff(time.ticks_us(), came)
    return int(seconds) + micros // 1000000, micros % 1000000


async def set_clock(client, tries=3):
    """Set machine.RTC to UTC. Errors as `now`."""
    from machine import RTC

    seconds, micros = await now(client, tries)
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds - EPOCH)[:7]
    # What stands behind the seconds differs from port to port.
    rest = micros if sys.platform == "esp32" else 0
    RTC().datetime((year, month, day, weekday, hour, minute, second, rest))
