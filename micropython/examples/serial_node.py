"""A board without a network: a serial line to the gateway is all that it needs, here UART 1 at 921,600 baud.

At the gateway's side: [[serial]] port = "/dev/serial/by-id/…", baud = 921600. Copy the directory leafgate and this
file, as main.py, to the board. `nats request nodes.node-1.light on` switches the light on pin 2.
"""

import asyncio

import leafgate
import machine
from leafgate.serial_link import SerialLink

NAME = "node-1"
BAUD = 921600
SECONDS = 1

# What the gateway may send before we read is what fits into rxbuf.
uart = machine.UART(1, BAUD, tx=17, rx=16, rxbuf=4096, txbuf=1024, timeout=0)
light = machine.Pin(2, machine.Pin.OUT)


async def on_light(message):
    light.value(message.data == b"on")
    if message.reply:
        await message.respond(b"done")


async def main():
    client = await leafgate.connect(SerialLink(uart, NAME, BAUD, line=4096), name=NAME, on_status=print)
    await client.subscribe("nodes.%s.light" % NAME, cb=on_light)
    count = 0
    while True:
        try:
            await client.publish("nodes.%s.count" % NAME, str(count))
            count += 1
        except OSError:
            pass  # the connection was just lost: the next goes out when there is one
        await asyncio.sleep(SECONDS)


asyncio.run(main())
