"""The measurements of Kafka: what goes out of a stream as records, and records that come in to a stream.

The broker is a real one, on the load's core, so it takes from that what it needs.
"""

import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load_stored import FILTER, PAYLOAD, STREAM, SUBJECTS, NatsPublisher, make_stream
from machine import LoadError, UnsupportedError
from measures import Effort, Outcome, Site
from server_process import ServerProcess

_WIDE = 4096
_TOPIC = "bench"
_MOST_MESSAGES = 300_000
_LOOK_SECONDS, _LONGEST_SECONDS = 0.02, 300.0
_OUT = '{common}stream = "{stream}"\nout = [{{ subject = "{subjects}", topic = "{topic}" }}]\n'
_IN = '{common}group = "bench"\nin = [{{ topic = "{topic}", subject = "{subject}.{{{{key}}}}" }}]\n'
_COMMON = '\n[[kafka]]\nname = "bench"\nservers = ["{server}"]\nmax-pending-bytes = 33554432\n'


@contextmanager
def _broker() -> Iterator[object]:
    """A broker with an empty topic. Where there is none, the row is left out."""
    # In front: there are libraries that install a package of this name.
    sys.path.insert(0, str(Path(__file__).parents[2]))
    try:
        from tests.integration.kafka_broker import JARS, Kafka
    except ImportError as error:
        raise UnsupportedError(f"a library for tests is missing: {error}") from None
    if not list(JARS.glob("kafka_*.jar")):
        raise UnsupportedError("Kafka's jars are not there")
    with tempfile.TemporaryDirectory(prefix="leafgate-bench-kafka-") as directory:
        broker = Kafka(Path(directory))
        try:
            broker.start()
            broker.create(_TOPIC)
            yield broker
        finally:
            broker.kill()


def kafka_out(site: Site, effort: Effort) -> Outcome:
    """Messages a second that the broker has acknowledged, of what waited in a stream; CPU for each."""
    server = site.server
    make_stream(server.addresses["nats"])
    count = min(effort.stored_messages, _MOST_MESSAGES)
    publisher = NatsPublisher(server.addresses["nats"], _WIDE)
    try:
        publisher.publish(count)
    finally:
        publisher.close()
    with _broker() as broker:
        common = _COMMON.format(server=broker.server())  # type: ignore[attr-defined]
        configure(server, _OUT.format(common=common, stream=STREAM, subjects=FILTER, topic=_TOPIC))
        return timed(server, "sent_msgs", count)


def kafka_in(site: Site, effort: Effort) -> Outcome:
    """Records a second that are in a stream, on the disk, of what waited in a topic; CPU for each."""
    from confluent_kafka import Producer

    server = site.server
    make_stream(server.addresses["nats"])
    count = min(effort.stored_messages, _MOST_MESSAGES)
    with _broker() as broker:
        address = broker.server()  # type: ignore[attr-defined]
        producer = Producer({"bootstrap.servers": address, "linger.ms": 50, "queue.buffering.max.messages": count})
        lead = FILTER.removesuffix(".>")
        for number in range(count):
            producer.produce(_TOPIC, PAYLOAD, b"%d" % (number % len(SUBJECTS)))
        if producer.flush(_LONGEST_SECONDS):
            raise LoadError("the broker did not take the records")
        configure(server, _IN.format(common=_COMMON.format(server=address), topic=_TOPIC, subject=lead))
        return timed(server, "received_msgs", count)


def configure(server: ServerProcess, table: str) -> None:
    """The gateway reads its configuration again where that has changed."""
    with (server.directory / "leafgate.toml").open("a") as file:
        file.write(table)


def timed(server: ServerProcess, what: str, count: int) -> Outcome:
    give_up = time.perf_counter() + _LONGEST_SECONDS
    while not (first := _told(server, what)):
        if time.perf_counter() > give_up:
            raise LoadError(f"nothing passed: {server.log[-400:]!r}")
        time.sleep(_LOOK_SECONDS)
    begin, cpu = time.perf_counter(), server.cpu_seconds()
    while (passed := _told(server, what)) < count:
        if time.perf_counter() > give_up:
            raise LoadError(f"only {passed} of {count} passed")
        time.sleep(_LOOK_SECONDS)
    elapsed, passed = time.perf_counter() - begin, max(passed - first, 1)
    return Outcome({"rate": passed / elapsed, "cpu": (server.cpu_seconds() - cpu) / passed * 1e6})


def _told(server: ServerProcess, what: str) -> int:
    host, port = server.addresses["monitoring"]
    with urllib.request.urlopen(f"http://{host}:{port}/varz") as response:
        found = json.load(response)["integrations"]
        return int(found[0][what]) if found else 0
