"""What becomes of messages when a cluster fails in ways that a real one does not show when asked: librdkafka's mock."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from confluent_kafka import KafkaError

from gateway.assembly import Gateway
from gateway.dataplane.port import Port, Receiver
from gateway.integrations.integrations import Integrations
from gateway.integrations.kafka import consuming
from gateway.integrations.kinds import make_integration
from gateway.integrations.site import Site
from gateway.integrations.status import IntegrationStatus
from gateway.settings.kafka import In, Kafka, Out
from gateway.storage.durability import Durability
from protocols.message import Message, make_message
from tests.gateway.integrations.mock_cluster import FETCH, OFFSET_COMMIT, PRODUCE, MockCluster
from tests.gateway.memory_connection import running_gateway
from tests.patience import PATIENCE_SECONDS

SECONDS = 120
IMPATIENT: dict[str, str | int | float | bool] = {
    "topic.metadata.propagation.max.ms": 300,
    "reconnect.backoff.max.ms": 200,
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 100,
    "linger.ms": 1,
}


@pytest.fixture
def cluster() -> MockCluster:
    one = MockCluster()
    one.create("t")
    return one


def out(cluster: MockCluster, **more: Any) -> Kafka:
    entries = (Out(subject="a.>", topic="t"), Out(subject="b.>", topic="other"))
    return Kafka(
        **{
            "name": "one",
            "servers": (cluster.servers,),
            "out": entries,
            "retry_max_seconds": 0.2,
            "properties": IMPATIENT,
        }
        | more
    )


def begin(gateway: Gateway, config: Kafka) -> Integrations:
    integrations = Integrations(Site(gateway.runtime, gateway.find_account, lambda name: None), make_integration)
    integrations.replace([config], gateway.runtime.nursery)
    return integrations


async def end(integrations: Integrations, gateway: Gateway) -> None:
    there = [*integrations._there.values()]
    integrations.replace([], gateway.runtime.nursery)
    for one in there:
        await one.ended.wait()


def status(integrations: Integrations) -> IntegrationStatus:
    return next(integrations.statuses())


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(SECONDS):
        while not condition():  # noqa: ASYNC110 -- what changes it has no event
            await trio.sleep(0.01)


def publish(gateway: Gateway, first: int, last: int, subject: bytes = b"a.1") -> list[bytes]:
    numbers = [b"%d" % number for number in range(first, last + 1)]
    for number in numbers:
        gateway.account.publish(make_message(subject, number))
    return numbers


async def read(cluster: MockCluster, topic: str = "t") -> list[bytes]:
    return await trio.to_thread.run_sync(cluster.read, topic)


async def test_errors_that_pass_cost_nothing_and_change_no_order(cluster: MockCluster) -> None:
    async with running_gateway() as gateway:
        integrations = begin(gateway, out(cluster))
        await until(lambda: status(integrations).up)
        passing = (
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError._TRANSPORT,
            KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        )
        cluster.fail(PRODUCE, *passing * 3)
        sent = publish(gateway, 1, 500)
        await until(lambda: status(integrations).sent_msgs == 500)
        assert await read(cluster) == sent
        assert status(integrations).dropped_msgs == {}
        await end(integrations, gateway)


async def test_a_cluster_that_is_away_gets_everything_once_when_it_is_back(cluster: MockCluster) -> None:
    async with running_gateway() as gateway:
        integrations = begin(gateway, out(cluster))
        await until(lambda: status(integrations).up)
        sent = publish(gateway, 1, 100)
        await until(lambda: status(integrations).sent_msgs == 100)
        cluster.down()
        await until(lambda: not status(integrations).up)
        sent += publish(gateway, 101, 300)
        assert status(integrations).waiting_msgs == 200
        cluster.up()
        await until(lambda: status(integrations).sent_msgs == 300)
        await until(lambda: status(integrations).up)
        assert await read(cluster) == sent
        assert status(integrations).outages == 1
        await end(integrations, gateway)


async def test_after_a_fatal_error_another_producer_goes_on_with_what_is_not_done(cluster: MockCluster) -> None:
    async with running_gateway() as gateway:
        integrations = begin(gateway, out(cluster))
        await until(lambda: status(integrations).up)
        sent = publish(gateway, 1, 50)
        await until(lambda: status(integrations).sent_msgs == 50)
        cluster.fail(PRODUCE, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
        sent += publish(gateway, 51, 400)
        await until(lambda: status(integrations).sent_msgs >= 400)
        found = await read(cluster)
        assert [*dict.fromkeys(found)] == sent  # Each is there, and first in its order.
        assert status(integrations).dropped_msgs == {}
        await end(integrations, gateway)


async def test_what_is_refused_for_ever_is_dropped_and_told_and_the_rest_goes_on(cluster: MockCluster) -> None:
    cluster.set_topic_error("forbidden", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    entries = (Out(subject="a.>", topic="t"), Out(subject="b.>", topic="forbidden"))
    async with running_gateway() as gateway:
        integrations = begin(gateway, out(cluster, out=entries))
        await until(lambda: status(integrations).up)
        publish(gateway, 1, 3, b"b.1")
        sent = publish(gateway, 1, 10)
        await until(lambda: status(integrations).sent_msgs == 13)
        ((reason, count),) = status(integrations).dropped_msgs.items()
        assert (count, "topic forbidden" in reason) == (3, True)
        assert "messages are lost" in status(integrations).fault
        assert await read(cluster) == sent
        await end(integrations, gateway)


async def test_what_is_refused_waits_where_that_is_asked_for(cluster: MockCluster) -> None:
    cluster.fail(PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.INVALID_RECORD)
    async with running_gateway() as gateway:
        integrations = begin(gateway, out(cluster, when_refused="wait"))
        await until(lambda: status(integrations).up)
        sent = publish(gateway, 1, 20)
        await until(lambda: "topic t" in status(integrations).last_error)
        await until(lambda: status(integrations).sent_msgs == 20)
        assert [*dict.fromkeys(await read(cluster))] == sent
        assert status(integrations).dropped_msgs == {}
        await end(integrations, gateway)


async def test_what_waits_for_a_cluster_that_never_comes_is_bounded_and_ends_at_once() -> None:
    async with running_gateway() as gateway:
        config = Kafka(
            name="one", servers=("127.0.0.1:1",), out=(Out(subject="a.>", topic="t"),), max_pending_bytes=100_000
        )
        integrations = begin(gateway, config)
        await until(lambda: "refused" in status(integrations).fault)
        publish(gateway, 1, 2000)
        told = status(integrations)
        assert told.waiting_bytes <= 100_000
        assert told.waiting_msgs + sum(told.dropped_msgs.values()) == 2000
        with trio.fail_after(PATIENCE_SECONDS):
            await end(integrations, gateway)


# In.


class Heard(Receiver):
    def __init__(self) -> None:
        super().__init__(Port(None), b"kafka.>", b"")
        self.payloads: list[bytes] = []

    def deliver(self, message: Message, source: Port) -> bool:
        self.payloads.append(message.payload())
        return True


class SlowDisk(Durability):
    """Says when something is durable once it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.is_fast = False

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        if self.is_fast:
            action()
        else:
            self.waiting.append(action)

    def go(self) -> None:
        self.is_fast = True
        for action in self.waiting:
            action()


def incoming(cluster: MockCluster) -> Kafka:
    return out(cluster, out=(), in_=(In(topic="t"),), group="g")


async def test_offsets_are_committed_behind_our_own_commit_and_nothing_more_is_taken_meanwhile(
    cluster: MockCluster,
) -> None:
    async with running_gateway() as gateway:
        heard, disk = Heard(), SlowDisk()
        gateway.account.router.subscribe(heard)
        gateway.account.durability = disk
        await trio.to_thread.run_sync(cluster.write, "t", *(b"%d" % number for number in range(100)))
        integrations = begin(gateway, incoming(cluster))
        await until(lambda: disk.waiting)
        assert await trio.to_thread.run_sync(cluster.committed, "g", "t") < 0
        disk.go()
        await until(lambda: len(heard.payloads) == 100)
        assert heard.payloads == [b"%d" % number for number in range(100)]
        with trio.fail_after(SECONDS):
            while await trio.to_thread.run_sync(cluster.committed, "g", "t") != 100:  # noqa: ASYNC110 -- as above
                await trio.sleep(0.05)
        assert status(integrations).received_msgs == 100
        await end(integrations, gateway)


async def test_who_waits_long_for_the_disk_pauses_and_goes_on_in_order(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(consuming, "RECORDS_AT_ONCE", 10)
    paused = trio.Event()
    pause = consuming.ConsumerThread._pause

    def noted(thread: consuming.ConsumerThread, consumer: Any) -> None:
        pause(thread, consumer)
        thread.tell(paused.set)

    monkeypatch.setattr(consuming.ConsumerThread, "_pause", noted)
    values = [b"%d" % number for number in range(1000)]
    async with running_gateway() as gateway:
        heard, disk = Heard(), SlowDisk()
        gateway.account.router.subscribe(heard)
        gateway.account.durability = disk
        await trio.to_thread.run_sync(cluster.write, "t", *values)
        integrations = begin(gateway, incoming(cluster))
        with trio.fail_after(SECONDS):
            await paused.wait()
        assert 0 < len(heard.payloads) <= 30
        disk.go()
        await until(lambda: len(heard.payloads) >= 1000)
        assert heard.payloads == values
        await end(integrations, gateway)


class BrokenDisk(Durability):
    """Whoever waits is answered by the test, as long as it `is_broken`."""

    def __init__(self) -> None:
        self.is_broken = True
        self.waiting: list[tuple[Callable[[], None], Callable[[], None] | None]] = []

    def when_durable(self, action: Callable[[], None], refused: Callable[[], None] | None = None) -> None:
        if self.is_broken:
            self.waiting.append((action, refused))
        else:
            action()


async def test_what_follows_what_is_never_stored_is_not_committed_either(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "RECORDS_AT_ONCE", 2)
    values = [b"%d" % number for number in range(20)]
    async with running_gateway() as gateway:
        heard, disk = Heard(), BrokenDisk()
        gateway.account.router.subscribe(heard)
        gateway.account.durability = disk
        await trio.to_thread.run_sync(cluster.write, "t", *values)
        integrations = begin(gateway, incoming(cluster))
        await until(lambda: len(disk.waiting) >= 2)
        disk.is_broken = False
        (_, refuse), (store, _) = disk.waiting[:2]
        assert refuse is not None
        refuse()
        store()
        await until(lambda: heard.payloads.count(values[-1]) >= 1)
        assert heard.payloads.count(values[0]) == 2
        with trio.fail_after(SECONDS):
            while await trio.to_thread.run_sync(cluster.committed, "g", "t") != 20:  # noqa: ASYNC110 -- as above
                await trio.sleep(0.05)
        assert [*dict.fromkeys(heard.payloads)] == values
        await end(integrations, gateway)


async def test_errors_of_fetches_and_commits_pass(cluster: MockCluster) -> None:
    async with running_gateway() as gateway:
        heard = Heard()
        gateway.account.router.subscribe(heard)
        cluster.fail(FETCH, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TRANSPORT, KafkaError.UNKNOWN)
        cluster.fail(OFFSET_COMMIT, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.UNKNOWN)
        await trio.to_thread.run_sync(cluster.write, "t", b"1", b"2", b"3")
        integrations = begin(gateway, incoming(cluster))
        await until(lambda: len(heard.payloads) >= 3)
        assert heard.payloads == [b"1", b"2", b"3"]
        with trio.fail_after(SECONDS):
            while await trio.to_thread.run_sync(cluster.committed, "g", "t") != 3:  # noqa: ASYNC110 -- as above
                await trio.sleep(0.05)
        await end(integrations, gateway)
