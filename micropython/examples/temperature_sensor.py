"""A DS18B20 on pin 4 of an ESP32: its temperature on `sensors.shed.temperature` every ten seconds.

Copy the directory leafgate and this file, as main.py, to the board; set the names below first.
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

bus = ds18x20.DS18X20(onewire.OneWire(machine.Pin(4)))


async def measure():
    """Degrees Celsius of the first sensor on the bus."""
    sensors = bus.scan()
    bus.convert_temp()
    await asyncio.sleep_ms(750)  # as long as it takes at 12 bits
    return bus.read_temp(sensors[0])


async def main():
    client = await leafgate.connect(
        GATEWAY, name=PLACE, ready=Wifi(NETWORK, PASSWORD).up, presence="sensors.%s.presence" % PLACE, on_status=print
    )
    while True:
        try:
            await client.publish("sensors.%s.temperature" % PLACE, "%.1f" % await measure())
        except Exception as error:  # a sensor that was pulled off, a connection that was just lost: next time
            print("no temperature:", error)
        await asyncio.sleep(SECONDS)


asyncio.run(main())
