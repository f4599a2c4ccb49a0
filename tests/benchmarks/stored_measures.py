"""The measurements of what servers store before they acknowledge: streams, and buffers for a hub that is away."""

import contextlib
import json
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from load_nats import NatsClient
from load_requests import percentile
from load_stored import MqttPublisher, NatsPublisher, StoredPublisher, fill_log, make_stream
from machine import LoadError
from measures import Effort, Outcome, Site
from server_process import Address, ServerProcess
from servers import NATS_SERVER

# What fills a server fastest.
_WIDE = 4096
_WARM_UP = 200
# In a shorter run a log need not have its size.
_LONG = 0.5
_START_SECONDS = 300.0
_LOOK_SECONDS = 0.002
_DRAIN_SECONDS = 600.0


def publisher_to(server: ServerProcess, keeping: str, in_flight: int) -> StoredPublisher:
    """What publishes to a stream, which is made, or to a buffer. nats-server has nothing but streams."""
    if "nats" not in server.addresses:
        return MqttPublisher(server.addresses["mqtt"], in_flight)
    address = server.addresses["nats"]
    if keeping == "stream" or server.name == NATS_SERVER:
        make_stream(address)
    return NatsPublisher(address, in_flight)


@dataclass(frozen=True)
class Stored:
    """Acknowledged messages a second; CPU microseconds and bytes written for each; milliseconds of one alone."""

    keeping: str
    in_flight: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        server = site.server
        publisher = publisher_to(server, self.keeping, self.in_flight)
        try:
            if self.in_flight == 1 and "nats" in server.addresses and effort.seconds >= _LONG:
                fill_log(server.addresses["nats"])
            publisher.publish(max(_WARM_UP, self.in_flight), effort.seconds)
            publisher.waits.clear()
            cpu, written, begin = server.cpu_seconds(), server.written_bytes(), time.perf_counter()
            count = publisher.publish(effort.stored_messages, effort.seconds)
            elapsed = time.perf_counter() - begin
            cpu, written = server.cpu_seconds() - cpu, server.written_bytes() - written
        finally:
            publisher.close()
        values = {"rate": count / elapsed, "cpu": cpu / count * 1e6, "written": written / count}
        if publisher.waits:
            ordered = sorted(publisher.waits)
            values |= {"p50": percentile(ordered, 0.5) * 1e3, "p99": percentile(ordered, 0.99) * 1e3}
        return Outcome(values)


@dataclass(frozen=True)
class Waiting:
    """Many messages that wait: MiB that memory has grown by. Then the server is started again (`restarted`)."""

    keeping: str

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        server = site.server
        publisher = publisher_to(server, self.keeping, _WIDE)
        count = effort.stored_messages
        try:
            publisher.publish(_WARM_UP)
            before = server.resident_bytes()
            publisher.publish(count)
            grown = server.resident_bytes() - before
        finally:
            publisher.close()
        values = {"memory": grown / 2**20} | restarted(server, lambda: _stores(server.addresses["nats"]))
        return Outcome(values, remark=f"{count:,} messages" if count != Effort.stored_messages else "")


def restarted(server: ServerProcess, stores: Callable[[], bool]) -> dict[str, float]:
    """Kill a server and start it again: seconds until a client is greeted, and until it `stores`; milliseconds that
    clients waited for another answer meanwhile, at most; seconds of CPU and MiB of memory that it takes.
    """
    server.kill()
    begin = time.perf_counter()
    server.start_again()
    _until(begin, lambda: _greeted(server.addresses["nats"]))
    greeted = time.perf_counter() - begin
    with Pings(server.addresses["nats"]) as pings:
        _until(begin, stores)
        stored = time.perf_counter() - begin
    memory = server.resident_bytes() / 2**20
    cpu = server.cpu_seconds()
    return {"greeted": greeted, "stored": stored, "waited": pings.longest * 1e3, "start-cpu": cpu, "resident": memory}


class Pings:
    """A client that has everything answered that it asks, one by one; the `longest` time that took, in seconds."""

    def __init__(self, address: Address) -> None:
        self.longest = 0.0
        self._client = NatsClient.over_tcp(address)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            begin = time.perf_counter()
            self._client.stream.send(b"PING\r\n")
            self._client.stream.receive_until(b"PONG\r\n")
            self.longest = max(self.longest, time.perf_counter() - begin)

    def __enter__(self) -> "Pings":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.stream.close()


def drain(site: Site, effort: Effort) -> Outcome:
    """Messages a second that a stream of the hub has taken of what waited while that was away; CPU for each."""
    server, hub = site.server, site.hub
    assert hub is not None
    make_stream(hub.addresses["nats"])
    hub.end()
    count = min(effort.stored_messages, 300_000)
    publisher = NatsPublisher(server.addresses["nats"], _WIDE)
    try:
        publisher.publish(count)
    finally:
        publisher.close()
    hub.start_again()
    while not (first := _forwarded(server)):
        time.sleep(_LOOK_SECONDS)
    begin, cpu = time.perf_counter(), server.cpu_seconds()
    while (forwarded := _forwarded(server)) < count:
        if time.perf_counter() > begin + _DRAIN_SECONDS:
            raise LoadError(f"only {forwarded} of {count} were forwarded")
        time.sleep(_LOOK_SECONDS * 10)
    elapsed = time.perf_counter() - begin
    drained = max(forwarded - first, 1)
    return Outcome({"rate": drained / elapsed, "cpu": (server.cpu_seconds() - cpu) / drained * 1e6})


def _forwarded(server: ServerProcess) -> int:
    host, port = server.addresses["monitoring"]
    with urllib.request.urlopen(f"http://{host}:{port}/varz") as response:
        return int(json.load(response)["store_and_forward"][0]["forwarded"])


def _until(begin: float, is_so: Callable[[], bool]) -> None:
    while not is_so():
        if time.perf_counter() > begin + _START_SECONDS:
            raise LoadError(f"not within {_START_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)


def _greeted(address: Address) -> bool:
    with contextlib.suppress(OSError, LoadError):
        NatsClient.over_tcp(address).stream.close()
        return True
    return False


def _stores(address: Address) -> bool:
    """Whether one more message is acknowledged."""
    with contextlib.suppress(OSError, LoadError):
        publisher = NatsPublisher(address, 1)
        try:
            return publisher.publish(1) == 1
        finally:
            publisher.close()
    return False
