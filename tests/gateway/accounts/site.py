"""A gateway with configured accounts, and clients of each in memory: a user's name is that of its account."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from gateway.accounts.identity import Credentials, Decision, Identity, Refusal
from gateway.accounts.permissions import EVERYTHING, Permissions
from gateway.assembly import Gateway
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.settings.security import AccountRules
from gateway.transport.connection import Connection
from gateway.transport.session import Session
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.gateway.memory_connection import running_gateway
from tests.gateway.memory_transport import Peer

LISTENER = Listener(protocol="nats", address="127.0.0.1:0")


class ByAccount:
    """A user is admitted to the account of its name."""

    def __init__(self, gateway: Gateway) -> None:
        self._accounts = gateway.accounts
        # What users may do, by name, who may not do everything, and until when.
        self.permissions: dict[str, Permissions] = {}
        self.expires = 0.0

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        return None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        account = self._accounts.get(credentials.user)
        if account is None:
            return Refusal("unknown")
        permissions = self.permissions.get(credentials.user, EVERYTHING)
        return Identity(account, credentials.user, permissions, expires=self.expires)

    def renew(self, identity: Identity) -> Decision:
        return identity


class Site:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.admission = ByAccount(gateway)

    def nats(self, account: str, **fields: object) -> Peer:
        peer = self.arriving(account, **fields)
        peer.hear()
        return peer

    def arriving(self, account: str, **fields: object) -> Peer:
        """A NATS client that has not heard yet how it is received."""
        peer = PromptPeer(self.gateway, lambda connection: NatsClientSession(connection, self.admission))
        asked = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        asked |= {"user": account, "name": account} | fields
        peer.say(b"CONNECT %b\r\n" % msgspec.json.encode(asked))
        return peer

    def mqtt(self, account: str, client_id: bytes, expiry: int = 0, clean: bool = False) -> "MqttPeer":
        return MqttPeer(self, account, client_id, expiry, clean)


class PromptPeer(Peer):
    """What it says is acted on to the end at once, however slow the machine is."""

    def __init__(self, gateway: Gateway, make_session: Callable[[Connection], Session]) -> None:
        self._turns = gateway.runtime.turns
        super().__init__(gateway, make_session)

    def say(self, data: bytes) -> None:
        super().say(data)
        while self._turns:
            self._turns.take()
        self._switch.flush()


class MqttPeer(PromptPeer):
    """An MQTT 5.0 client."""

    def __init__(self, site: Site, account: str, client_id: bytes, expiry: int, clean: bool) -> None:
        directory = site.gateway.mqtt_sessions
        assert directory is not None

        def make(connection: Connection) -> Session:
            return MqttClient(connection, site.admission, directory)

        super().__init__(site.gateway, make)
        self.decoder = ClientDecoder(1 << 20, MQTT_5_0)
        properties = Properties(session_expiry_interval=expiry)
        user = account.encode()
        connect = packets.Connect(MQTT_5_0, client_id, clean_start=clean, username=user, properties=properties)
        self.say(encoder.encode_connect(connect))

    def packets(self) -> list[object]:
        return self.decoder.receive(self.hear())

    def messages(self) -> list[tuple[bytes, bytes]]:
        """Topic and payload of what has come; each is acknowledged."""
        found = [packet for packet in self.packets() if isinstance(packet, Publish)]
        for packet in found:
            if packet.qos:
                self.say(encoder.encode_puback(MQTT_5_0, packet.packet_id))
        return [(packet.topic, packet.payload) for packet in found]

    def subscribe(self, topic_filter: bytes, qos: int = 0) -> None:
        self.say(encoder.encode_subscribe(MQTT_5_0, 1, [packets.Subscription(topic_filter, qos)]))

    def request(self, topic: bytes, payload: bytes, response_topic: bytes) -> None:
        properties = Properties(response_topic=response_topic)
        self.say(encoder.encode_publish(MQTT_5_0, topic, payload, 0, 0, False, False, properties))

    def publish(self, topic: bytes, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        self.say(encoder.encode_publish(MQTT_5_0, topic, payload, qos, 1 if qos else 0, retain, False))


@asynccontextmanager
async def site(*accounts: AccountRules) -> AsyncIterator[Site]:
    async with running_gateway(Config(accounts=accounts)) as gateway:
        gateway.offer_services()
        yield Site(gateway)
