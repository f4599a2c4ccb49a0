"""Who of several links serves: two hubs that the tests play, in front of one gateway."""

import trio
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.settings.addresses import ServerUrl
from gateway.settings.uplink import Uplink
from gateway.uplink.leafnode_uplink import LeafnodeUplink
from gateway.uplink.link_group import SPREAD_SECONDS, LinkGroup
from protocols.close_reason import CloseReason
from tests.gateway.memory_connection import running_gateway
from tests.gateway.nats.test_leafnode import FIRST_INFO, SECOND_INFO, Link, info, local_client


def links(gateway: Gateway, count: int = 2, **keys: object) -> list[Link]:
    """Links of one group, whose hubs have said nothing yet."""
    group = LinkGroup()
    made = []
    for number in range(count):
        config = Uplink(urls=(ServerUrl("nats-leaf", f"hub{number}", 7422),), **keys)  # type: ignore[arg-type]
        uplink = LeafnodeUplink(gateway.runtime, gateway.registry, gateway.account, config, number, group)
        made.append(Link(gateway, uplink))
        uplink._attempted = made[-1].session
    group.links = [link.uplink for link in made]
    return made


def greet(link: Link, **more: object) -> bytes:
    """The hub introduces itself and confirms; returns what it hears for the second."""
    link.hub_says(info(FIRST_INFO | more))
    return link.hub_says(info(SECOND_INFO | more))


async def test_a_second_link_asks_whether_its_hub_has_told_everything(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        client = local_client(gateway)
        client.receive(b"SUB foo 1\r\n")
        one, other = links(gateway)
        assert b"LS+ foo\r\n" in greet(one, server_id="N1")
        # Nothing goes over the link yet, in neither direction: it may lead where the first one does.
        assert greet(other, server_id="N2") == b"LS+ %b\r\n" % other.uplink.loop_subject
        other.hub_says(b"LS+ up\r\n")
        client.receive(b"PUB up 1\r\nx\r\n")
        await trio.sleep(SPREAD_SECONDS + 0.1)
        assert other.connection.take() == b"PING\r\n"
        assert b"LS+ foo\r\n" in other.hub_says(b"PONG\r\n")
        client.receive(b"PUB up 1\r\ny\r\n")
        assert other.connection.take() == b"LMSG up 1\r\ny\r\n"


async def test_a_hub_that_another_link_serves_is_told_nothing():
    async with running_gateway() as gateway:
        one, other = links(gateway)
        greet(one)
        assert greet(other) == b""
        assert other.connection.close_reason is CloseReason.CLIENT_CLOSED
        assert one.connection.close_reason is None


async def test_one_server_in_two_accounts_is_two_places():
    async with running_gateway() as gateway:
        one, other = links(gateway)
        greet(one)
        greet(other, remote_account="B")
        assert other.connection.close_reason is None


async def test_of_two_links_that_hear_each_other_the_younger_one_gives_way_whoever_hears_first(
    autojump_clock: MockClock,
):
    for first_to_hear in (0, 1):
        async with running_gateway() as gateway:
            pair = links(gateway)
            for number, link in enumerate(pair):
                greet(link, server_id=f"N{number}")
                await trio.sleep(SPREAD_SECONDS + 0.1)
            other = pair[1 - first_to_hear].uplink.loop_subject
            pair[first_to_hear].hub_says(b"LS+ %b\r\n" % other)
            assert pair[0].connection.close_reason is None
            assert pair[1].connection.close_reason is CloseReason.CLIENT_CLOSED


async def test_of_two_links_that_came_at_once_one_stays():
    async with running_gateway() as gateway:
        pair = links(gateway)
        for number, link in enumerate(pair):
            greet(link, server_id=f"N{number}")
        for link, other in (pair, reversed(pair)):
            link.hub_says(b"LS+ %b\r\n" % other.uplink.loop_subject)
        assert [link.connection.close_reason for link in pair] == [None, CloseReason.CLIENT_CLOSED]


async def test_a_link_that_hears_its_own_subject_is_in_a_loop():
    async with running_gateway() as gateway:
        one, _ = links(gateway)
        greet(one)
        assert b"Loop detected" in one.hub_says(b"LS+ %b\r\n" % one.uplink.loop_subject)
        assert one.connection.close_reason is CloseReason.LEAFNODE_LOOP


async def test_jetstream_without_a_domain_is_the_first_hubs_that_has_it(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        client = local_client(gateway)
        one, other = links(gateway)
        for number, link in enumerate((one, other)):
            greet(link, server_id=f"N{number}")
            await trio.sleep(SPREAD_SECONDS + 0.1)
            link.hub_says(b"PONG\r\nLS+ $JS.API.>\r\nLS+ $JS.hub%d.API.>\r\nLS+ plain\r\n" % number)
            link.connection.take()

        def heard() -> list[bytes]:
            client.receive(b"PUB $JS.API.INFO 0\r\n\r\nPUB $JS.hub1.API.INFO 0\r\n\r\nPUB plain 0\r\n\r\n")
            return [link.connection.take().replace(b"PING\r\n", b"") for link in (one, other)]

        ask, ask_domain, plain = (
            b"LMSG $JS.API.INFO 0\r\n\r\n",
            b"LMSG $JS.hub1.API.INFO 0\r\n\r\n",
            b"LMSG plain 0\r\n\r\n",
        )
        assert heard() == [ask + plain, ask_domain + plain]
        one.connection.close(CloseReason.CLIENT_CLOSED)
        one.uplink._gone()
        assert heard()[1] == ask + ask_domain + plain


async def test_jetstream_of_a_hub_can_be_left_alone():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        (one,) = links(gateway, 1, jetstream=False)
        greet(one)
        one.hub_says(b"LS+ $JS.API.>\r\nLS+ plain\r\n")
        client.receive(b"PUB $JS.API.INFO 0\r\n\r\nPUB plain 0\r\n\r\n")
        assert one.connection.take() == b"LMSG plain 0\r\n\r\n"
