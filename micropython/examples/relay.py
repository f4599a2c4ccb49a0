"""A relay on pin 26 of an ESP32 that does what it is asked: `nats request relays.pump.set on` answers `on`.

`relays.pump.get` answers with the state, and each change is published on `relays.pump.state`. Copy the directory
leafgate and this file, as main.py, to the board; set the four names below first.
"""

import asyncio

import leafgate
import machine
from leafgate.wifi import Wifi

GATEWAY = "nats://192.168.1.10:4222"
NETWORK, PASSWORD = "shed", "open sesame"
NAME = "pump"

relay = machine.Pin(26, machine.Pin.OUT, value=0)
STATES = (b"off", b"on")


async def on_get(message):
    await message.respond(STATES[relay.value()])


async def on_set(message):
    wanted = message.data.strip().lower()
    if wanted not in STATES:
        await message.respond(b"say on or off")
        return
    changed = relay.value() != STATES.index(wanted)
    relay.value(STATES.index(wanted))
    if message.reply:
        await message.respond(wanted)
    if changed:
        await message.client.publish("relays.%s.state" % NAME, wanted)


async def main():
    client = await leafgate.connect(
        GATEWAY, name=NAME, ready=Wifi(NETWORK, PASSWORD).up, presence="relays.%s.presence" % NAME, on_status=print
    )
    await client.subscribe("relays.%s.get" % NAME, cb=on_get)
    await client.subscribe("relays.%s.set" % NAME, cb=on_set)
    while True:
        await asyncio.sleep(60)


asyncio.run(main())
