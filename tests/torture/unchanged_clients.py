"""Clients with traffic among them that nothing may happen to: a NATS pair (nats-py) and an MQTT pair at QoS 1 (paho).

Each of them numbers what it sends; every number must arrive once, in order, over the connection that it began with.
"""

import asyncio
import itertools
import threading
from dataclasses import dataclass, field

import nats
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from paho.mqtt.client import Client as MqttClient
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.patience import PATIENCE_SECONDS

BURST = 20
BREATH_SECONDS = 0.002
SETTLE_SECONDS = PATIENCE_SECONDS
SUBJECT = "reloads.nats"
TOPIC = "reloads/mqtt"


@dataclass
class Stream:
    """Numbers from 0 on: how many were sent, and what came."""

    name: str
    sent: int = 0
    came: int = 0
    complaints: list[str] = field(default_factory=list)

    def take(self, number: int) -> None:
        if number != self.came and len(self.complaints) < 5:
            self.complaints.append(f"{self.name}: {number} came instead of {self.came}")
        self.came = number + 1

    def complain(self, sentence: str) -> None:
        self.complaints.append(f"{self.name}: {sentence}")


class UnchangedClients:
    """Use as a context manager around what must not disturb them; `complaints` are complete behind it."""

    def __init__(self, nats_url: str, mqtt: tuple[str, int], user: str = "", password: str = "") -> None:
        self.streams = {"nats": Stream("NATS"), "mqtt": Stream("MQTT")}
        self._url = nats_url
        self._mqtt = mqtt
        self._login = {"user": user, "password": password} if user else {}
        self._stopping = threading.Event()
        self._running = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._nats_traffic()))
        self._mqtt_thread = threading.Thread(target=self._mqtt_traffic)

    @property
    def complaints(self) -> list[str]:
        return [complaint for stream in self.streams.values() for complaint in stream.complaints]

    def __enter__(self) -> "UnchangedClients":
        self._receiver, self._sender = (self._mqtt_client(name) for name in ("receiver", "sender"))
        self._receiver.on_message = self._mqtt_message
        subscribed = threading.Event()
        self._receiver.on_subscribe = lambda *_: subscribed.set()
        self._receiver.subscribe(TOPIC, qos=1)
        assert subscribed.wait(SETTLE_SECONDS)
        self._thread.start()
        self._mqtt_thread.start()
        assert self._running.wait(SETTLE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._mqtt_thread.join()
        for client in (self._receiver, self._sender):
            client.on_disconnect = None
            client.disconnect()
            client.loop_stop()
        for stream in self.streams.values():
            if stream.came != stream.sent:
                stream.complain(f"{stream.came} of {stream.sent} came")

    async def _nats_traffic(self) -> None:
        stream = self.streams["nats"]
        receiver, sender = await self._nats_client(), await self._nats_client()

        async def take(message: Msg) -> None:
            stream.take(int(message.data))

        await receiver.subscribe(SUBJECT, cb=take)
        await receiver.flush()
        self._running.set()
        numbers = itertools.count()
        while not self._stopping.is_set():
            for _ in range(BURST):
                await sender.publish(SUBJECT, b"%d" % next(numbers))
                stream.sent += 1
            await asyncio.sleep(BREATH_SECONDS)
        await sender.flush()
        for _ in range(int(SETTLE_SECONDS / BREATH_SECONDS)):
            if stream.came == stream.sent:
                break
            await asyncio.sleep(BREATH_SECONDS)
        self._stopped_nats = True
        await sender.close()
        await receiver.close()

    async def _nats_client(self) -> NatsClient:
        self._stopped_nats = False

        async def lost() -> None:
            if not self._stopped_nats:
                self.streams["nats"].complain("was disconnected")

        return await nats.connect(self._url, disconnected_cb=lost, allow_reconnect=False, **self._login)

    def _mqtt_client(self, client_id: str) -> MqttClient:
        client = MqttClient(CallbackAPIVersion.VERSION2, client_id=client_id)
        if self._login:
            client.username_pw_set(self._login["user"], self._login["password"])
        client.connect(*self._mqtt)
        client.loop_start()
        client.on_disconnect = lambda *_: self.streams["mqtt"].complain("was disconnected")
        return client

    def _mqtt_message(self, client: MqttClient, userdata: object, message: MQTTMessage) -> None:
        self.streams["mqtt"].take(int(message.payload))

    def _mqtt_traffic(self) -> None:
        stream = self.streams["mqtt"]
        while not self._stopping.is_set():
            sent = [self._sender.publish(TOPIC, b"%d" % (stream.sent + number), qos=1) for number in range(BURST)]
            stream.sent += BURST
            for one in sent:
                one.wait_for_publish(SETTLE_SECONDS)
                if not one.is_published():
                    stream.complain("a message was not acknowledged")
                    return
        give_up = threading.Event()
        for _ in range(int(SETTLE_SECONDS / BREATH_SECONDS)):
            if stream.came == stream.sent:
                break
            give_up.wait(BREATH_SECONDS)
