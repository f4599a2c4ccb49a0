"""An admission for tests: users with the rights that they are given here, and a house where they meet."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

import msgspec

from gateway.accounts.identity import Credentials, Decision, Identity, Refusal
from gateway.accounts.permissions import make_permissions
from gateway.assembly import Gateway
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.settings.security import PermissionRules
from gateway.transport.connection import Connection
from gateway.transport.session import Session
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.gateway.memory_connection import running_gateway
from tests.gateway.memory_transport import Peer

Rules = Mapping[str, object]


class ByUser:
    """Admits each user, whatever its password, with its own permissions."""

    def __init__(self, gateway: Gateway, users: Mapping[str, Rules]) -> None:
        self._account = gateway.account
        self.rules = {name: msgspec.convert(rules, PermissionRules) for name, rules in users.items()}

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        return None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        if credentials.user not in self.rules:
            return Refusal("there is no such user")
        return self.identity(credentials.user)

    def renew(self, identity: Identity) -> Decision:
        return self.identity(identity.user)

    def identity(self, user: str) -> Identity:
        return Identity(self._account, user, make_permissions(self.rules[user]))


class House:
    """A gateway with users."""

    def __init__(self, gateway: Gateway, users: Mapping[str, Rules]) -> None:
        self.gateway = gateway
        self.admission = ByUser(gateway, users)

    def stranger(self) -> Peer:
        """A NATS client that has not said yet who it is."""
        return Peer(self.gateway, lambda connection: NatsClientSession(connection, self.admission))

    def nats(self, user: str, **fields: object) -> Peer:
        peer = self.stranger()
        asked = {"verbose": False, "pedantic": False, "headers": True, "user": user} | fields
        peer.say(b"CONNECT %b\r\n" % msgspec.json.encode(asked))
        peer.hear()
        return peer

    def mqtt(self, user: str, version: int = MQTT_5_0, **fields: object) -> "MqttPeer":
        return MqttPeer(self, user, version, **fields)


class MqttPeer(Peer):
    """An MQTT client whose session stays; its client id is the user's name where none is given."""

    def __init__(
        self,
        house: House,
        user: str,
        version: int,
        client_id: bytes = b"",
        will: packets.Will | None = None,
        rest: bytes = b"",
    ) -> None:
        directory = house.gateway.mqtt_sessions
        assert directory is not None

        def make(connection: Connection) -> Session:
            return MqttClient(connection, house.admission, directory)

        super().__init__(house.gateway, make)
        self.version = version
        five = Properties(session_expiry_interval=1000) if version == MQTT_5_0 else None
        name = user.encode()
        connect = packets.Connect(
            version, client_id or name, clean_start=False, will=will, username=name, password=b"x", properties=five
        )
        self._decoder = ClientDecoder(1 << 20, version)
        self.say(encoder.encode_connect(connect) + rest)

    def packets(self) -> list[object]:
        """What has come; QoS 1 messages among it are acknowledged."""
        found = self._decoder.receive(self.hear())
        for packet in found:
            if isinstance(packet, Publish) and packet.qos == 1:
                self.say(encoder.encode_puback(self.version, packet.packet_id))
        return found

    def messages(self) -> list[tuple[bytes, bytes]]:
        """Topic and payload of the messages among what has come."""
        return [(one.topic, one.payload) for one in self.packets() if isinstance(one, Publish)]

    def subscribe(self, *topic_filters: bytes, qos: int = 0) -> list[int]:
        """The reason codes of the answer."""
        self.packets()
        wanted = [packets.Subscription(one, qos) for one in topic_filters]
        self.say(encoder.encode_subscribe(self.version, 1, wanted))
        found = self._decoder.receive(self.hear())
        (answer,) = [one for one in found if isinstance(one, packets.Suback)]
        self.after_answer = [(one.topic, one.payload) for one in found if isinstance(one, Publish)]
        return [int(code) for code in answer.reason_codes]

    def publish(
        self,
        topic: bytes,
        payload: bytes = b"x",
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        packet_id: int = 1,
    ) -> None:
        number = packet_id if qos else 0
        self.say(encoder.encode_publish(self.version, topic, payload, qos, number, retain, False, properties))


@asynccontextmanager
async def house_of(users: Mapping[str, Rules], config: Config | None = None) -> AsyncIterator[House]:
    async with running_gateway(config) as gateway:
        gateway.runtime.turns.clock = lambda: 0.0  # No turn is over early, however busy the machine is.
        gateway.restore()
        gateway.offer_services()
        yield House(gateway, users)
