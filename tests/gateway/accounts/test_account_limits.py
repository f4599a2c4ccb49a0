"""What an account may have at most."""

from pathlib import Path

import trio

from gateway.settings.schema import Config
from gateway.settings.security import AccountRules
from protocols.close_reason import CloseReason
from protocols.mqtt import packets
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.accounts.site import Site, site
from tests.gateway.mqtt.mqtt_peer import PATIENCE_SECONDS, commit, stored_gateway

TWO = AccountRules(name="plant", max_connections=2)
SMALL = AccountRules(name="plant", max_disk_bytes=1000)
LOAD = bytes(300)


async def test_connection_over_the_limit_is_closed_in_its_own_words():
    async with site(TWO, AccountRules(name="office")) as house:
        first, _ = house.nats("plant"), house.mqtt("plant", b"one")
        third = house.nats("plant", verbose=True)
        assert third.connection.close_reason is CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS
        fourth = house.mqtt("plant", b"two")
        (connack,) = fourth.packets()
        assert isinstance(connack, packets.Connack)
        assert connack.reason_code == ReasonCode.QUOTA_EXCEEDED
        assert house.nats("office").connection.close_reason is None
        first.leave()
        assert house.nats("plant").connection.close_reason is None
        assert house.gateway.accounts["plant"].connections == 2


async def test_nats_client_over_the_limit_hears_why():
    async with site(AccountRules(name="plant", max_connections=1)) as house:
        house.nats("plant")
        assert house.arriving("plant").hear().endswith(b"-ERR 'maximum account active connections exceeded'\r\n")


async def test_who_changes_the_account_leaves_a_place():
    async with site(TWO, AccountRules(name="office", max_connections=1)) as house:
        peer, other = house.nats("plant"), house.nats("plant")
        peer.say(b'CONNECT {"user":"office","verbose":false}\r\n')
        assert [house.gateway.accounts[name].connections for name in ("plant", "office")] == [1, 1]
        other.say(b'CONNECT {"user":"office","verbose":false}\r\n')
        assert other.connection.close_reason is CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS
        assert [house.gateway.accounts[name].connections for name in ("plant", "office")] == [0, 1]
        peer.leave()
        assert house.gateway.accounts["office"].connections == 0


async def test_who_takes_over_his_own_session_needs_no_further_place():
    async with site(TWO) as house:
        house.nats("plant")
        before = house.mqtt("plant", b"one", 1000)
        again = house.mqtt("plant", b"one", 1000)
        assert before.connection.close_reason is CloseReason.DUPLICATE_CLIENT_ID
        assert again.connection.close_reason is None
        assert house.gateway.accounts["plant"].connections == 2
        assert house.mqtt("plant", b"two").connection.close_reason is CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS


async def test_retained_messages_have_so_much_room():
    async with site(SMALL) as house:
        sensor = house.mqtt("plant", b"s")
        sensor.packets()
        codes = []
        for number in range(4):
            sensor.publish(b"state/%d" % number, LOAD, 1, retain=True)
            (puback,) = sensor.packets()
            assert isinstance(puback, packets.Puback)
            codes.append(puback.reason_code)
        assert codes.count(ReasonCode.QUOTA_EXCEEDED) == 2
        assert len(house.gateway.accounts["plant"].retained) == 2
        sensor.publish(b"state/0", b"", 1, retain=True)
        sensor.publish(b"state/9", LOAD, 1, retain=True)
        assert house.gateway.accounts["plant"].retained.get(b"state.9") is not None


async def test_queues_on_the_disk_have_so_much_room(tmp_path: Path):
    async with stored_gateway(tmp_path, Config(accounts=(SMALL,))) as gateway:
        house = Site(gateway)
        sleeper = house.mqtt("plant", b"sleeper", 1000)
        await commit(gateway)
        sleeper.subscribe(b"#", 1)
        await commit(gateway)
        sleeper.leave()
        writer = house.mqtt("plant", b"writer")
        writer.packets()
        codes = []
        for _ in range(4):
            writer.publish(b"a", LOAD, 1)
            await commit(gateway)
            (puback,) = writer.packets()
            assert isinstance(puback, packets.Puback)
            codes.append(puback.reason_code)
        assert codes == [0, 0, 0, ReasonCode.QUOTA_EXCEEDED]
        assert gateway.accounts["plant"].queued_bytes() == 900
    async with stored_gateway(tmp_path, Config(accounts=(SMALL,))) as gateway:
        queued = gateway.accounts["plant"].queued_bytes
        assert queued() == 900
        sleeper = Site(gateway).mqtt("plant", b"sleeper", 1000)
        heard: list[object] = []
        with trio.fail_after(PATIENCE_SECONDS):
            while queued():
                await commit(gateway)
                heard += sleeper.messages()
                await trio.sleep(0.01)
        assert len(heard) == 3


async def test_session_that_ends_gives_its_room_back(tmp_path: Path):
    async with stored_gateway(tmp_path, Config(accounts=(SMALL,))) as gateway:
        house = Site(gateway)
        sleeper = house.mqtt("plant", b"sleeper", 1000)
        sleeper.subscribe(b"#", 1)
        sleeper.leave()
        house.nats("plant").say(b"PUB a %d\r\n%b\r\n" % (len(LOAD), LOAD))
        assert gateway.accounts["plant"].queued_bytes() == len(LOAD)
        house.mqtt("plant", b"sleeper", clean=True)
        assert gateway.accounts["plant"].queued_bytes() == 0
