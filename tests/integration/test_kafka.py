"""Messages that become records of a real Kafka, and records that become messages; aiokafka is on the other side."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.integration.kafka_broker import PASSWORD, USER, Kafka, kafka
from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.peers import Peer, gateway, wait_until
from tests.torture.kafka import torture

pytestmark = pytest.mark.one_form

# What is waited for shortly, so that tests are.
IMPATIENT = 'properties = { "topic.metadata.propagation.max.ms" = 500, "reconnect.backoff.max.ms" = 500 }'


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with kafka(tmp_path_factory.mktemp("kafka")) as one:
        yield one


def table(server: str, *lines: str, name: str = "plant") -> str:
    text = [
        "[[kafka]]",
        f'name = "{name}"',
        f"servers = [{json.dumps(server)}]",
        "retry-max-seconds = 1",
        IMPATIENT,
        *lines,
    ]
    return "\n".join(text) + "\n"


def told(edge: Peer, path: str = "varz") -> Any:
    with urlopen(f"{edge.url('monitoring', 'http')}/{path}") as answer:
        return json.loads(answer.read())


def status(edge: Peer, name: str = "plant") -> dict[str, Any]:
    return next(one for one in told(edge)["integrations"] if one["name"] == name)


def wait_sent(edge: Peer, count: int) -> None:
    wait_until(lambda: status(edge)["sent_msgs"] >= count, f"{count} messages sent", PATIENCE_SECONDS)


def wait_up(edge: Peer, name: str = "plant") -> None:
    wait_until(lambda: status(edge, name)["up"], "the integration is up", PATIENCE_SECONDS)


def publish(edge: Peer, *messages: tuple[str, bytes], headers: dict[str, str] | None = None) -> None:
    async def send() -> None:
        async with client(edge) as connection:
            for subject, payload in messages:
                await connection.publish(subject, payload, headers=headers)
            await connection.flush()

    run(send)


def make_stream(edge: Peer) -> None:
    async def make() -> None:
        async with client(edge) as connection:
            await connection.jetstream(timeout=PATIENCE_SECONDS).add_stream(name="S", subjects=["s.>"])

    run(make)


def store(edge: Peer, first: int, last: int, keys: int = 5) -> None:
    """Publish numbers into the stream, each acknowledged."""

    async def send() -> None:
        async with client(edge) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            numbers = range(first, last + 1)
            await asyncio.gather(*(js.publish(f"s.{number % keys}", b"%d" % number) for number in numbers))

    run(send)


def check_order(records: list[Any], count: int, once: bool = True) -> None:
    """Each number is there, and those of a key are in order; where they may come twice, then as a whole run again."""
    by_key: dict[bytes, list[int]] = defaultdict(list)
    for record in records:
        by_key[record.key].append(int(record.value))
    assert {number for numbers in by_key.values() for number in numbers} == set(range(1, count + 1))
    for numbers in by_key.values():
        first_seen = list(dict.fromkeys(numbers))
        assert first_seen == sorted(first_seen)
        if once:
            assert numbers == first_seen


def test_messages_become_records_with_key_headers_time_and_partition(broker: Kafka, tmp_path: Path) -> None:
    broker.create("temperature-hall", "rest", "sized")
    lines = (
        "[[kafka.out]]",
        'subject = "plant.*.*.temperature"',
        'topic = "temperature-$1"',
        'key = "{{header(Machine)}}"',
        'partition = "{{partition(3,2)}}"',
        "[[kafka.out]]",
        'subject = "plant.>"',
        'topic = "rest"',
    )
    with gateway(tmp_path, config=table(broker.server(), *lines), monitoring=True) as edge:
        wait_up(edge)
        publish(edge, ("plant.hall.7.temperature", b"21.5"), headers={"Machine": "press", "Unit": "°C"})
        publish(edge, ("plant.hall.door", b""), ("other.1", b"no record"))
        wait_sent(edge, 2)
        (record,) = broker.read("temperature-hall", 1)
        assert (record.key, record.value) == (b"press", b"21.5")
        assert record.partition in (0, 1, 2)
        assert dict(record.headers) == {"Machine": b"press", "Unit": "°C".encode()}
        (other,) = broker.read("rest", 1)
        assert (other.key, other.value, other.headers) == (b"plant.hall.door", b"", ())
        assert abs(record.timestamp - other.timestamp) < 3_600_000
        assert status(edge)["dropped_msgs"] == {}
        assert told(edge, "healthz")["status"] == "ok"
        with urlopen(edge.url("monitoring", "http") + "/metrics") as answer:
            lines_told = answer.read().decode().splitlines()
        assert 'leafgate_integration_up{integration="plant",kind="kafka"} 1.0' in lines_told
        assert 'leafgate_integration_sent_messages_total{integration="plant",kind="kafka"} 2.0' in lines_told


def test_what_a_stream_has_arrives_once_and_in_order_although_the_broker_is_killed(
    broker: Kafka, tmp_path: Path
) -> None:
    broker.create("killed")
    lines = ('stream = "S"', 'out = [{ subject = "s.*", topic = "killed" }]', "[streams]")
    config = table(broker.server(), *lines)
    with gateway(tmp_path, config=config, monitoring=True, data_directory=tmp_path / "data") as edge:
        assert "there is no stream S" in str(told(edge, "healthz")) or not status(edge)["up"]
        make_stream(edge)
        store(edge, 1, 500)
        wait_sent(edge, 500)
        broker.kill()
        store(edge, 501, 1500)
        wait_until(lambda: not status(edge)["up"], "the integration is down", PATIENCE_SECONDS)
        assert status(edge)["waiting_msgs"] == 1000
        wait_until(lambda: "efused" in told(edge, "healthz")["integrations"]["kafka/plant"], "why it is down")
        broker.start()
        store(edge, 1501, 2000)
        wait_sent(edge, 2000)
        wait_up(edge)
        check_order(broker.read("killed", 2000), 2000)
        assert edge.log().count("event=down") == 1


def test_what_a_stream_has_arrives_although_the_gateway_is_killed(broker: Kafka, tmp_path: Path) -> None:
    broker.create("resumed")
    lines = ('stream = "S"', 'out = [{ subject = "s.*", topic = "resumed" }]', "[streams]")
    config = table(broker.server(), *lines)
    with gateway(tmp_path, config=config, monitoring=True, data_directory=tmp_path / "data") as edge:
        make_stream(edge)
        store(edge, 1, 800)
        edge.kill()
        (tmp_path / "ports.json").unlink()
        edge.start()
        edge.wait_ready((tmp_path / "ports.json").exists)
        edge.ports = {
            one.get("protocol", "monitoring"): int(one["address"].rpartition(":")[2])
            for one in ports_told(tmp_path / "ports.json")
        }
        store(edge, 801, 1000)
        check_order(broker.read("resumed", 1000), 1000, once=False)
        wait_until(lambda: status(edge)["waiting_msgs"] == 0, "nothing waits", PATIENCE_SECONDS)


def ports_told(path: Path) -> list[dict[str, str]]:
    found = json.loads(path.read_text())
    return [*found["listeners"], {"address": found["monitoring"]}]


IN_LINES = (
    'group = "edge"',
    'in = [{ topic = "orders.*", subject = "from.$1.{{key}}" }, { topic = "single" }]',
)


def test_records_become_messages_and_the_group_goes_on_behind_what_is_on_the_disk(
    broker: Kafka, tmp_path: Path
) -> None:
    broker.create("orders.north", "orders.south", "single")
    broker.write("orders.north", (b"k.1", b"first", [("Unit", b"kg"), ("raw", b"\x00\xff")]))
    config = table(broker.server(), *IN_LINES, "[streams]")
    with gateway(tmp_path, config=config, monitoring=True, data_directory=tmp_path / "data") as edge:
        heard: list[Any] = []

        async def listen() -> None:
            async with client(edge) as connection:
                js = connection.jetstream(timeout=PATIENCE_SECONDS)
                await js.add_stream(name="S", subjects=["from.>"])
                subscription = await connection.subscribe("kafka.single")
                await asyncio.to_thread(broker.write, "orders.south", (b"k2", b"second", []))
                await asyncio.to_thread(broker.write, "single", (None, b"third", []))
                third = await subscription.next_msg(PATIENCE_SECONDS)
                wait = await js.subscribe("from.south.>")
                heard.extend([third, await wait.next_msg(PATIENCE_SECONDS)])

        run(listen)
        third, second = heard
        assert (third.data, third.headers["Kafka-Position"].partition("/")[0]) == (b"third", "single")
        assert (second.data, second.headers["Kafka-Key"]) == (b"second", "k2")
        wait_until(lambda: status(edge)["received_msgs"] == 3, "three records", PATIENCE_SECONDS)
        wait_until(lambda: broker.committed("edge", "single") == 1, "the offset of the group", PATIENCE_SECONDS)


def test_wrong_password_is_one_sentence_and_others_go_on(broker: Kafka, tmp_path: Path) -> None:
    broker.create("fine")
    out = 'out = [{{ subject = "{0}.>", topic = "fine" }}]'
    login = (f'user = "{USER}"', 'mechanism = "SCRAM-SHA-256"')
    config = table(broker.server("sasl"), out.format("a"), *login, 'password = "wrong"', name="wrong")
    config += table(broker.server("sasl"), out.format("b"), *login, f'password = "{PASSWORD}"')
    tls = f'tls = {{ ca = "{broker.site.path("ca.pem")}" }}'
    plain = (f'user = "{USER}"', 'mechanism = "PLAIN"', f'password = "{PASSWORD}"', tls)
    config += table(broker.server("secure"), out.format("c"), *plain, name="secure")
    config += table(broker.server("tls"), out.format("d"), "tls = {}", name="untrusting")
    with gateway(tmp_path, config=config, monitoring=True) as edge:
        wait_up(edge)
        wait_up(edge, "secure")
        publish(edge, ("a.1", b"lost"), ("b.1", b"scram"), ("c.1", b"tls"))
        assert {record.value for record in broker.read("fine", 2)} == {b"scram", b"tls"}
        for name, words in (("wrong", "does not let us in"), ("untrusting", "TLS: ")):
            wait_until(
                lambda name=name, words=words: words in status(edge, name)["last_error"], words, PATIENCE_SECONDS
            )
            assert words in told(edge, "healthz")["integrations"][f"kafka/{name}"]
            assert sum(words in line and f"kafka/{name} event=down" in line for line in edge.log().splitlines()) == 1
        assert "wrong'" not in edge.log()


def test_unknown_topics_and_records_that_are_too_large_are_told_and_the_rest_goes_on(
    broker: Kafka, tmp_path: Path
) -> None:
    broker.create("known")
    broker.create("small", **{"max.message.bytes": "2000"})
    lines = (
        'out = [{ subject = "a.*", topic = "$1" }, { subject = "b.*", topic = "small" }]',
        'in = [{ topic = "nowhere" }, { topic = "known" }]',
        'group = "topics"',
    )
    with gateway(tmp_path, config=table(broker.server(), *lines), monitoring=True) as edge:
        wait_up(edge)
        publish(
            edge, ("a.known", b"1"), ("a.missing", b"2"), ("b.1", b"small"), ("b.1", b"x" * 5000), ("a.known", b"3")
        )
        publish(edge, *[(f"b.{number % 3}", b"%04d" % number * 20) for number in range(100)])
        wanted = {b"smal", *(b"%04d" % number for number in range(100))}
        records = broker.read("small", 101, enough=lambda found: len({record.value[:4] for record in found}) >= 101)
        assert {record.value[:4] for record in records} == wanted
        assert {record.value for record in broker.read("known", 2)} == {b"1", b"3"}
        wait_until(lambda: len(status(edge)["dropped_msgs"]) == 2, "two reasons", PATIENCE_SECONDS)
        dropped = status(edge)["dropped_msgs"]
        assert sorted(dropped.values()) == [1, 1]
        assert "topic missing" in str(dropped)
        assert "topic small" in str(dropped)
        wait_until(
            lambda: "nowhere" in str(told(edge, "healthz")) or "lost" in str(told(edge, "healthz")), "a sentence"
        )
        wait_until(lambda: status(edge)["received_msgs"] >= 2, "what came from a known topic", PATIENCE_SECONDS)


def test_nothing_is_lost_and_nothing_overtakes_while_both_sides_are_killed(broker: Kafka, tmp_path: Path) -> None:
    """As `make torture-kafka`, for a moment."""
    outcome = torture(broker, tmp_path / "edge", 0.0, 2, 7, kills_broker=False)
    assert outcome.complaints == [], outcome.summary()
    assert all(outcome.acknowledged.values()), outcome.summary()
