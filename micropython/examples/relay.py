"""A relay on pin 26 of an ESP32 that does what it is asked: `nats request relays.pump.set on` answers `on`.

`relays.pump.get` answers with the state; `relays.pump.state` tells each change, and who listens later the last one.
Copy the directory leafgate and this file, as main.py, to the board; set the names below first.
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


async def tell_state(client):
    await client.publish("relays.%s.state" % NAME, STATES[relay.value()], headers={"Mqtt-Retain": "1"})


async def on_get(message):
    await message.respond(STATES[relay.value()])


async def on_set(message):
    wanted = message.data.strip().lower()
    if wanted in STATES:
        relay.value(STATES.index(wanted))
        await tell_state(message.client)
    if message.reply:
        await message.respond(wanted if wanted in STATES else b"say on or off")


async def main():
    client = await leafgate.connect(
        GATEWAY, name=NAME, ready=Wifi(NETWORK, PASSWORD).up, presence="relays.%s.presence" % NAME, on_status=print
    )
    await client.subscribe("relays.%s.get" % NAME, cb=on_get)
    await client.subscribe("relays.%s.set" % NAME, cb=on_set)
    await tell_state(client)
    while True:
        await asyncio.sleep(60)


asyncio.run(main())
