"""Brokers that Sparkplug is spoken over: the gateway itself, or another one, of which we are a client.

An edge node and a host each need a connection of their own with a will of their own; a bridge has one for everybody, in
a session that outlives it. So a broker elsewhere is called here, and not over a bridge. Where the gateway is the broker
itself, there is no connection that could break: what a will would tell is told when the integration ends, and if the
gateway dies, everybody's connection to it does.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import trio

from gateway.accounts.account import Account
from gateway.integrations.link import Link
from gateway.integrations.plain_outlet import PlainOutlet
from gateway.integrations.site import IntegrationError
from gateway.runtime.drops import Drops
from gateway.runtime.runtime import Runtime
from gateway.settings.sparkplug import SparkplugEnd
from gateway.uplink.leafnode_uplink import leaf_name
from protocols.errors import PeerViolation
from protocols.message import RETAIN_HEADER, make_message
from protocols.mqtt import encoder, packets
from protocols.mqtt.client_role import ClientRole, Refused, Silent, Subscribed
from protocols.mqtt.primitives import MQTT_3_1_1
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from protocols.topic_mapping import filter_to_subjects, subject_to_topic, topic_to_subject

QOS = 1
AT_ONCE, AT_ONCE_BYTES = 500, 1 << 20
# Of what a broker has sent and nobody has taken: then nothing more is read from it.
MOST_WAITING = 1000
LARGEST_ID = 0xFFFF
# How long the last words and the end may take.
FAREWELL_SECONDS = 2.0
NO_TOPIC = "a topic that is to be published to is no subject"
# What time alone does not heal.
LASTING = frozenset((ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.NOT_AUTHORIZED, ReasonCode.BANNED))


class Heard(NamedTuple):
    """A message of the broker's."""

    topic: str
    payload: bytes


class Broker(Protocol):
    """Raises IntegrationError once it is gone."""

    async def run(self) -> None:
        """Serve the connection until it is gone."""

    async def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        """Publish a message; what is retained at `topic` is replaced by it where it says so."""

    async def receive(self) -> list[Heard]:
        """What was published on the filters, at least one message."""

    async def settle(self) -> None:
        """Wait until the broker has everything that was published so far."""

    async def close(self) -> None:
        """Part with it; no will is told."""


async def open_broker(
    runtime: Runtime,
    account: Account,
    config: SparkplugEnd,
    will: packets.Will | None,
    filters: Sequence[str],
    drops: Drops,
) -> Broker:
    """The broker that a configuration names, with subscriptions that do not overlap. Raises IntegrationError."""
    if config.url is None:
        await trio.lowlevel.checkpoint()
        return OwnBroker(runtime, account, filters, config.max_pending_bytes, drops)
    return await RemoteBroker.open(runtime, config, will, filters)


async def part(broker: Broker, farewell: tuple[str, bytes] | None, retain: bool = False) -> None:
    """Close it. Who leaves on purpose tells itself, by topic and payload, what its will would tell, which is not told
    then.
    """
    with trio.CancelScope(shield=True, deadline=trio.current_time() + FAREWELL_SECONDS):
        try:
            if farewell is not None:
                await broker.publish(*farewell, qos=1, retain=retain)
        except IntegrationError:
            pass  # The broker tells it.
        finally:
            await broker.close()


class OwnBroker:
    """The gateway: what is published goes to whoever is interested in the account."""

    def __init__(self, runtime: Runtime, account: Account, filters: Sequence[str], most: int, drops: Drops) -> None:
        self._runtime = runtime
        self._account = account
        self._drops = drops
        subjects = [subject for one in filters for subject in filter_to_subjects(one.encode()) or ()]
        self._outlet = PlainOutlet(account, [subject.decode() for subject in subjects], most, drops)
        self._retained = [
            Heard(topic_text(message.subject), message.payload())
            for subject in subjects
            for message in account.retained.matching(subject)
            if message is not None
        ]

    async def run(self) -> None:
        await trio.sleep_forever()

    async def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        subject = topic_to_subject(topic.encode())
        if subject is None:
            self._drops.count(NO_TOPIC, example=topic)
            return
        message = make_message(subject, payload, header=RETAIN_HEADER if retain else b"")
        message.qos = qos
        self._account.publish(message)
        self._runtime.switch.flush()
        await trio.lowlevel.checkpoint()

    async def receive(self) -> list[Heard]:
        if self._retained:
            heard, self._retained = self._retained, []
            await trio.lowlevel.checkpoint()
            return heard
        batch = await self._outlet.next_batch(AT_ONCE, AT_ONCE_BYTES)
        batch.done()
        return [Heard(topic_text(message.subject), message.payload) for message in batch.messages]

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        self._outlet.close()
        await trio.lowlevel.checkpoint()


class RemoteBroker:
    """A connection of its own with a clean session, in MQTT 3.1.1, which every broker speaks."""

    def __init__(self, link: Link, role: ClientRole, seconds: float) -> None:
        self._link = link
        self._role = role
        self._seconds = seconds
        self._sending = trio.Lock()
        self._give, self._take = trio.open_memory_channel[Heard](MOST_WAITING)
        self._answered = trio.Event()
        self._is_up = False
        self._last_id = 0

    @classmethod
    async def open(
        cls, runtime: Runtime, config: SparkplugEnd, will: packets.Will | None, filters: Sequence[str]
    ) -> "RemoteBroker":
        url = config.url
        assert url is not None
        seconds = config.answer_timeout_seconds
        name = leaf_name(runtime.settings.config.name, runtime.names.server_name, 0)
        user = config.user or url.user
        password = config.password.value if config.password is not None else url.password
        connect = packets.Connect(
            version=MQTT_3_1_1,
            client_id=(config.client_id or f"{name}-{config.kind}-{config.name}").encode(),
            keep_alive=config.keep_alive_seconds,
            username=user.encode() if user else None,
            password=password.encode() if password is not None else None,
            will=will,
        )
        link = await Link.open(url, config.proxy, config.tls, seconds, secure=url.scheme == "mqtts")
        wanted = [packets.Subscription(one.encode(), QOS) for one in filters]
        most = runtime.settings.mqtt.max_packet_bytes
        broker = cls(link, ClientRole(connect, wanted, {}, most, seconds, trio.current_time()), seconds)
        try:
            with trio.fail_after(seconds):
                while not broker._is_up:
                    await broker._step()
        except trio.TooSlowError:
            await link.close()
            raise IntegrationError(f"{url} does not answer within {seconds:g} s") from None
        except BaseException:
            await link.close()
            raise
        return broker

    async def run(self) -> None:
        while True:
            await self._step()

    async def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        packet_id = 0
        if qos:
            packet_id = self._last_id = self._last_id % LARGEST_ID + 1
        await self._send(encoder.encode_publish(MQTT_3_1_1, topic.encode(), payload, qos, packet_id, retain, False))

    async def receive(self) -> list[Heard]:
        heard = [await self._take.receive()]
        while len(heard) < AT_ONCE:
            try:
                heard.append(self._take.receive_nowait())
            except trio.WouldBlock:
                break
        return heard

    async def settle(self) -> None:
        """It takes packets in their order: one that answers a ping has all in front of it."""
        self._role.ping(trio.current_time())
        wanted = self._role.pings
        await self._send(b"")
        while self._role.pongs < wanted:
            self._answered = trio.Event()
            await self._answered.wait()

    async def close(self) -> None:
        with trio.move_on_after(self._seconds):
            try:
                await self._send(self._role.disconnect())
            except IntegrationError:
                pass  # It is gone already.
        await self._link.close()

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            await self._link.send(self._role.bytes_to_send() + data)

    async def _step(self) -> None:
        """What comes next, or what is due next."""
        role = self._role
        due = role.next_deadline()
        data: bytes | None = None
        if role.has_more:
            data = b""
        else:
            to_send = role.bytes_to_send()
            if to_send:
                await self._send(to_send)
            with trio.move_on_at(float("inf") if due is None else due):
                data = await self._link.receive(float("inf"))
                if not data:
                    raise IntegrationError(f"{self._link.url} has closed the connection")
        now = trio.current_time()
        for event in role.on_deadline(now) if data is None else role.receive(data, now):
            await self._take_event(event)
        self._answered.set()

    async def _take_event(self, event: object) -> None:
        url = self._link.url
        if isinstance(event, Publish):
            if event.qos:
                await self._send(encoder.encode_puback(MQTT_3_1_1, event.packet_id))
            await self._give.send(Heard(event.topic.decode("utf-8", "replace"), event.payload))
        elif isinstance(event, Subscribed):
            for topic_filter, code in event.refused.items():
                what = topic_filter.decode("utf-8", "replace")
                raise IntegrationError(f"{url} does not let us subscribe to {what}: {code.words}", lasting=True)
            self._is_up = True
        elif isinstance(event, Refused):
            raise IntegrationError(f"{url} says: {event.reason_code.words}", lasting=event.reason_code in LASTING)
        elif isinstance(event, Silent | PeerViolation):
            raise IntegrationError(f"{url}: {event.detail}")


def topic_text(subject: bytes) -> str:
    return subject_to_topic(subject).decode("utf-8", "replace")
