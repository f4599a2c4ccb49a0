"""Turns: what one connection leads to is done in slices, and other connections are served in between."""

import gc
import itertools
import os
import socket
from collections.abc import Iterator

import pytest
import trio

from gateway.assembly import Gateway
from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.doors.departure import say_goodbye
from gateway.mqtt.client import MqttClient
from gateway.nats.client import NatsClientSession
from gateway.runtime.deadlines import Deadlines
from gateway.runtime.turns import TURN_SECONDS, Turns
from gateway.settings.schema import Config
from gateway.transport.connection import Connection
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.properties import Properties
from tests.gateway.dataplane.places import ClientPort

CONNECT = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
# What is in the receive buffer of a test is read whole.
ROOM = 1 << 20
MOST_ROUNDS = 20_000
# Receivers that make several shares of the router.
MANY = 5000


class Ticking:
    """A clock by which every look takes half a turn: so a turn is over after a few steps, on any machine."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += TURN_SECONDS / 2
        return self.now


class House:
    """A gateway whose reader is driven round by round."""

    def __init__(self) -> None:
        self.gateway = Gateway(Config())
        self.runtime = self.gateway.runtime
        self.runtime.turns.clock = self.runtime.switch.clock = Ticking()
        self.sockets: list[socket.socket] = []

    def arrive(self, protocol: str = "nats") -> tuple[Connection, socket.socket]:
        """A client that has not said anything yet."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        self.sockets.append(near)
        for end in (far, near):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        connection = self.gateway.registry.connection_over(far)
        if protocol == "nats":
            connection.session = NatsClientSession(connection, self.gateway.admission)
        else:
            connection.session = MqttClient(connection, self.gateway.admission, self.gateway.mqtt_sessions)
        connection.begin()
        connection._size = ROOM
        return connection, near

    def connect(self, protocol: str = "nats") -> tuple[Connection, socket.socket]:
        connection, near = self.arrive(protocol)
        if protocol == "nats":
            self.say(near, CONNECT)
        else:
            self.say(near, encoder.encode_connect(packets.Connect(4, b"c%d" % len(self.sockets))))
        self.rounds(4)
        self.hear(near)
        return connection, near

    def say(self, near: socket.socket, data: bytes) -> None:
        assert near.send(data) == len(data)

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.gateway.reader.poll(0.0)

    def rounds_until_done(self) -> int:
        """Rounds until no work waits."""
        for count in range(MOST_ROUNDS):
            self.gateway.reader.poll(0.0)
            if not self.runtime.turns:
                return count
        raise AssertionError("the work does not end")

    def hear(self, near: socket.socket) -> bytes:
        heard = b""
        try:
            while data := near.recv(ROOM):
                heard += data
        except BlockingIOError:
            pass
        return heard


@pytest.fixture
async def house() -> "Iterator[House]":
    house = House()
    yield house
    house.gateway.registry.cut_all()
    house.gateway.reader.close()
    for sock in house.sockets:
        sock.close()


def is_answered(house: House, near: socket.socket) -> bool:
    """Whether a quiet client is answered within two rounds."""
    house.say(near, b"PING\r\n")
    house.rounds(2)
    return b"PONG\r\n" in house.hear(near)


async def test_batch_of_subscriptions_is_taken_in_slices_with_others_in_between(house: House):
    _, quiet = house.connect()
    busy, near = house.connect()
    house.say(near, b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(1000)) + b"PING\r\n")
    house.rounds(1)
    assert 0 < house.gateway.account.router.tree.count < 100
    assert is_answered(house, quiet)
    assert house.rounds_until_done() > 100
    assert house.gateway.account.router.tree.count == 1000
    assert b"PONG\r\n" in house.hear(near)
    assert busy.close_reason is None


async def test_nothing_is_read_and_nothing_overtakes_while_work_is_left(house: House):
    _, subscriber = house.connect()
    house.say(subscriber, b"SUB > 1\r\n")
    house.rounds(2)
    _, near = house.connect()
    house.say(near, b"SUB b 1\r\nPUB a 1\r\n1\r\n" * 50)
    house.rounds(1)
    house.say(near, b"PUB c 1\r\n2\r\n")
    house.rounds(2)
    assert house.runtime.turns
    house.rounds_until_done()
    house.rounds(2)
    heard = house.hear(subscriber)
    assert heard.count(b"MSG a ") == 50
    assert heard.endswith(b"MSG c 1 1\r\n2\r\n")


async def test_message_to_many_is_delivered_and_sent_in_slices(house: House):
    _, quiet = house.connect()
    ports = [ClientPort(house.runtime.switch) for _ in range(MANY)]
    for port in ports:
        house.gateway.account.router.subscribe(NatsSubscription(port, b"news", b"", b"1"))
    _, near = house.connect()
    house.say(near, b"PUB news 1\r\nx\r\nPING\r\n")
    house.rounds(1)
    assert sum(bool(port.sink.sends) for port in ports) < MANY // 10
    assert is_answered(house, quiet)
    assert b"PONG" not in house.hear(near)
    house.rounds_until_done()
    house.rounds(2)
    assert all(port.sink.received() == b"MSG news 1 1\r\nx\r\n" for port in ports)
    assert b"PONG" in house.hear(near)


async def test_publisher_waits_for_its_fan_out_to_be_sent(house: House):
    ports = [ClientPort(house.runtime.switch) for _ in range(1000)]
    for port in ports:
        house.gateway.account.router.subscribe(NatsSubscription(port, b"news", b"", b"1"))
    _, near = house.connect()
    house.say(near, b"PUB news 1\r\nx\r\n")
    house.rounds(1)
    house.say(near, b"PUB news 1\r\ny\r\n")
    house.rounds(3)
    assert max(len(port.sink.received()) for port in ports) == len(b"MSG news 1 1\r\nx\r\n")
    house.rounds_until_done()
    house.rounds(1)
    house.rounds_until_done()
    assert all(port.sink.received().endswith(b"y\r\n") for port in ports)


async def test_subscriptions_of_a_client_that_has_gone_are_taken_back_in_slices(house: House):
    _, quiet = house.connect()
    _, near = house.connect()
    house.say(near, b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(2000)))
    house.rounds(1)
    house.rounds_until_done()
    near.close()
    house.rounds(1)
    assert 1000 < house.gateway.account.router.tree.count < 2000
    assert is_answered(house, quiet)
    assert house.rounds_until_done() > 5
    assert house.gateway.account.router.tree.count == 0


async def test_subscribe_of_many_filters_is_granted_in_slices_and_answered_once(house: House):
    _, quiet = house.connect()
    _, near = house.connect("mqtt")
    filters = [packets.Subscription(b"a/%d" % number, 1) for number in range(1000)]
    house.say(near, encoder.encode_subscribe(4, 7, filters) + encoder.encode_unsubscribe(4, 8, [b"a/1", b"a/2"]))
    house.rounds(2)
    assert 0 < house.gateway.account.router.tree.count < 100
    assert is_answered(house, quiet)
    assert house.hear(near) == b""
    assert house.rounds_until_done() > 100
    assert house.gateway.account.router.tree.count == 998
    answers = encoder.encode_suback(4, 7, [1] * 1000) + encoder.encode_unsuback(4, 8, [0, 0])
    assert house.hear(near) == answers


async def test_work_of_a_connection_that_ends_is_dropped(house: House):
    busy, near = house.connect()
    house.say(near, b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(1000)))
    house.rounds(1)
    near.close()
    house.gateway.registry.cut_all()
    house.rounds_until_done()
    assert house.gateway.account.router.tree.count == 0
    assert busy.close_reason is not None


async def test_all_that_has_arrived_is_acted_on_at_the_end(house: House):
    busy, near = house.connect()
    house.say(near, b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(1000)))
    house.rounds(1)
    house.say(near, b"".join(b"SUB b.%d b%d\r\n" % (number, number) for number in range(1000)))
    steps = sum(1 for _ in busy.drain())
    assert house.gateway.account.router.tree.count == 2000
    assert steps > 100


async def test_what_there_is_no_time_for_at_the_end_is_left(house: House):
    _, ear = house.connect()
    house.say(ear, b"SUB a.* 1\r\n")
    house.rounds(1)
    busy, near = house.connect()
    house.say(near, b"".join(b"PUB a.%d 1\r\nx\r\n" % number for number in range(5000)))
    house.rounds(1)
    await say_goodbye(house.runtime, house.gateway.registry, trio.current_time())
    assert busy.close_reason is CloseReason.SERVER_SHUTDOWN
    assert 0 < house.hear(ear).count(b"MSG a.") < 5000


async def test_deadlines_that_fall_due_together_are_served_in_slices():
    deadlines = Deadlines(Ticking())
    called: list[int] = []
    for number in range(100):
        deadlines.call_at(1.0, lambda _, number=number: called.append(number))  # type: ignore[misc]
    deadlines.call_due(1.0)
    assert 0 < len(called) < 10
    assert deadlines.next_at() == 1.0
    while deadlines.next_at() <= 1.0:
        deadlines.call_due(1.0)
    assert sorted(called) == list(range(100))


def test_turns_go_round_and_a_fault_ends_only_its_own_work(caplog: pytest.LogCaptureFixture):
    turns = Turns()
    signs: list[bool] = []
    turns.signal = signs.append
    done: list[str] = []

    def work(name: str, slices: int) -> None:
        left = iter(range(slices - 1, -1, -1))

        def step() -> bool:
            done.append(name)
            return next(left) > 0

        turns.add(step)

    def fail() -> bool:
        raise ZeroDivisionError("a bug in a step")

    work("a", 3)
    turns.add(fail)
    work("b", 2)
    while turns:
        turns.take()
    assert "".join(done) == "ababa"
    assert signs == [True, False]
    assert "a bug in a step" in caplog.text


async def test_tasks_have_their_turns_one_by_one():
    turns = Turns()
    had: list[int] = []

    async def task(number: int) -> None:
        await turns.turn()
        had.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(task, number)
        for count in range(1, 4):
            await trio.testing.wait_all_tasks_blocked()
            turns.take()
            await trio.testing.wait_all_tasks_blocked()
            assert len(had) == count


async def test_no_second_task_is_called_before_the_first_has_come():
    turns = Turns()
    had: list[int] = []

    async def task(number: int) -> None:
        await turns.turn()
        had.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(task, number)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(10):
            turns.take()
        await trio.testing.wait_all_tasks_blocked()
        assert len(had) == 1
        nursery.cancel_scope.cancel()
    while turns:
        turns.take()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task, 3)
        await trio.testing.wait_all_tasks_blocked()
        turns.take()
    assert had[-1] == 3


def test_gateways_that_are_gone_leave_no_descriptor_behind() -> None:
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    Gateway(Config())
    before = descriptors()
    for _ in range(20):
        Gateway(Config())
    assert descriptors() <= before


async def test_hundreds_that_come_at_once_do_not_hold_up_who_is_there(house: House):
    _, quiet = house.connect()
    came = [house.arrive("mqtt") for _ in range(200)]
    for number, (_, near) in enumerate(came):
        house.say(near, encoder.encode_connect(packets.Connect(4, b"n%d" % number)))
    rounds = 0
    while not all(connection.introduced for connection, _ in came):
        assert is_answered(house, quiet)
        rounds += 1
        assert rounds < MOST_ROUNDS
    assert rounds > 20


async def test_hundreds_that_leave_at_once_do_not_hold_up_who_is_there(house: House):
    _, quiet = house.connect()
    left = [house.connect("mqtt") for _ in range(100)]
    for _, near in left:
        near.close()
    rounds = 0
    while any(connection.close_reason is None for connection, _ in left):
        assert is_answered(house, quiet)
        rounds += 1
        assert rounds < MOST_ROUNDS
    assert rounds > 10


async def test_nobody_who_comes_waits_for_ever_beside_others_that_never_say_who_they_are(house: House):
    """Those that send the beginning of a CONNECT byte by byte are ready in every round."""
    slow = [house.arrive("mqtt") for _ in range(50)]
    begin = encoder.encode_connect(packets.Connect(4, b"x" * 200))
    last, near = house.arrive("mqtt")
    house.say(near, encoder.encode_connect(packets.Connect(4, b"last")))
    for number in range(len(begin) - 1):
        for _, other in slow:
            house.say(other, begin[number : number + 1])
        house.rounds(1)
        if last.introduced:
            break
    assert last.introduced


async def test_subscribe_of_many_filters_is_read_in_slices(house: House):
    _, quiet = house.connect()
    _, near = house.connect("mqtt")
    filters = [packets.Subscription(b"a/%d" % number) for number in range(8000)]
    house.say(near, encoder.encode_subscribe(4, 7, filters) + b"\xc0\0")
    house.rounds(1)
    assert house.gateway.account.router.tree.count == 0
    assert is_answered(house, quiet)
    house.rounds_until_done()
    assert house.gateway.account.router.tree.count == 8000
    assert house.hear(near) == encoder.encode_suback(4, 7, [0] * 8000) + encoder.PINGRESP


@pytest.mark.parametrize("version", [4, 5])
async def test_bad_filter_behind_many_good_ones_ends_the_connection_and_grants_none(house: House, version: int):
    client, near = house.arrive("mqtt")
    house.say(near, encoder.encode_connect(packets.Connect(version, b"c")))
    house.rounds(4)
    house.hear(near)
    filters = [packets.Subscription(b"a/%d" % number) for number in range(5000)]
    bad = encoder.encode_subscribe(version, 7, [*filters, packets.Subscription(b"a/b+")])
    house.say(near, bad + encoder.encode_publish(version, b"x", b"never", 0, 0, False, False))
    house.rounds(1)
    house.rounds_until_done()
    assert client.close_reason is not None
    assert house.gateway.account.router.tree.count == 0
    assert client.outbox.out_messages == 0
    # Topic Filter Invalid; before 5.0 there is no such word.
    assert house.hear(near) == (b"\xe0\x01\x8f" if version == 5 else b"")


async def test_heartbeats_without_end_are_read_in_small_batches(house: House):
    for protocol, beat in (("nats", b"PING\r\n"), ("nats", b"PONG\r\n"), ("mqtt", b"\xc0\0")):
        busy, near = house.connect(protocol)
        house.say(near, beat * 20_000)
        house.rounds(1)
        assert busy._size < 1 << 14
        house.rounds(1000)
        if beat != b"PONG\r\n":
            assert len(house.hear(near)) == len(beat) * 20_000


DEEP = [b".".join((*tokens, b"end")) for tokens in itertools.product((b"a", b"*"), repeat=14)]


async def test_requests_with_reply_subjects_far_down_the_tree_are_answered_in_slices(house: House):
    _, quiet = house.connect()
    _, near = house.connect()
    house.say(near, b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n')
    for number, one in enumerate(DEEP):
        if number % 4096 == 0:
            while house.gateway.account.router.tree.count < number:
                house.rounds(1)
        house.say(near, b"SUB %b %d\r\n" % (one, number))
    while house.gateway.account.router.tree.count < len(DEEP):
        house.rounds(1)
    house.say(near, b"PUB nobody.1 %b 0\r\n\r\n" % DEEP[0] * 20)
    house.rounds(1)
    assert is_answered(house, quiet)
    assert house.rounds_until_done() > 10
    assert 1 <= house.hear(near).count(b"NATS/1.0 503") <= 20


async def test_acknowledged_messages_far_down_the_tree_are_routed_in_slices(house: House):
    _, quiet = house.connect()
    port = ClientPort(house.runtime.switch)
    for one in DEEP:
        house.gateway.account.router.subscribe(NatsSubscription(port, one, b"", b"1"))
    client, near = house.arrive("mqtt")
    house.say(near, encoder.encode_connect(packets.Connect(5, b"c")))
    house.rounds(4)
    house.hear(near)
    properties = Properties()
    properties.content_type = b"text/plain"
    publishes = [
        encoder.encode_publish(5, b"a/" * 14 + b"x%d" % number, b"", qos, number, False, False, properties)
        for number, qos in enumerate((1, 0, 2, 1), 1)
    ]
    house.say(near, b"".join(publishes))
    house.rounds(1)
    assert house.hear(near) == b""
    assert is_answered(house, quiet)
    assert house.rounds_until_done() > 4
    assert house.hear(near) == b"\x40\x03\0\1\x10" + b"\x50\x03\0\3\x10" + b"\x40\x03\0\4\x10"
    assert client.close_reason is None
