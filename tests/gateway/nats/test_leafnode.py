import itertools

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.nats.client import NatsClientSession
from gateway.nats.leaf_interest import SLICE
from gateway.nats.leafnode_spoke import TAKEN_IN_A_ROW, SpokeSession
from gateway.runtime.turns import TURN_SECONDS
from gateway.settings.addresses import ServerUrl
from gateway.settings.limits import Limits
from gateway.settings.schema import Config
from gateway.settings.uplink import Uplink
from gateway.uplink.leafnode_uplink import LeafnodeUplink
from protocols.close_reason import CloseReason
from protocols.subjects import LONGEST_NAMES
from tests.gateway.memory_connection import MemoryConnection, running_gateway

FIRST_INFO = {
    "server_id": "N1",
    "server_name": "hub",
    "proto": 3,
    "client_id": 7,
    "max_payload": 1000,
    "info_on_connect": True,
}
SECOND_INFO = FIRST_INFO | {"connect_info": True, "remote_account": "A"}


def info(fields: dict[str, object]) -> bytes:
    return b"INFO %b \r\n" % msgspec.json.encode(fields)


def make_uplink(gateway: Gateway, url: ServerUrl | None = None) -> LeafnodeUplink:
    url = url or ServerUrl("nats-leaf", "hub.example", 7422, "leaf", "secret")
    config = Uplink(urls=(url,), ping_interval_seconds=10, ping_max=2)
    return LeafnodeUplink(gateway.runtime, gateway.registry, gateway.account, config, 0)


class Link:
    """A link in front of a hub that the test plays."""

    def __init__(self, gateway: Gateway, uplink: LeafnodeUplink | None = None) -> None:
        self.gateway = gateway
        self.uplink = uplink or make_uplink(gateway)
        self.connection = MemoryConnection(gateway)
        self.session = SpokeSession(self.connection, self.uplink)  # type: ignore[arg-type]
        self.connection.start(self.session)

    def hub_says(self, data: bytes) -> bytes:
        """Returns what the hub gets for that."""
        self.connection.receive(data)
        return self.connection.take()

    def come_up(self, **more: object) -> list[bytes]:
        """The handshake; returns the lines behind CONNECT but for our own loop subject."""
        assert self.hub_says(info(FIRST_INFO)).startswith(b"CONNECT {")
        lines = self.hub_says(info(SECOND_INFO | more)).split(b"\r\n")[:-1]
        assert lines[0] == b"LS+ " + self.session.loop_subject
        return sorted(lines[1:])


def local_client(gateway: Gateway) -> MemoryConnection:
    connection = MemoryConnection(gateway)
    connection.start(NatsClientSession(connection, connection.gateway.admission))  # type: ignore[arg-type]
    connection.receive(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n')
    connection.take()
    return connection


async def test_connect_says_who_we_are():
    async with running_gateway(Config(name="edge-1")) as gateway:
        link = Link(gateway)
        assert link.connection.take() == b""
        connect = msgspec.json.decode(link.hub_says(info(FIRST_INFO)).removeprefix(b"CONNECT "))
        expected = {
            "name": "edge-1",
            "user": "leaf",
            "pass": "secret",
            "headers": True,
            "compress_mode": "off",
            "remote_account": "$G",
        }
        assert {name: connect.get(name) for name in expected} == expected
        assert "lang" not in connect
        assert "auth_token" not in connect


async def test_user_without_password_is_a_token():
    async with running_gateway() as gateway:
        link = Link(gateway, make_uplink(gateway, ServerUrl("nats-leaf", "hub.example", 7422, "t0ken")))
        connect = msgspec.json.decode(link.hub_says(info(FIRST_INFO)).removeprefix(b"CONNECT "))
        assert (connect["user"], connect["auth_token"], "pass" in connect) == ("t0ken", "t0ken", False)


async def test_nothing_is_told_before_the_hub_has_confirmed():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        client.receive(b"SUB foo 1\r\n")
        link = Link(gateway)
        assert b"LS+" not in link.hub_says(info(FIRST_INFO))
        client.receive(b"SUB bar 2\r\n")
        assert link.connection.take() == b""
        assert link.hub_says(info(SECOND_INFO)).count(b"LS+") == 3


async def test_hub_that_confirms_nothing_is_ready_at_once():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        client.receive(b"SUB foo 1\r\n")
        said = Link(gateway).hub_says(info(FIRST_INFO | {"info_on_connect": False}))
        assert said.startswith(b"CONNECT ")
        assert said.endswith(b"LS+ foo\r\n")


async def test_interest_is_told_as_it_comes_and_goes():
    async with running_gateway() as gateway:
        one, other = local_client(gateway), local_client(gateway)
        one.receive(b"SUB foo.* 1\r\nSUB foo.* 2\r\nSUB work crew 3\r\n")
        link = Link(gateway)
        assert link.come_up() == [b"LS+ foo.*", b"LS+ work crew 1"]
        other.receive(b"SUB foo.* 1\r\nSUB work crew 2\r\nSUB bar 3\r\n")
        assert link.connection.take() == b"LS+ work crew 2\r\nLS+ bar\r\n"
        one.receive(b"UNSUB 1\r\nUNSUB 2\r\nUNSUB 3\r\n")
        assert link.connection.take() == b"LS+ work crew 1\r\n"
        other.close(CloseReason.CLIENT_CLOSED)
        assert sorted(link.connection.take().split(b"\r\n")[:-1]) == [b"LS- bar", b"LS- foo.*", b"LS- work crew"]


async def test_hub_is_not_offered_our_time():
    async with running_gateway() as gateway:
        gateway.offer_services()
        link = Link(gateway)
        assert link.come_up() == []
        local_client(gateway).receive(b"SUB $LEAFGATE.time 1\r\n")
        assert link.connection.take() == b""


async def test_clients_have_no_say_in_the_watch_for_loops():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        subject = link.session.loop_subject
        local_client(gateway).receive(b"SUB %b 1\r\nSUB $LDS.other 2\r\nUNSUB 1\r\nUNSUB 2\r\n" % subject)
        assert link.connection.take() == b""


async def test_interest_goes_before_the_messages_that_follow_it():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        link.hub_says(b"LS+ ask\r\n")
        local_client(gateway).receive(b"SUB inbox 1\r\nPUB ask inbox 1\r\n?\r\nUNSUB 1\r\n")
        assert link.connection.take() == b"LS+ inbox\r\nLMSG ask inbox 1\r\n?\r\nLS- inbox\r\n"


async def test_messages_go_where_the_hub_is_interested_and_nowhere_else():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        client = local_client(gateway)
        assert link.hub_says(b"LS+ up.*\r\nLS+ up.*\r\nLS+ crew.work crew 1\r\nLS+ crew.work crew 2\r\n") == b""
        client.receive(b"PUB up.x 2\r\nhi\r\nPUB down 0\r\n\r\nPUB crew.work 0\r\n\r\n")
        assert link.connection.take() == b"LMSG up.x 2\r\nhi\r\nLMSG crew.work | crew 0\r\n\r\n"
        link.hub_says(b"LS- up.*\r\nLS- crew.work crew\r\nLS- never.there\r\n")
        client.receive(b"PUB up.x 2\r\nhi\r\nPUB crew.work 0\r\n\r\n")
        assert link.connection.take() == b""


async def test_messages_from_the_hub_reach_local_clients():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        client = local_client(gateway)
        client.receive(b"SUB foo 1\r\nSUB foo crew 2\r\n")
        link.connection.take()
        assert link.hub_says(b"LS+ foo\r\nLMSG foo to.me 2\r\nhi\r\nLMSG foo | crew 1\r\nx\r\n") == b""
        assert client.take() == b"MSG foo 1 to.me 2\r\nhi\r\nMSG foo 1 1\r\nx\r\nMSG foo 2 1\r\nx\r\n"
        assert (link.session.in_messages, link.session.in_bytes) == (2, 3)


async def test_message_of_a_consumer_shows_the_subject_that_it_was_stored_under():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        client = local_client(gateway)
        client.receive(b"SUB _INBOX.x 1\r\nSUB orders.new 2\r\n")
        ack = b"$JS.ACK.ORDERS.c.1.2.3.1795399042643183431.0"
        link.hub_says(b"LMSG _INBOX.x %b@orders.new 2\r\nhi\r\n" % ack)
        assert client.take() == b"MSG orders.new 1 %b 2\r\nhi\r\n" % ack


async def test_buckets_of_a_hub_with_jetstream_are_reached_though_it_does_not_say_so():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        link = Link(gateway)
        link.come_up(jetstream=True)
        client.receive(b"PUB $KV.settings.colour inbox 3\r\nred\r\n")
        assert link.connection.take() == b"LMSG $KV.settings.colour inbox 3\r\nred\r\n"


async def test_bookkeeping_of_the_hub_is_no_interest_of_ours():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        link = Link(gateway)
        link.come_up()
        link.hub_says(b"LS+ $MQTT.sub.x\r\nLS+ a..b\r\nLS+ a.>.b\r\n")
        client.receive(b"PUB $MQTT.sub.x 0\r\n\r\nPUB a..b 0\r\n\r\n")
        assert link.connection.take() == b""
        assert link.connection.close_reason is None


PERMISSIONS = {
    "import": {"allow": ["down.>", "_INBOX.>"], "deny": ["down.no.>"]},
    "export": {"allow": ["up.>"], "deny": ["up.no"]},
}


async def test_interest_that_the_hub_does_not_allow_is_not_told():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        filters = (b"down.yes", b"down.no.x", b"down.no.*", b"elsewhere", b"down.*", b">", b"*", b"*.x", b"elsewhere.*")
        client.receive(b"".join(b"SUB %b %d\r\n" % (subject, sid) for sid, subject in enumerate(filters)))
        client.receive(b"SUB down.q crew q1\r\nSUB elsewhere crew q2\r\n")
        link = Link(gateway)
        # Wildcards pass that overlap with what is allowed: the hub filters its messages.
        told = [b"LS+ *.x", b"LS+ >", b"LS+ down.*", b"LS+ down.q crew 1", b"LS+ down.yes"]
        assert link.come_up(**PERMISSIONS) == told
        client.close(CloseReason.CLIENT_CLOSED)
        gone = sorted(link.connection.take().split(b"\r\n")[:-1])
        assert gone == sorted(line.replace(b"+", b"-").removesuffix(b" 1") for line in told)


async def test_messages_that_the_hub_does_not_allow_stay_here():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        link = Link(gateway)
        link.come_up(**PERMISSIONS)
        link.hub_says(b"LS+ >\r\n")
        for subject in (b"up.yes", b"up.no", b"elsewhere", b"$JS.ACK.s.c.1.2.3.4.5"):
            client.receive(b"PUB %b 0\r\n\r\n" % subject)
        client.receive(b"PUB up.large 1001\r\n%b\r\n" % (b"x" * 1001))
        assert link.connection.take() == b"LMSG up.yes 0\r\n\r\nLMSG $JS.ACK.s.c.1.2.3.4.5 0\r\n\r\n"


async def test_request_that_may_not_leave_is_answered_with_no_responders():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        link = Link(gateway)
        link.come_up(**PERMISSIONS)
        link.hub_says(b"LS+ >\r\n")
        client.receive(b"SUB inbox 1\r\nPUB elsewhere inbox 0\r\n\r\n")
        assert client.take().startswith(b"HMSG inbox 1 41 41\r\nNATS/1.0 503\r\n")


async def test_permissions_that_change_are_kept_to():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        client.receive(b"SUB one 1\r\nSUB two 2\r\nSUB three crew 3\r\n")
        link = Link(gateway)
        link.come_up()
        link.hub_says(b"LS+ up\r\n")
        narrow = {"import": {"allow": ["two"]}, "export": {"allow": ["nothing"]}}
        said = link.hub_says(info(SECOND_INFO | narrow))
        assert sorted(said.split(b"\r\n")[:-1]) == [b"LS- one", b"LS- three crew"]
        client.receive(b"PUB up 0\r\n\r\n")
        assert link.connection.take() == b""
        said = link.hub_says(info(SECOND_INFO))
        assert sorted(said.split(b"\r\n")[:-1]) == [b"LS+ one", b"LS+ three crew 1"]
        client.receive(b"PUB up 0\r\n\r\n")
        assert link.connection.take() == b"LMSG up 0\r\n\r\n"


async def test_our_own_interest_coming_back_is_a_loop():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        said = link.hub_says(b"LS+ %b\r\n" % link.session.loop_subject)
        assert said.startswith(b'-ERR \'Loop detected for leafnode account="$G".')
        assert link.connection.close_reason is CloseReason.LEAFNODE_LOOP


async def test_all_links_of_a_gateway_notice_a_loop_through_each_other():
    async with running_gateway() as gateway:
        one, other = Link(gateway), Link(gateway)
        one.come_up()
        other.come_up()
        other.hub_says(b"LS+ %b\r\n" % one.session.loop_subject)
        assert other.connection.close_reason is CloseReason.LEAFNODE_LOOP


async def test_end_of_the_link_takes_the_interest_of_the_hub_along():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        link = Link(gateway)
        link.come_up(jetstream=True)
        link.hub_says(b"LS+ service\r\nLS+ service crew 1\r\n")
        link.connection.close(CloseReason.READ_ERROR)
        client.receive(b"SUB inbox 1\r\nPUB service inbox 0\r\n\r\n")
        assert client.take().startswith(b"HMSG inbox 1 39 39\r\nNATS/1.0 503\r\n")
        assert link.connection.take() == b""
        # The next link begins from nothing.
        again = Link(gateway, link.uplink)
        assert again.come_up() == [b"LS+ inbox"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": 0},
        {"client_id": 7, "proto": 1, "info_on_connect": False},
    ],
)
async def test_port_that_is_none_for_leafnodes_is_told_apart(wrong: dict[str, object]):
    async with running_gateway() as gateway:
        link = Link(gateway)
        assert link.hub_says(info(FIRST_INFO | wrong)) == b""
        assert link.connection.close_reason is CloseReason.INCORRECT_PORT
        assert "7422" in link.connection.close_detail


async def test_hub_without_tls_is_refused_before_the_password_is_sent():
    async with running_gateway() as gateway:
        link = Link(gateway, make_uplink(gateway, ServerUrl("tls", "hub.example", 7422, "leaf", "secret")))
        assert link.hub_says(info(FIRST_INFO)) == b""
        assert "TLS" in link.connection.close_detail


@pytest.mark.parametrize("said", [b"", b"INF", info(FIRST_INFO)])
async def test_hub_that_does_not_get_ready_is_given_up(said: bytes, autojump_clock: MockClock):
    async with running_gateway() as gateway:
        link = Link(gateway)
        if said:
            link.hub_says(said)
        await trio.sleep(link.uplink.config.handshake_timeout_seconds + 0.1)
        assert link.connection.take() == b"-ERR 'Stale Leaf Node Connection - Closing'\r\n"
        assert link.connection.close_reason is CloseReason.AUTHENTICATION_TIMEOUT


async def test_link_pings_soon_and_then_regularly(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        await trio.sleep(1.1)
        for _ in range(5):
            assert link.connection.take() == b"PING\r\n"
            assert link.hub_says(b"PING\r\nPONG\r\n") == b"PONG\r\n"
            await trio.sleep(10)


async def test_hub_that_answers_no_ping_is_left(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        await trio.sleep(22)
        assert link.connection.take() == b"PING\r\nPING\r\n-ERR 'Stale Connection'\r\n"
        assert link.connection.close_reason is CloseReason.STALE_CONNECTION


async def test_an_answer_that_waits_behind_much_else_is_waited_for_but_not_for_ever(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        await trio.sleep(1.1)
        for _ in range(7):
            link.hub_says(b"LS+ busy\r\n")
            await trio.sleep(10)
        assert link.connection.close_reason is None
        for _ in range(2):
            link.hub_says(b"LS+ busy\r\n")
            await trio.sleep(10)
        assert link.connection.close_reason is CloseReason.STALE_CONNECTION


async def test_error_of_the_hub_is_remembered_and_the_link_kept():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        link.hub_says(b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n")
        assert 'Permissions Violation for Publish to "x"' in link.uplink.history.last_error
        assert link.connection.close_reason is None


async def test_garbage_from_the_hub_ends_the_link():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        link.hub_says(b"HTTP/1.1 400 Bad Request\r\n")
        assert link.connection.close_reason is CloseReason.PARSE_ERROR


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        (b"$JS.API.x", False),
        (b"$JS.API.>", False),
        (b"$JS.API.STREAM.*", False),
        (b"$KV.b.key", False),
        (b"$KV.b", False),
        (b"$KV.b.>", False),
        (b"$OBJ.x", False),
        (b"$JS.hub.API.x", False),
        (b"$JS.other.API.x", True),
        (b"$JS.>", True),
        (b"$JS.API", True),
        (b"$JS.ACK.s.c.1", True),
        (b"$KVx.b", True),
        (b"*.b.key", True),
        (b">", True),
        (b"x" * LONGEST_NAMES, True),
        (b"x" * (LONGEST_NAMES + 1), False),
    ],
)
@pytest.mark.parametrize("queue", [b"", b"q"])
async def test_interest_that_every_hub_refuses_is_not_told(subject: bytes, queue: bytes, told: bool):
    async with running_gateway(Config(limits=Limits(max_control_line_bytes=70_000))) as gateway:
        client = local_client(gateway)
        link = Link(gateway)
        link.come_up(domain="hub")
        client.receive(
            b"SUB %b %b 1\r\n" % (subject[: len(subject) - len(queue)] if len(subject) > 99 else subject, queue)
        )
        assert bool(link.connection.take()) == told


async def test_refused_interest_is_not_told_again_until_the_hub_has_other_terms(caplog: pytest.LogCaptureFixture):
    async with running_gateway() as gateway:
        client = local_client(gateway)
        client.receive(b'SUB odd.\x1b\xff"\\one 1\r\nSUB odd.two q 2\r\nSUB fine 3\r\n')
        link = Link(gateway)
        assert len(link.come_up()) == 3
        refusal = b"-ERR 'Permissions Violation for Subscription to \"%b\"'\r\n"
        link.hub_says(refusal % b'odd.\\x1b\\xff\\"\\\\one')
        link.hub_says(refusal % b"odd.two")
        link.connection.close(CloseReason.CLIENT_CLOSED)
        for _ in range(2):
            again = Link(gateway, link.uplink)
            assert again.come_up() == [b"LS+ fine"]
            client.receive(b"SUB odd.two 5\r\n")
            assert again.connection.take() == b""
            client.receive(b"UNSUB 5\r\n")
            again.connection.close(CloseReason.CLIENT_CLOSED)
        assert caplog.text.count("interest-refused") == 2
        other = Link(gateway, link.uplink)
        assert len(other.come_up(**{"import": {"deny": ["x"]}})) == 3


def slow_link(gateway: Gateway) -> Link:
    """A link whose hub takes nothing for now."""
    gateway.runtime.turns.clock = lambda: 0.0  # Only room ends a turn.
    link = Link(gateway)
    assert link.hub_says(info(FIRST_INFO)).startswith(b"CONNECT {")
    link.connection.sink.room = 0
    link.hub_says(info(SECOND_INFO))
    return link


async def drained(link: Link) -> bytes:
    """All that the hub gets once it reads."""
    link.connection.sink.room = 1 << 40
    received = b""
    while True:
        link.connection.outbox.resume()
        await trio.testing.wait_all_tasks_blocked()
        said = link.connection.take()
        if not said:
            return received
        received += said


LONG = b"x" * 4000


async def test_interest_waits_for_room_and_never_closes_the_link():
    async with running_gateway(Config(limits=Limits(max_pending_bytes=1 << 20))) as gateway:
        client = local_client(gateway)
        wanted = [b"%b.%d" % (LONG, number) for number in range(1000)]
        for number, subject in enumerate(wanted):
            client.receive(b"SUB %b %d\r\n" % (subject, number))
        link = slow_link(gateway)
        assert link.connection.close_reason is None
        assert link.connection.outbox.pending() < 1 << 19
        # What changes meanwhile is told as it is in the end.
        client.receive(
            b"UNSUB 998\r\nSUB late 2000\r\nSUB work crew 2001\r\nSUB work crew 2002\r\nSUB gone 3000\r\nUNSUB 3000\r\n"
        )
        lines = (await drained(link)).split(b"\r\n")
        assert sorted(lines[1:-1]) == sorted(
            [b"LS+ " + one for one in wanted if one != wanted[998]] + [b"LS+ late", b"LS+ work crew 2"]
        )
        assert not link.session.backlog


async def test_message_does_not_overtake_the_interest_that_its_reply_needs():
    async with running_gateway(Config(limits=Limits(max_pending_bytes=1 << 20))) as gateway:
        flooder, client = local_client(gateway), local_client(gateway)
        for number in range(1000):
            flooder.receive(b"SUB %b.%d %d\r\n" % (LONG, number, number))
        link = slow_link(gateway)
        link.hub_says(b"LS+ ask\r\n")
        client.receive(b"SUB _INBOX.one 1\r\nSUB _INBOX.two.* q 2\r\n")
        client.receive(b"PUB ask _INBOX.one 1\r\na\r\nPUB ask _INBOX.two.7 1\r\nb\r\n")
        said = await drained(link)
        order = [
            b"LS+ _INBOX.one\r\n",
            b"LMSG ask _INBOX.one 1",
            b"LS+ _INBOX.two.* q 1\r\n",
            b"LMSG ask _INBOX.two.7 1",
        ]
        places = [said.index(line) for line in order]
        assert places == sorted(places)
        assert places[3] < said.index(b"x.999\r\n")
        assert said.count(b"LS+ _INBOX.one\r\n") == 1


async def test_what_the_hub_would_not_take_is_counted_and_told_once_a_minute_by_its_cause(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
):
    async with running_gateway(Config(limits=Limits(max_control_line_bytes=70_000))) as gateway:
        client = local_client(gateway)
        link = Link(gateway)
        link.come_up(export={"deny": ["no"]})
        link.hub_says(b"LS+ >\r\n")
        large = b"PUB up 1001\r\n%b\r\n" % (b"x" * 1001)
        client.receive(large + large)
        client.receive(b"PUB no 0\r\n\r\nPUB %b 0\r\n\r\n" % (b"l" * 66_000))
        client.receive(b"PUB up %b 0\r\n\r\n" % (b"r" * 66_000))
        assert link.connection.take() == b""
        assert caplog.text.count("event=dropped") == 1
        await trio.sleep(61)
        assert caplog.text.count("event=dropped") == 4
        for cause in (
            'count=1 total=5 reason="the payload is over the other end\'s 1000 bytes"',
            "does not permit the subject",
            "count=2 total=5 reason='subject and reply are longer than a line",
        ):
            assert cause in caplog.text
        await trio.sleep(600)
        assert caplog.text.count("event=dropped") == 4
        assert link.uplink.dropped.total == 5


async def test_interest_of_everybody_is_told_a_turn_at_a_time_when_a_link_comes_up():
    async with running_gateway(Config()) as gateway:
        client = local_client(gateway)
        count = 20 * SLICE
        for number in range(count):
            client.receive(b"SUB a.%d %d\r\nSUB *.%d crew q%d\r\n" % ((number,) * 4))
        ticks = itertools.count()
        gateway.runtime.turns.clock = lambda: next(ticks) * TURN_SECONDS  # Each look at it ends a turn.
        link = Link(gateway)
        first = link.come_up()
        assert 0 < len(first) <= 2 * SLICE
        assert link.session.backlog
        link.hub_says(b"LS+ ask\r\n")
        gateway.runtime.turns.clock = lambda: 0.0
        client.receive(b"SUB _INBOX.one 1000000\r\nUNSUB 7\r\nSUB late 1000001\r\n")
        client.receive(b"PUB ask *.%d 1\r\na\r\n" % (count - 1))
        early = link.connection.take()
        assert early.index(b"LS+ *.%d crew 1\r\n" % (count - 1)) < early.index(b"LMSG ask ")
        await trio.testing.wait_all_tasks_blocked()
        lines = [*first, *early.split(b"\r\n"), *link.connection.take().split(b"\r\n")]
        told = {line.split(b" ")[1] for line in lines if line.startswith(b"LS+")}
        wanted = {b"a.%d" % number for number in range(count)} | {b"*.%d" % number for number in range(count)}
        assert told | {b"a.7"} == wanted | {b"_INBOX.one", b"late"}
        assert b"LS+ a.7" not in lines or b"LS- a.7" in lines
        assert not link.session.backlog


class EveryLook:
    """A clock by which every second look is the end of a turn."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += TURN_SECONDS
        return self.now


async def test_interest_that_a_hub_has_told_before_the_link_is_up_is_taken_in_turns():
    async with running_gateway() as gateway:
        gateway.runtime.turns.clock = EveryLook()
        tree = gateway.account.router.tree
        link = Link(gateway)
        before = tree.count
        link.hub_says(info(FIRST_INFO))
        link.hub_says(b"".join(b"LS+ hub.%d\r\n" % number for number in range(500)))
        link.hub_says(info(SECOND_INFO))
        link.hub_says(b"PONG\r\n")
        taken = []
        while gateway.runtime.turns:
            was = tree.count
            gateway.runtime.turns.take()
            taken.append(tree.count - was)
        assert tree.count - before >= 500
        assert max(taken) <= 2 * TAKEN_IN_A_ROW


async def test_what_the_hub_takes_back_meanwhile_is_not_taken():
    async with running_gateway() as gateway:
        gateway.runtime.turns.clock = EveryLook()
        tree = gateway.account.router.tree
        link = Link(gateway)
        link.hub_says(info(FIRST_INFO))
        link.hub_says(b"".join(b"LS+ hub.%d\r\n" % number for number in range(200)))
        link.hub_says(info(SECOND_INFO))
        link.hub_says(b"PONG\r\n")
        link.hub_says(b"".join(b"LS- hub.%d\r\n" % number for number in range(200)))
        while gateway.runtime.turns:
            gateway.runtime.turns.take()
        assert tree.match(b"hub.7") == tree.match(b"hub.199") == []
        link.connection.close(CloseReason.CLIENT_CLOSED)
        while gateway.runtime.turns:
            gateway.runtime.turns.take()
