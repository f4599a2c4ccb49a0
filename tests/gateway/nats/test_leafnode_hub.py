"""Our end of links that leafnodes open to us, in front of spokes that the test plays."""

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.nats.leafnode_hub import HubSession
from gateway.nats.spoke_directory import SpokeDirectory
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, Authentication, PermissionRules, SubjectRule, User
from protocols.close_reason import CloseReason
from tests.gateway.memory_connection import MemoryConnection, running_gateway
from tests.gateway.nats.test_leafnode import local_client

HELLO = {"name": "shed", "cluster": "shed", "version": "2.15.1", "headers": True, "remote_account": "$G"}


class Spoke:
    """A leafnode that the test plays."""

    def __init__(self, gateway: Gateway, directory: SpokeDirectory | None = None, **listener: Any) -> None:
        self.connection = MemoryConnection(gateway)
        self.connection.listener = Listener(protocol="leafnode", address="127.0.0.1:1", **listener)  # type: ignore[assignment]
        directory = directory or SpokeDirectory(gateway.runtime.repeats)
        self.session = HubSession(self.connection, gateway.admission, directory)  # type: ignore[arg-type]
        self.connection.start(self.session)
        self.greeting = json.loads(self.connection.take().removeprefix(b"INFO "))

    def says(self, data: bytes) -> list[bytes]:
        """Returns the lines that come for that."""
        self.connection.receive(data)
        return self.connection.take().split(b"\r\n")[:-1]

    def come_in(self, **fields: object) -> list[bytes]:
        """Returns the interest that it is told, but for the hub's loop subject."""
        confirmation, loop, *told = self.says(connect(**fields))
        self.told = json.loads(confirmation.removeprefix(b"INFO "))
        assert self.told["connect_info"]
        assert loop == b"LS+ " + self.session.loop_subject
        return sorted(told)

    @property
    def end(self) -> CloseReason | None:
        return self.connection.close_reason


def connect(**fields: object) -> bytes:
    return b"CONNECT %b\r\n" % json.dumps(HELLO | fields).encode()


def test_version_of_a_spoke_is_compared_by_its_numbers():
    from protocols.leafnode.hub import is_at_least

    assert is_at_least("2.10.0", "2.9.30")
    assert is_at_least("2.9.30-beta.1", "2.9.30")
    assert not is_at_least("2.8.4", "2.9.0")
    for strange in ("", "2.9", "latest", "2.9.x", "9" * 5000):
        assert not is_at_least(strange, "2.9.0")


async def test_greeting_says_what_spokes_look_for():
    async with running_gateway(Config(name="site-1")) as gateway:
        told = Spoke(gateway).greeting
        assert (told["server_name"], told["proto"], told["compression"], told["info_on_connect"]) == (
            "site-1",
            3,
            "off",
            True,
        )
        assert told["client_id"] > 0
        assert told["nonce"]
        assert told["leafnode_urls"] == ["127.0.0.1:4222"]
        assert "auth_required" not in told
        assert Spoke(gateway, advertise=("hub.example:7422",)).greeting["leafnode_urls"] == ["hub.example:7422"]


async def test_interest_of_clients_is_told_at_once_and_as_it_comes_and_goes():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        client.receive(b"SUB a.* 1\r\nSUB work crew 2\r\n")
        spoke = Spoke(gateway)
        assert spoke.come_in() == [b"LS+ a.*", b"LS+ work crew 1"]
        client.receive(b"SUB b 3\r\nSUB work crew 4\r\nUNSUB 1\r\n")
        assert spoke.says(b"") == [b"LS+ b", b"LS+ work crew 2", b"LS- a.*"]


async def test_messages_pass_both_ways():
    async with running_gateway() as gateway:
        client, spoke = local_client(gateway), Spoke(gateway)
        client.receive(b"SUB up.> 1\r\n")
        spoke.come_in()
        spoke.says(b"LS+ down.>\r\nLS+ work crew 1\r\n")
        spoke.says(b"LMSG up.a 2\r\nhi\r\nHMSG up.b me 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
        assert client.take() == b"MSG up.a 1 2\r\nhi\r\nHMSG up.b 1 me 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
        client.receive(b"PUB down.a 2\r\nhi\r\nHPUB work me 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
        assert spoke.says(b"") == [b"LMSG down.a 2", b"hi", b"HMSG work + me crew 12 14", b"NATS/1.0", b"", b"hi"]


async def test_a_spoke_without_headers_gets_messages_without():
    async with running_gateway() as gateway:
        client, spoke = local_client(gateway), Spoke(gateway)
        spoke.come_in(headers=False)
        spoke.says(b"LS+ down\r\nLS+ work crew 1\r\n")
        client.receive(b"HPUB down 12 14\r\nNATS/1.0\r\n\r\nhi\r\n" * 3)
        assert spoke.says(b"") == [b"LMSG down 2", b"hi"] * 3
        client.receive(b"HPUB work me 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
        assert spoke.says(b"") == [b"LMSG work + me crew 2", b"hi"]


async def test_what_the_spoke_denies_itself_is_not_sent():
    async with running_gateway() as gateway:
        client, spoke = local_client(gateway), Spoke(gateway)
        spoke.come_in(deny_pub=["secret.>", "no..filter"])
        spoke.says(b"LS+ >\r\n")
        client.receive(b"PUB secret.a 0\r\n\r\nPUB open 0\r\n\r\n")
        assert spoke.says(b"") == [b"LMSG open 0", b""]
        assert spoke.session.dropped == 0


async def test_nothing_may_be_said_before_connect_and_connect_only_once():
    async with running_gateway() as gateway:
        for said in (b"PING\r\n", b"LMSG a 2\r\nhi\r\n", b"LS+ a\r\n", b"\r\n", b"\x16\x03\x01"):
            spoke = Spoke(gateway)
            assert spoke.says(said) == [b"-ERR 'Authorization Violation'"]
            assert spoke.end is CloseReason.AUTHENTICATION_FAILURE
        spoke = Spoke(gateway)
        spoke.come_in()
        assert spoke.says(connect()) == []
        assert spoke.end is CloseReason.PROTOCOL_VIOLATION
        assert gateway.account.router.tree.count == 0


async def test_silence_ends_after_a_while(autojump_clock: MockClock):
    config = Config(users=(User(name="a", password=Secret("b")),), authentication=Authentication(timeout_seconds=1))
    async with running_gateway(config) as gateway:
        spoke = Spoke(gateway)
        assert spoke.greeting["auth_required"]
        await trio.sleep(1.1)
        assert spoke.says(b"") == [b"-ERR 'Authentication Timeout'"]
        assert spoke.end is CloseReason.AUTHENTICATION_TIMEOUT


async def test_a_spoke_that_answers_no_ping_is_gone(autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(ping_interval_seconds=10, ping_max=2))) as gateway:
        spoke = Spoke(gateway)
        spoke.come_in()
        await trio.sleep(1.1)
        assert spoke.says(b"PONG\r\n") == [b"PING"]
        await trio.sleep(31)
        assert spoke.says(b"") == [b"PING", b"PING", b"-ERR 'Stale Connection'"]
        assert spoke.end is CloseReason.STALE_CONNECTION


async def test_the_newest_link_of_a_server_stays(caplog: pytest.LogCaptureFixture):
    async with running_gateway() as gateway:
        directory = SpokeDirectory(gateway.runtime.repeats)
        first = Spoke(gateway, directory)
        first.come_in()
        for others in (
            {"name": "barn"},
            {"cluster": "barn"},
            {"remote_account": "A"},
            {"remote_account": ""},
            {"name": ""},
        ):
            Spoke(gateway, directory).come_in(**others)
        assert first.end is None
        second = Spoke(gateway, directory)
        second.come_in()
        assert first.says(b"") == [b"-ERR 'Duplicate Remote LeafNode Connection'"]
        assert (first.end, second.end) == (CloseReason.DUPLICATE_LEAFNODE, None)
        assert caplog.text.count("event=twin name='shed'") == 1
        Spoke(gateway, directory).come_in()
        assert second.end is CloseReason.DUPLICATE_LEAFNODE


async def test_an_old_version_is_told_which_one_is_wanted():
    async with running_gateway() as gateway:
        spoke = Spoke(gateway, min_version="2.16.0")
        assert spoke.says(connect()) == [b"-ERR 'connection rejected since minimum version required is \"2.16.0\"'"]
        assert Spoke(gateway, min_version="2.15.1").come_in() == []


async def test_a_loop_is_seen_on_whatever_link_it_comes_back():
    async with running_gateway() as gateway:
        one, two = Spoke(gateway), Spoke(gateway)
        one.come_in()
        two.come_in(name="barn", cluster="barn")
        assert one.says(b"LS+ $LDS.other\r\n") == []
        assert two.says(b"") == [b"LS+ $LDS.other"]
        (error,) = two.says(b"LS+ %b\r\n" % one.session.loop_subject)
        assert error.startswith(
            b'-ERR \'Loop detected for leafnode account="$G". Delaying attempt to reconnect for 30s'
        )
        assert (one.end, two.end) == (None, CloseReason.LEAFNODE_LOOP)


async def test_what_one_spoke_can_hold_is_limited():
    async with running_gateway(Config(limits=Limits(max_subscription_bytes=4000))) as gateway:
        spoke = Spoke(gateway)
        spoke.come_in()
        lines = spoke.says(b"".join(b"LS+ a.%d\r\n" % number for number in range(100)))
        held = 100 - len(lines)
        assert set(lines) == {b"-ERR 'maximum subscriptions exceeded'"}
        assert 0 < held < 10
        assert spoke.end is None
        spoke.says(b"".join(b"LS- a.%d\r\n" % number for number in range(100)))
        assert (spoke.session.holding.bytes, gateway.account.router.tree.count) == (0, 0)
        spoke.says(b"LS+ a\r\n")
        spoke.connection.close(CloseReason.CLIENT_CLOSED)
        assert (gateway.runtime.budget.kinds["subscriptions"], gateway.account.router.tree.count) == (0, 0)


RULES = PermissionRules(
    publish=SubjectRule(allow=("up.>",), deny=("up.no",)), subscribe=SubjectRule(allow=("down.>",), deny=("down.no.>",))
)


async def test_rights_are_told_and_held_and_become_others():
    users = (User(name="shed", password=Secret("s"), account="plant", permissions=RULES),)
    config = Config(users=users, accounts=(AccountRules(name="plant", max_leafnodes=1),))
    async with running_gateway(config) as gateway:
        spoke = Spoke(gateway)
        spoke.come_in(user="shed", **{"pass": "s"})
        assert (spoke.told["import"], spoke.told["export"], spoke.told["remote_account"]) == (
            {"allow": ["down.>"], "deny": ["down.no.>"]},
            {"allow": ["up.>"], "deny": ["up.no"]},
            "plant",
        )
        plant = gateway.accounts["plant"]
        assert plant.links == 1
        other = Spoke(gateway)
        assert other.says(connect(name="barn", user="shed", **{"pass": "s"})) == [
            b"-ERR 'maximum account active connections exceeded'"
        ]
        assert plant.links == 1
        # One that comes again takes the place of its own link.
        directory = spoke.session._spokes
        again = Spoke(gateway, directory)
        again.come_in(user="shed", **{"pass": "s"})
        assert (spoke.end, plant.links) == (CloseReason.DUPLICATE_LEAFNODE, 1)
        spoke = again
        identity = spoke.session.identity
        assert identity is not None
        from dataclasses import replace

        from gateway.accounts.permissions import make_permissions

        wider = make_permissions(
            PermissionRules(publish=SubjectRule(allow=("up.>", "more")), subscribe=RULES.subscribe)
        )
        spoke.session.identity_changed(replace(identity, permissions=wider))
        (told,) = spoke.says(b"")
        assert json.loads(told.removeprefix(b"INFO "))["export"] == {"allow": ["up.>", "more"]}
        assert spoke.says(b"LMSG more 0\r\n\r\nLS+ down.x\r\n") == []
        assert spoke.says(b"LMSG up.no 0\r\n\r\nLMSG up.x 0\r\n\r\nLMSG other 0\r\n\r\nPING\r\n") == [
            b"-ERR 'Permissions Violation for Publish to \"other\"'"
        ]
        assert (spoke.end, plant.links, plant.router.tree.count) == (CloseReason.PROTOCOL_VIOLATION, 0, 0)


async def test_a_link_that_is_a_hub_itself_is_treated_as_one():
    async with running_gateway() as gateway:
        above, also, below = Spoke(gateway), Spoke(gateway), Spoke(gateway)
        above.come_in(name="above", cluster="above", is_hub=True)
        also.come_in(name="also", cluster="also", is_hub=True)
        below.come_in()
        for spoke in (above, also, below):
            spoke.says(b"LS+ a\r\n")
        for spoke in (above, also, below):
            spoke.says(b"")
        above.says(b"LMSG a 0\r\n\r\n")
        assert (also.says(b""), below.says(b"")) == ([], [b"LMSG a 0", b""])


async def test_a_direct_get_that_nobody_answers_is_told_so_and_other_requests_are_not():
    async with running_gateway() as gateway:
        spoke = Spoke(gateway)
        spoke.come_in()
        assert spoke.says(b"LMSG $JS.API.DIRECT.GET.A.b me 0\r\n\r\nLMSG ask me 0\r\n\r\n") == [
            b"HMSG me 54 54",
            b"NATS/1.0 503",
            b"Nats-Subject: $JS.API.DIRECT.GET.A.b",
            b"",
            b"",
        ]


async def test_a_smaller_payload_limit_is_told_and_held():
    async with running_gateway() as gateway:
        client, spoke = local_client(gateway), Spoke(gateway)
        spoke.come_in()
        spoke.says(b"LS+ a\r\n")
        gateway.settings.replace(Config(limits=Limits(max_payload_bytes=10)))
        spoke.session.settings_changed()
        (told,) = spoke.says(b"")
        assert json.loads(told.removeprefix(b"INFO "))["max_payload"] == 10
        client.receive(b"PUB a 11\r\nhello world\r\nPUB a 2\r\nhi\r\n")
        assert spoke.says(b"") == [b"LMSG a 2", b"hi"]
        assert spoke.session.dropped == 1
        assert spoke.says(b"LMSG b 11\r\n") == [b"-ERR 'Maximum Payload Violation'"]
