"""What a session does in time and at its ends; its answers byte by byte are in the transcripts of tests/integration."""

import sys
from types import FrameType

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.nats import traced_way
from gateway.nats.client import NatsClientSession
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.schema import Config
from protocols.close_reason import CloseReason
from tests.gateway.memory_connection import MemoryConnection, running_gateway

QUIET = b'CONNECT {"verbose":false,"pedantic":false}\r\n'


def connect(gateway: Gateway, first_words: bytes = QUIET) -> MemoryConnection:
    """A client that has said its first words and taken its INFO."""
    connection = MemoryConnection(gateway)
    connection.start(NatsClientSession(connection, connection.gateway.admission))  # type: ignore[arg-type]
    connection.receive(first_words)
    info = connection.take()
    assert info.startswith(b"INFO {")
    return connection


def session_of(connection: MemoryConnection) -> NatsClientSession:
    assert isinstance(connection.session, NatsClientSession)
    return connection.session


async def test_info_tells_who_and_where_we_are_and_who_the_client_is():
    async with running_gateway(Config(name="edge-1", limits=Limits(max_payload_bytes=5))) as gateway:
        connection = MemoryConnection(gateway)
        connection.start(NatsClientSession(connection, connection.gateway.admission))  # type: ignore[arg-type]
        info = msgspec.json.decode(connection.take().removeprefix(b"INFO "))
        expected = {
            "server_name": "edge-1",
            "proto": 1,
            "headers": True,
            "max_payload": 5,
            "host": "127.0.0.1",
            "port": 4222,
            "client_id": connection.cid,
            "client_ip": "127.0.0.1",
            "api_lvl": 5,
        }
        assert {name: info[name] for name in expected} == expected
        assert info["server_id"] == gateway.runtime.names.server_id
        assert "connect_info" not in info


@pytest.mark.parametrize("said", [b"", b"CONN", b"PUB foo 5\r\nhal"])
async def test_silent_peer_is_kept_as_long_as_it_answers_pings(said: bytes, autojump_clock: MockClock):
    timeouts = Timeouts(connect_seconds=2.0, ping_interval_seconds=10.0, ping_max=2)
    async with running_gateway(Config(timeouts=timeouts)) as gateway:
        connection = MemoryConnection(gateway)
        connection.start(NatsClientSession(connection, connection.gateway.admission))  # type: ignore[arg-type]
        connection.take()
        if said:
            connection.receive(said)
        await trio.sleep(9.9)
        assert connection.take() == b""
        await trio.sleep(10.2)
        assert connection.take() == b"PING\r\nPING\r\n"
        assert connection.close_reason is None
        await trio.sleep(10)
        assert connection.take() == b"-ERR 'Stale Connection'\r\n"
        assert connection.close_reason is CloseReason.STALE_CONNECTION


class Closed:
    """An admission where everybody must say who he is."""

    def anonymous(self, kind: str, listener: object) -> None:
        return None


async def test_peer_that_must_say_who_it_is_and_does_not_is_sent_away(autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(connect_seconds=2.0))) as gateway:
        connection = MemoryConnection(gateway)
        connection.start(NatsClientSession(connection, Closed()))  # type: ignore[arg-type]
        connection.take()
        await trio.sleep(2.1)
        assert connection.take() == b"-ERR 'Authentication Timeout'\r\n"
        assert connection.close_reason is CloseReason.AUTHENTICATION_TIMEOUT


TRACE = b"Nats-Trace-Dest: tr\r\nNats-Trace-Only: "


@pytest.mark.parametrize(
    ("lines", "delivered"),
    [
        (TRACE + b"true", False),
        (TRACE + b"1", False),
        (TRACE + b"On", False),
        (TRACE + b"True  ", False),
        (b"Nats-Trace-Only:true\r\nNats-Trace-Dest:tr", False),
        (TRACE + b"yes", True),
        (TRACE + b"false", True),
        (b"Nats-Trace-Only: true", True),
        (b"Nats-Trace-Dest: \r\nNats-Trace-Only: true", True),
        (b"Nats-Trace-Dest: trace disabled\r\nNats-Trace-Only: true", True),
        (b"Nats-Trace-Dest: tr\r\nnats-trace-only: true", True),
        (b"nats-trace-dest: tr\r\nNats-Trace-Only: true", True),
        (b"A: Nats-Trace-Only: true", True),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_message_that_only_traces_its_way_reaches_no_subscriber(lines: bytes, delivered: bool, step: int):
    async with running_gateway() as gateway:
        listener = connect(gateway, b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nSUB t 1\r\n')
        publisher = connect(gateway, b'CONNECT {"verbose":true,"pedantic":false,"headers":true}\r\n')
        publisher.take()
        header = b"NATS/1.0\r\n%b\r\n\r\n" % lines
        plain = b"NATS/1.0\r\nA: b\r\n\r\n"
        data = b"".join(
            b"HPUB t %d %d\r\n%b%b\r\n" % (len(block), len(block) + 1, block, payload)
            for block, payload in ((header, b"1"), (plain, b"2"), (header, b"3"), (header, b"4"))
        )
        for start in range(0, len(data), step):
            publisher.receive(data[start : start + step])
        assert publisher.take() == b"+OK\r\n" * 4
        assert publisher.session.in_messages == 4  # type: ignore[attr-defined]
        assert listener.take().count(b"HMSG") == (4 if delivered else 1)


async def test_burst_of_messages_keeps_those_that_do_not_only_trace():
    async with running_gateway() as gateway:
        listener = connect(gateway, b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nSUB t 1\r\n')
        publisher = connect(gateway, b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n')
        traced = b"NATS/1.0\r\n%btrue\r\n\r\n" % TRACE
        other = b"NATS/1.0\r\n%bfals\r\n\r\n" % TRACE
        line = b"HPUB t %d %d\r\n" % (len(traced), len(traced))
        publisher.receive(b"".join(line + one + b"\r\n" for one in (traced, other, traced, other, other)))
        assert listener.take().count(b"HMSG") == 3


@pytest.mark.parametrize("kind", ["SUB t g {0}", "SUB t g{0} {0}", "SUB t {0}", "SUB {1} g{0} {0}"])
async def test_way_of_a_message_is_told_in_steps_that_do_not_grow_with_its_receivers(kind: str):
    async def lines(count: int) -> int:
        async with running_gateway(Config(limits=Limits(max_subscriptions=0))) as gateway:
            listener = connect(gateway)
            filters = [".".join("t*"[number >> bit & 1] for bit in range(14)) for number in range(count)]
            said = [kind.format(number, filters[number]) for number in range(count)]
            listener.receive("".join(f"{one}\r\n" for one in said).encode())
            await trio.testing.wait_all_tasks_blocked()
            publisher = connect(gateway, b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nSUB tr 1\r\n')
            header = b"NATS/1.0\r\n%btrue\r\n\r\n" % TRACE
            subject = b"t" if "{1}" not in kind else b".".join([b"t"] * 14)
            done = 0

            def count_line(frame: FrameType, event: str, argument: object) -> object:
                nonlocal done
                done += event == "line" and frame.f_code.co_filename == traced_way.__file__
                return count_line

            sys.settrace(count_line)
            try:
                publisher.receive(b"HPUB %b %d %d\r\n%b\r\n" % (subject, len(header), len(header), header))
            finally:
                sys.settrace(None)
            await trio.testing.wait_all_tasks_blocked()
            assert b"events" in publisher.take()
            return done

    few = await lines(1500)
    assert few > 0
    assert await lines(6000) < 1.1 * few


async def test_publishing_on_system_subjects_is_no_privilege_without_a_system_account():
    async with running_gateway() as gateway:
        client = connect(gateway, b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB $SYS.> 1\r\n')
        client.receive(b"PUB $SYS.mine 0\r\n\r\n")
        assert client.take() == b"MSG $SYS.mine 1 0\r\n\r\n"


async def test_any_operation_shows_that_the_peer_is_a_client(autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(connect_seconds=2.0))) as gateway:
        connection = connect(gateway, b"PING\r\n")
        await trio.sleep(2.5)
        assert connection.close_reason is None


async def test_first_ping_comes_soon_and_measures_the_round_trip(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        connection = connect(gateway)
        await trio.sleep(1.9)
        assert connection.take() == b""
        await trio.sleep(0.6)
        assert connection.take() == b"PING\r\n"
        assert session_of(connection).describe().rtt is None
        connection.receive(b"PONG\r\n")
        rtt = session_of(connection).describe().rtt
        assert rtt is not None
        assert 0 < rtt <= 0.5


async def test_client_that_is_heard_of_is_not_pinged(autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(ping_interval_seconds=10))) as gateway:
        connection = connect(gateway)
        await trio.sleep(3)
        connection.receive(b"PONG\r\n")
        assert connection.take() == b"PING\r\n"
        for _ in range(20):
            await trio.sleep(5)
            connection.receive(b"PUB foo 0\r\n\r\n")
        assert connection.take() == b""
        await trio.sleep(21)
        assert connection.take().startswith(b"PING\r\n")


async def test_client_that_answers_no_ping_is_stale(autojump_clock: MockClock):
    timeouts = Timeouts(ping_interval_seconds=10, ping_max=3)
    async with running_gateway(Config(timeouts=timeouts)) as gateway:
        connection = connect(gateway)
        session_of(connection)
        connection.receive(b"SUB foo 1\r\n")
        await trio.sleep(2.5 + 29)
        assert connection.take() == b"PING\r\n" * 3
        await trio.sleep(2)
        assert connection.take() == b"-ERR 'Stale Connection'\r\n"
        assert connection.close_reason is CloseReason.STALE_CONNECTION
        assert gateway.registry.stale_connections == 1
        assert gateway.account.router.local_interest() == []
        await trio.sleep(100)
        assert connection.take() == b""


async def test_pong_keeps_a_silent_client(autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(ping_interval_seconds=10, ping_max=1))) as gateway:
        connection = connect(gateway)
        for _ in range(20):
            await trio.sleep(10)
            if b"PING" in connection.take():
                connection.receive(b"PONG\r\n")
        assert connection.close_reason is None


@pytest.mark.parametrize(("protocol", "told"), [(0, False), (1, True)])
async def test_lame_duck_mode_is_told_to_clients_that_understand_it(protocol: int, told: bool):
    async with running_gateway() as gateway:
        connection = connect(gateway, b'CONNECT {"verbose":false,"protocol":%d}\r\n' % protocol)
        session_of(connection).announce_lame_duck()
        said = connection.take()
        assert (b'"ldm":true' in said) is told
        assert said.startswith(b"INFO {") is told


async def test_end_of_a_connection_gives_its_subscriptions_back():
    async with running_gateway() as gateway:
        publisher, leaver, stayer = (connect(gateway) for _ in range(3))
        for connection in (leaver, stayer):
            connection.receive(b"SUB foo 1\r\nSUB foo.> q 2\r\n")
        assert len(gateway.account.router.local_interest()) == 2
        leaver.close(CloseReason.CLIENT_CLOSED)
        publisher.receive(b"PUB foo 2\r\nhi\r\nPUB foo.bar 2\r\nho\r\n")
        assert leaver.take() == b""
        assert stayer.take() == b"MSG foo 1 2\r\nhi\r\nMSG foo.bar 2 2\r\nho\r\n"
        stayer.close(CloseReason.CLIENT_CLOSED)
        assert gateway.account.router.local_interest() == []


async def test_nothing_is_done_behind_a_violation():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        connection.receive(b"SUB foo 1\r\nBOGUS\r\nSUB bar 2\r\nPING\r\n")
        connection.receive(b"PING\r\n")
        assert connection.take() == b"-ERR 'Unknown Protocol Operation'\r\n"
        assert connection.close_reason is CloseReason.PARSE_ERROR
        assert gateway.account.router.local_interest() == []


async def test_second_connect_changes_verbosity_in_the_middle_of_a_batch():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        message = b"PUB foo 0\r\n\r\n"
        connection.receive(
            message * 2 + b'CONNECT {"verbose":true}\r\n' + message * 2 + b'CONNECT {"verbose":false}\r\n' + message
        )
        assert connection.take() == b"+OK\r\n" * 3


@pytest.mark.parametrize("mode", [b'"verbose":true,"pedantic":false', b'"verbose":false,"pedantic":true'])
async def test_messages_of_verbose_and_pedantic_clients_are_routed_and_counted(mode: bytes):
    async with running_gateway() as gateway:
        connection = connect(gateway, b"CONNECT {%b}\r\n" % mode)
        connection.receive(b"SUB foo 1\r\n" + b"PUB foo 2\r\nhi\r\n" * 3 + b"PUB foo r 2\r\nho\r\n")
        received = connection.take().replace(b"+OK\r\n", b"")
        assert received == b"MSG foo 1 2\r\nhi\r\n" * 3 + b"MSG foo 1 r 2\r\nho\r\n"
        assert (session_of(connection).in_messages, session_of(connection).in_bytes) == (4, 8)


async def test_answer_for_no_responders_goes_to_one_subscription_of_the_requester():
    async with running_gateway() as gateway:
        connect(gateway).receive(b"SUB inbox.> 1\r\n")
        requester = connect(
            gateway, b'CONNECT {"verbose":false,"headers":true,"no_responders":true,"pedantic":false}\r\n'
        )
        requester.receive(b"SUB inbox.> q 1\r\nSUB inbox.x 2\r\nSUB inbox.* 3\r\nPUB nobody inbox.x 2\r\nhi\r\n")
        assert requester.take().count(b"HMSG inbox.x") == 1
        requester.receive(b"UNSUB 2\r\nUNSUB 3\r\nPUB nobody inbox.x 2\r\nhi\r\n")
        assert requester.take() == b""


async def test_pings_in_a_row_are_answered_in_one_block():
    async with running_gateway() as gateway:
        connection = connect(gateway)
        connection.receive(b"PING\r\n" * 1000 + b"PONG\r\n" * 1000)
        assert connection.sink.sends == [b"PONG\r\n" * 1000]
        connection.take()
        newer = connect(gateway, b'CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\n')
        newer.receive(b"PING\r\n" * 3)
        first, _, rest = newer.take().partition(b"INFO ")
        assert (first, rest.partition(b"\r\n")[2]) == (b"PONG\r\n", b"PONG\r\n" * 2)
