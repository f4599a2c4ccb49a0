"""A DS18B20 on pin 4 of an ESP32: its temperature on `sensors.shed.temperature` every ten seconds.

Copy the directory leafgate and this file, as main.py, to the board; set the four names below first.
"""

import asyncio

import ds18x20
import leafgate
import machine
import onewire
from leafgate.wifi import Wifi

GATEWAY = "nats://192.168.1.10:4222"
NETWORK, PASSWORD = "shed", "open sesame"
PLACE = "shed"
SECONDS = 10


async def temperatures():
    """Degrees Celsius, one after the other; a sensor that is pulled off is waited for."""
    bus = ds18x20.DS18X20(onewire.OneWire(machine.Pin(4)))
    while True:
        for sensor in bus.scan():
            bus.convert_temp()
            await asyncio.sleep_ms(750)  # as long as it takes at 12 bits
            yield bus.read_temp(sensor)
        await asyncio.sleep(SECONDS)


async def main():
    client = await leafgate.connect(
        GATEWAY, name=PLACE, ready=Wifi(NETWORK, PASSWORD).up, presence="sensors.%s.presence" % PLACE, on_status=print
    )
    async for degrees in temperatures():
        await client.publish("sensors.%s.temperature" % PLACE, "%.1f" % degrees)


asyncio.run(main())
