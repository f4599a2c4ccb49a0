"""mosquitto's topics in memory: who is told, and that nothing is counted for those who are away."""

import msgspec
import trio
import trio.testing

from tests.gateway.accounts.site import MqttPeer, Site
from tests.gateway.system.test_system_requests import telling_site

INTERVAL = 10.0


async def topics_of(peer: MqttPeer) -> dict[bytes, bytes]:
    await trio.testing.wait_all_tasks_blocked()
    return dict(peer.messages())


def reader(house: Site, expiry: int = 0) -> MqttPeer:
    peer = house.mqtt("plant", b"reader", expiry=expiry)
    peer.subscribe(b"$SYS/broker/#", 1)
    return peer


async def test_only_what_has_changed_is_told_again(autojump_clock: trio.testing.MockClock):
    async with telling_site() as house:
        peer = reader(house)
        await trio.sleep(1)
        first = await topics_of(peer)
        assert first[b"$SYS/broker/clients/connected"] == b"1"
        await trio.sleep(INTERVAL)
        again = await topics_of(peer)
        assert b"$SYS/broker/uptime" in again
        assert b"$SYS/broker/version" not in again


async def test_session_that_comes_back_is_told_again(autojump_clock: trio.testing.MockClock):
    async with telling_site() as house:
        peer = reader(house, expiry=1000)
        await trio.sleep(1)
        assert await topics_of(peer)
        peer.leave()
        await trio.sleep(3 * INTERVAL)
        census, taken = house.gateway.registry.census, []

        async def take() -> object:
            taken.append(True)
            return await type(census).take(census)

        census.take = take  # type: ignore[method-assign, assignment]
        await trio.sleep(3 * INTERVAL)
        assert taken == []  # Nobody is there who would hear it.
        peer = house.mqtt("plant", b"reader", expiry=1000)
        await trio.sleep(1)
        assert b"$SYS/broker/version" in await topics_of(peer)
        assert taken


async def test_interval_of_none_tells_nobody(autojump_clock: trio.testing.MockClock):
    async with telling_site() as house:
        settings = house.gateway.settings
        settings.mqtt = msgspec.structs.replace(settings.mqtt, sys_interval_seconds=0)
        peer = reader(house)
        await trio.sleep(100)
        assert await topics_of(peer) == {}
