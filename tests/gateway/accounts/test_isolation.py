"""Two accounts in one gateway: what happens in one is never seen in the other, nor after a restart."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from gateway.accounts.identity import Credentials, Decision, Identity
from gateway.assembly import Gateway
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.storage.storage import Storage
from gateway.transport.connection import Connection
from gateway.transport.session import Session
from protocols.mqtt import encoder, packets
from protocols.mqtt.decoder import ClientDecoder
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.gateway.memory_connection import take_turns
from tests.gateway.memory_transport import Peer
from tests.gateway.mqtt.mqtt_peer import PATIENCE_SECONDS, commit, journal_of
from tests.gateway.storage.running_journal import running

ACCOUNTS = ("plant", "office")


class ByUser:
    """A user is admitted to the account of its name."""

    def __init__(self, gateway: Gateway) -> None:
        self._accounts = gateway.accounts

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        return None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        return Identity(self._accounts[credentials.user], credentials.user)


class House:
    """A gateway with the two accounts."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.admission = ByUser(gateway)

    def nats(self, account: str, **fields: object) -> Peer:
        peer = Peer(self.gateway, lambda connection: NatsClientSession(connection, self.admission))
        asked = {"verbose": False, "pedantic": False, "headers": True, "user": account} | fields
        peer.say(b"CONNECT %b\r\n" % msgspec.json.encode(asked))
        peer.hear()
        return peer

    def mqtt(self, account: str, client_id: bytes, will: packets.Will | None = None) -> "MqttPeer":
        return MqttPeer(self, account, client_id, will)


class MqttPeer(Peer):
    """An MQTT 5.0 client whose session stays."""

    def __init__(self, house: House, account: str, client_id: bytes, will: packets.Will | None) -> None:
        directory = house.gateway.mqtt_sessions
        assert directory is not None

        def make(connection: Connection) -> Session:
            return MqttClient(connection, house.admission, directory)

        super().__init__(house.gateway, make)
        connect = packets.Connect(
            MQTT_5_0,
            client_id,
            clean_start=False,
            will=will,
            username=account.encode(),
            properties=Properties(session_expiry_interval=1000),
        )
        self._decoder = ClientDecoder(1 << 20, MQTT_5_0)
        self.say(encoder.encode_connect(connect))

    def messages(self) -> list[tuple[bytes, bytes]]:
        """Topic and payload of what has come; each is acknowledged."""
        found = [packet for packet in self._decoder.receive(self.hear()) if isinstance(packet, Publish)]
        for packet in found:
            if packet.qos:
                self.say(encoder.encode_puback(MQTT_5_0, packet.packet_id))
        return [(packet.topic, packet.payload) for packet in found]

    def subscribe(self, topic_filter: bytes, qos: int = 0) -> None:
        self.say(encoder.encode_subscribe(MQTT_5_0, 1, [packets.Subscription(topic_filter, qos)]))

    def publish(self, topic: bytes, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        self.say(encoder.encode_publish(MQTT_5_0, topic, payload, qos, 1 if qos else 0, retain, False))


@asynccontextmanager
async def two_accounts(directory: Path | None = None) -> AsyncIterator[House]:
    """Without a directory everything is in memory; with one nothing gets to the disk but with `commit`."""
    storage = Storage(directory, 1000, 1 << 20) if directory is not None else None
    try:
        gateway = Gateway(Config(), storage)
        for name in ACCOUNTS:
            gateway.open_account(name)
        gateway.restore()
        gateway.offer_services()
        async with trio.open_nursery() as services:
            services.start_soon(gateway.runtime.deadlines.run, gateway.runtime.switch.flush)
            services.start_soon(take_turns, gateway)
            gateway.runtime.nursery = services
            yield House(gateway)
            services.cancel_scope.cancel()
    finally:
        if storage is not None:
            storage.close()


async def test_nats_messages_stay_in_their_account():
    async with two_accounts() as house:
        plant, office = house.nats("plant"), house.nats("office")
        for peer in (plant, office):
            peer.say(b"SUB > 1\r\nSUB jobs group 2\r\n")
        plant.say(b"PUB foo 2\r\nhi\r\nPUB jobs 1\r\nx\r\n")
        assert plant.hear().count(b"MSG ") == 3
        assert office.hear() == b""
        assert house.gateway.account.router.resolved == 0


async def test_request_is_not_answered_by_the_other_account():
    async with two_accounts() as house:
        responder = house.nats("plant")
        responder.say(b"SUB calc 1\r\n")
        requester = house.nats("office", no_responders=True)
        requester.say(b"SUB inbox 9\r\nPUB calc inbox 1\r\n1\r\n")
        assert responder.hear() == b""
        assert b"NATS/1.0 503" in requester.hear()


async def test_mqtt_and_nats_meet_within_their_account_only():
    async with two_accounts() as house:
        watcher, stranger = house.nats("plant"), house.nats("office")
        sensor, display = house.mqtt("plant", b"sensor"), house.mqtt("office", b"display")
        for peer in (watcher, stranger):
            peer.say(b"SUB plant.> 1\r\n")
        display.subscribe(b"plant/#")
        sensor.publish(b"plant/temp", b"21")
        assert watcher.hear() == b"MSG plant.temp 1 2\r\n21\r\n"
        assert stranger.hear() == b""
        assert display.messages() == []


async def test_one_client_id_in_two_accounts_is_two_sessions():
    async with two_accounts() as house:
        first, second = house.mqtt("plant", b"one"), house.mqtt("office", b"one")
        assert first.connection.close_reason is None
        first.subscribe(b"a", 1)
        second.subscribe(b"b", 1)
        first.leave()
        second.leave()
        for account in ACCOUNTS:
            writer = house.mqtt(account, b"writer")
            writer.publish(b"a", b"a of %b" % account.encode(), 1)
            writer.publish(b"b", b"b of %b" % account.encode(), 1)
        assert house.mqtt("plant", b"one").messages() == [(b"a", b"a of plant")]
        assert house.mqtt("office", b"one").messages() == [(b"b", b"b of office")]
        assert house.gateway.mqtt_sessions is not None
        assert len(house.gateway.mqtt_sessions) == 4


async def test_will_is_said_in_the_account_of_who_died():
    async with two_accounts() as house:
        watchers = {account: house.nats(account) for account in ACCOUNTS}
        for watcher in watchers.values():
            watcher.say(b"SUB wills.> 1\r\n")
        house.mqtt("plant", b"one", packets.Will(b"wills/one", b"gone")).leave()
        assert watchers["plant"].hear() == b"MSG wills.one 1 4\r\ngone\r\n"
        assert watchers["office"].hear() == b""


async def test_retained_messages_belong_to_an_account():
    async with two_accounts() as house:
        house.mqtt("plant", b"writer").publish(b"state", b"on", 1, retain=True)
        reader, stranger = house.mqtt("plant", b"reader"), house.mqtt("office", b"reader")
        for peer in (reader, stranger):
            peer.subscribe(b"#")
        assert reader.messages() == [(b"state", b"on")]
        assert stranger.messages() == []
        asking, other = house.nats("plant"), house.nats("office", no_responders=True)
        for peer in (asking, other):
            peer.say(b"SUB inbox 1\r\nPUB $LEAFGATE.retained.get inbox 0\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked()
        assert b"Mqtt-Retained-Subject: state" in asking.hear()
        assert b"NATS/1.0 503" in other.hear()
        house.mqtt("office", b"writer").publish(b"state", b"", 1, retain=True)
        assert len(house.gateway.accounts["plant"].retained) == 1


async def test_presence_of_one_name_is_told_in_each_account_on_its_own():
    async with two_accounts() as house:
        watchers = {account: house.nats(account) for account in ACCOUNTS}
        for watcher in watchers.values():
            watcher.say(b"SUB sheds.> 1\r\n")
        first = house.nats("plant", presence="sheds.one")
        second = house.nats("office", presence="sheds.one")
        for watcher in watchers.values():
            assert watcher.hear().count(b'"state":"online"') == 1
        first.leave()
        assert watchers["plant"].hear().count(b'"state":"offline"') == 1
        assert watchers["office"].hear() == b""
        second.leave()
        assert watchers["office"].hear().count(b'"state":"offline"') == 1


def publish_once(peer: Peer) -> bytes:
    """Publish on `orders` with the id `a`; returns the answer."""
    header = b"NATS/1.0\r\nNats-Msg-Id:a\r\n\r\n"
    size = len(header)
    peer.say(b"SUB inbox 7\r\nHPUB $LEAFGATE.publish.orders inbox %d %d\r\n%bhi\r\n" % (size, size + 2, header))
    return peer.hear()


async def test_ids_of_what_was_published_belong_to_an_account():
    async with two_accounts() as house:
        for account in ACCOUNTS:
            peer = house.nats(account)
            assert b'{"seq":1}' in publish_once(peer)
            assert b'{"seq":1,"duplicate":true}' in publish_once(peer)


async def test_reply_subject_of_a_request_leads_nowhere_in_the_other_account():
    async with two_accounts() as house:
        asker = house.mqtt("plant", b"asker")
        responder, stranger = house.nats("plant"), house.nats("office")
        responder.say(b"SUB calc 1\r\n")
        asker.subscribe(b"answers")
        request = Properties(response_topic=b"answers", correlation_data=b"\x01\x02")
        asker.say(encoder.encode_publish(MQTT_5_0, b"calc", b"?", 0, 0, False, False, request))
        reply = responder.hear().split(b" ")[3]
        stranger.say(b"PUB %b 5\r\nwrong\r\n" % reply)
        assert asker.messages() == []
        responder.say(b"PUB %b 5\r\nright\r\n" % reply)
        assert asker.messages() == [(b"answers", b"right")]


async def test_accounts_are_apart_after_a_restart_as_well(tmp_path: Path):
    async with two_accounts(tmp_path) as house:
        for account in ACCOUNTS:
            name = account.encode()
            peer = house.mqtt(account, b"one")
            peer.subscribe(b"a", 1)
            await commit(house.gateway)
            peer.leave()
            writer = house.mqtt(account, b"writer")
            writer.publish(b"a", name, 1)
            writer.publish(b"state/" + name, name, 1, retain=True)
            house.nats(account, presence=f"sheds.{account}")
        publish_once(house.nats("plant"))
        await commit(house.gateway)
    async with two_accounts(tmp_path) as house:
        for account in ACCOUNTS:
            retained = house.gateway.accounts[account].retained
            other = "office" if account == "plant" else "plant"
            assert retained.get(b"state." + account.encode()) is not None
            assert retained.get(b"state." + other.encode()) is None
            gone = retained.get(b"sheds." + account.encode())
            assert gone is not None
            assert b'"offline"' in gone.payload()
            assert retained.get(b"sheds." + other.encode()) is None
        for account in ACCOUNTS:
            peer = house.mqtt(account, b"one")
            found: list[tuple[bytes, bytes]] = []
            async with running(journal_of(house.gateway)):
                with trio.fail_after(PATIENCE_SECONDS):
                    while not found:
                        await trio.sleep(0.01)
                        found = peer.messages()
            assert found == [(b"a", account.encode())]
        answers = {}
        for account in ACCOUNTS:
            peer = house.nats(account)
            answers[account] = publish_once(peer)
            await commit(house.gateway)
            answers[account] += peer.hear()
        assert b'"duplicate":true' in answers["plant"]
        assert b'"duplicate"' not in answers["office"]
        assert b'{"seq":' in answers["office"]


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_session_tells_its_account(account: str):
    async with two_accounts() as house:
        for peer in (house.nats(account), house.mqtt(account, b"one")):
            assert peer.connection.session.describe().account == account
