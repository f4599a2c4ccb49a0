"""Memory in sum: whatever peers do, what is kept for them stays under one limit, and who has most is refused first."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assembly import Gateway
from gateway.nats.client import NatsClientSession
from gateway.runtime.budget import SHARE, Budget, Holding, default_limit, machine_bytes, subscription_bytes
from gateway.settings.limits import Limits
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.memory_connection import MemoryConnection, running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer

KIB = 1 << 10
MIB = 1 << 20
TOO_MANY = b"-ERR 'maximum subscriptions exceeded'\r\n"


def config(limit: int = 8 * MIB, **limits: int) -> Config:
    return Config(limits=Limits(max_memory_bytes=limit, **limits))


def nats(gateway: Gateway) -> MemoryConnection:
    connection = MemoryConnection(gateway)
    connection.start(NatsClientSession(connection, gateway.admission))  # type: ignore[arg-type]
    connection.receive(b'CONNECT {"verbose":false}\r\n')
    connection.take()
    return connection


def subscribe(connection: MemoryConnection, subject: bytes, count: int) -> int:
    """Subscribe with so many sids; returns how many were taken."""
    connection.receive(b"".join(b"SUB %b%d %d\r\n" % (subject, number, number) for number in range(count)))
    return count - connection.take().count(TOO_MANY)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 100_000), st.booleans()), max_size=300))
def test_what_was_granted_is_never_more_than_the_limit_and_nobody_has_more_than_a_fifth(
    wishes: list[tuple[int, int, bool]],
):
    budget = Budget(1_000_000)
    peers = [Holding(budget) for _ in range(10)]
    for peer, size, leaves in wishes:
        if leaves:
            peers[peer].release()
        else:
            before, free = peers[peer].bytes, budget.limit - budget.used() - size
            assert peers[peer].ask("queues", size) is ((before + size) * SHARE <= free)
        assert sum(one.bytes for one in peers) == budget.used() == sum(budget.by_kind().values())
        assert budget.used() < budget.limit
        assert all(one.bytes <= budget.limit // (SHARE + 1) for one in peers)


def test_kinds_that_are_counted_elsewhere_count_too():
    budget = Budget(1000)
    budget.elsewhere["retained"] = lambda: 900
    assert budget.grants(0, 20)
    assert not budget.grants(0, 30)
    assert budget.by_kind() == {"retained": 900}
    assert budget.refused == 1


def test_default_is_a_part_of_the_memory_of_the_machine():
    assert 0 < default_limit() < machine_bytes() // 2


async def test_lone_subscription_is_small():
    async with running_gateway() as gateway:
        connection = nats(gateway)
        connection.receive(b"SUB warm.up.0 w\r\n")
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            connection.receive(b"".join(b"SUB a.b.%d %d\r\n" % (number, number) for number in range(1000)))
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (after - before) / 1000 <= 700
        assert subscription_bytes(b"a.b.c", b"", b"1") >= 700


@pytest.mark.parametrize("subject", [b"a.", b"x." * 100 + b"*.y", b"l" * 3000])
async def test_estimates_of_subscriptions_are_not_too_low(subject: bytes):
    async with running_gateway(config(1 << 40)) as gateway:
        connection = nats(gateway)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            # First tokens of their own: filters share what they have in common.
            connection.receive(
                b"".join(b"SUB %d.%b %d\r\n" % (number, subject + b"z", number) for number in range(300))
            )
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before <= gateway.runtime.budget.kinds["subscriptions"]


async def test_subscriptions_beyond_a_share_are_refused_and_come_back_with_what_is_given_up():
    async with running_gateway(config()) as gateway:
        greedy, modest = nats(gateway), nats(gateway)
        taken = subscribe(greedy, b"a.*.b" * 40, 3000)
        assert 50 < taken < 500
        assert gateway.runtime.budget.used() <= 8 * MIB // 4
        assert subscribe(modest, b"a.b.c", 100) == 100
        greedy.receive(b"".join(b"UNSUB %d\r\n" % number for number in range(20)))
        greedy.receive(b"SUB %b0 new\r\n" % (b"a.*.b" * 40))
        assert greedy.take() == b""
        greedy.close(CloseReason.CLIENT_CLOSED)
        modest.close(CloseReason.CLIENT_CLOSED)
        assert gateway.runtime.budget.kinds["subscriptions"] == 0


async def test_subscription_bytes_of_a_client_can_have_a_limit_of_their_own():
    async with running_gateway(config(1 << 40, max_subscription_bytes=10_000)) as gateway:
        assert subscribe(nats(gateway), b"a.b.c", 100) == 13
        session = Peer(gateway, b"one")
        for number in range(20):
            session.subscribe(b"t/%d" % number)
        assert len(session.kept.subscriptions) == 14


@pytest.mark.parametrize(("version", "code"), [(5, ReasonCode.QUOTA_EXCEEDED), (4, 0x80), (3, 0x80)])
async def test_topic_filters_beyond_a_share_are_refused(version: int, code: int):
    async with running_gateway(config()) as gateway:
        session = Peer(gateway, b"greedy", version)
        codes: list[int] = []
        for number in range(40):
            wanted = packets.Subscription(b"%d/%b" % (number, b"x" * 60_000), 0)
            session.receive(encoder.encode_subscribe(version, 9, [wanted]))
            (suback,) = session.hear()
            assert isinstance(suback, packets.Suback)
            codes += suback.reason_codes
        granted = codes.count(0)
        assert 3 < granted < 10
        assert codes[granted:] == [code] * (40 - granted)
        other = Peer(gateway, b"modest", version)
        assert len(other.subscribe(b"a/b")) == 1
        assert b"a/b" in other.kept.subscriptions
        session.receive(encoder.encode_unsubscribe(version, 3, [b"0/" + b"x" * 60_000]))
        session.hear()
        session.subscribe(b"0/" + b"x" * 60_000)
        assert len(session.kept.subscriptions) == granted


def large_will(size: int) -> packets.Will:
    """Most of it are properties: a payload is shorter than 64 KiB."""
    line = (b"k", bytes(60_000).replace(b"\0", b"v"))
    properties = Properties(user_properties=(line,) * (size // 60_000))
    return packets.Will(b"w", b"", properties=properties)


@pytest.mark.parametrize(("size", "code"), [(200_000, ReasonCode.PACKET_TOO_LARGE), (60_000, ReasonCode.SUCCESS)])
async def test_will_can_have_a_limit_of_its_own(size: int, code: int):
    async with running_gateway(Config(mqtt=Mqtt(max_will_bytes=100_000))) as gateway:
        one = Peer(gateway, b"one", will=large_will(size))
        assert isinstance(one.greeting, packets.Connack)
        assert one.greeting.reason_code == code


async def test_wills_and_sessions_beyond_the_limit_are_refused():
    async with running_gateway(config()) as gateway:
        codes = []
        for number in range(100):
            will = large_will(900 * KIB)
            one = Peer(gateway, b"%d" % number, will=will, session_expiry_interval=number & 1)
            assert isinstance(one.greeting, packets.Connack)
            codes.append(one.greeting.reason_code)
            assert gateway.runtime.budget.used() < 8 * MIB
        assert 1 < codes.count(0) < 9
        assert set(codes) == {0, ReasonCode.QUOTA_EXCEEDED}
        for number in range(200):
            Peer(gateway, b"%d" % number + bytes(60_000).replace(b"\0", b"i"), version=4)
            assert gateway.runtime.budget.used() < 8 * MIB


async def test_queues_of_clients_that_are_away_stay_within_their_shares():
    async with running_gateway(config()) as gateway:
        for number in range(12):
            away = Peer(gateway, b"away-%d" % number)
            away.subscribe(b"t/#", 1)
            away.disconnect()
        sensor = Peer(gateway, b"sensor")
        for packet_id in range(1, 200):
            sensor.publish(b"t/%d" % packet_id, bytes(60 * KIB), 1, packet_id)
            assert gateway.runtime.budget.used() < 8 * MIB
        dropped, _ = await gateway.mqtt_sessions.losses()
        assert dropped > 12 * 50
        back = Peer(gateway, b"away-3")
        assert len(back.packets) > 2
        for number in range(12):
            Peer(gateway, b"away-%d" % number, clean_start=True, session_expiry_interval=0).disconnect()
        assert gateway.runtime.budget.kinds["queues"] == 0


async def test_messages_that_are_not_acknowledged_count_as_well_as_those_that_wait():
    async with running_gateway(config()) as gateway:
        lazy = [Peer(gateway, b"lazy-%d" % number) for number in range(12)]
        for one in lazy:
            one.subscribe(b"t/#", 1)
        sensor = Peer(gateway, b"sensor")
        for packet_id in range(1, 100):
            sensor.publish(b"t/%d" % packet_id, bytes(60 * KIB), 1, packet_id)
            in_flight = sum(one.kept.outgoing.flight for one in lazy)
            assert in_flight <= gateway.runtime.budget.kinds["queues"] + 12 * 4096
            assert gateway.runtime.budget.used() < 8 * MIB
        for one in lazy:
            for packet_id in list(one.kept.outgoing.sent):
                one.puback(packet_id)
            assert one.kept.outgoing.flight == 0
            one.close(CloseReason.CLIENT_CLOSED)


async def test_slow_readers_are_closed_at_their_share():
    async with running_gateway(config(max_pending_bytes=64 * MIB)) as gateway:
        budget, switch = gateway.runtime.budget, gateway.runtime.switch
        slow = [nats(gateway) for _ in range(25)]
        for one in slow:
            one.receive(b"SUB t 1\r\n")
            one.sink.room = 0
        quick = nats(gateway)
        quick.receive(b"SUB t 1\r\n")
        sensor = nats(gateway)
        for _ in range(400):
            sensor.receive(b"PUB t 10000\r\n%b\r\n" % bytes(10_000))
            while gateway.runtime.turns:  # It goes to so many in turns, where that takes long.
                gateway.runtime.turns.take()
            assert switch.pending == sum(one.outbox.pending() for one in slow if not one.outbox.closed)
            assert budget.used() < 8 * MIB
            assert len(quick.take()) > 10_000
        assert all(one.outbox.closed and one.sink.overruns for one in slow)
        assert switch.pending == 0


async def test_all_kinds_at_once_stay_under_the_limit_and_small_wishes_are_granted():
    async with running_gateway(
        Config(limits=Limits(max_memory_bytes=8 * MIB), mqtt=Mqtt(max_retained_bytes=MIB, max_retained_messages=1000))
    ) as gateway:
        budget = gateway.runtime.budget
        sensor = Peer(gateway, b"sensor")
        readers = []
        for round_number in range(30):
            subscribe(nats(gateway), b"a.*.b" * 40, 100)
            reader = nats(gateway)
            reader.receive(b"SUB t.> 1\r\n")
            reader.sink.room = 0
            readers.append(reader)
            away = Peer(gateway, b"away-%d" % round_number, will=large_will(100 * KIB))
            if away.close_reason is None:
                away.subscribe(b"t/#", 1)
                away.close(CloseReason.READ_ERROR)
            for number in range(20):
                topic = b"%d/%d/%b" % (round_number, number, b"x" * 60_000)
                wanted = packets.Subscription(topic, 0)
                sensor.receive(encoder.encode_subscribe(5, 9, [wanted]))
                sensor.publish(b"t/%d" % number, bytes(50_000), 1, 1, retain=True)
            sensor.hear()
            assert budget.used() < 8 * MIB
            small = nats(gateway)
            assert subscribe(small, b"small", 5) == 5
            small.close(CloseReason.CLIENT_CLOSED)
        assert budget.refused > 100
        assert set(budget.by_kind()) >= {"subscriptions", "outboxes", "queues", "wills", "sessions", "retained"}
