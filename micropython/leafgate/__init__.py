"""NATS for MicroPython: `nc = await leafgate.connect("nats://192.168.1.10:4222")`. What is not core is imported by use:
tls, websocket, serial_link, nkey, jetstream, outbox, wifi, clock.
"""

import gc
from leafgate.client import Client, connect
from leafgate.subscription import Message, Subscription

gc.collect()


def __getattr__(name):
    if name == "NoResponders":
        from leafgate.answers import NoResponders

        return NoResponders
    raise AttributeError(name)
