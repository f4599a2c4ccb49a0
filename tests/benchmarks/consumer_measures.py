"""The measurements of consumers, and of look-ups by subject, on a stream that is filled before."""

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from load_consumers import Reader
from load_nats import NatsClient
from load_requests import blocking_reads
from load_stored import STREAM, NatsPublisher, ask, make_stream
from machine import LoadError
from measures import Effort, Outcome, Site
from server_process import ServerProcess
from stored_measures import restarted

_WIDE = 4096
BATCH = 256
# How long a heartbeat of a push consumer may take, in nanoseconds: long enough to be none.
_HEARTBEAT = 30 * 10**9
_PATIENCE = 600.0


def fill(server: ServerProcess, count: int) -> None:
    """A stream with so many messages."""
    make_stream(server.addresses["nats"])
    publisher = NatsPublisher(server.addresses["nats"], _WIDE)
    try:
        publisher.publish(count)
    finally:
        publisher.close()


@dataclass(frozen=True)
class Consumed:
    """Messages of a stream that a consumer has delivered a second; CPU microseconds for each.

    `config` is the consumer's. One with a deliver subject is sent them, another asks for batches and acknowledges each.
    `again`: the server is killed before, so that nothing is in its memory.
    """

    config: dict[str, Any] = field(hash=False)
    again: bool = False
    whole: bool = False

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        server = site.server
        count = effort.stored_messages
        fill(server, count)
        if self.again:
            server.end()
            server.start_again()
            _await(server)
        reader = Reader(server.addresses["nats"])
        try:
            cpu, begin = server.cpu_seconds(), time.perf_counter()
            reader.make(**self.config)
            seconds = _PATIENCE if self.whole else effort.seconds
            if "deliver_subject" in self.config:
                received = reader.take(count, seconds)
            else:
                received = reader.pull(BATCH, count, seconds)
            elapsed, cpu = time.perf_counter() - begin, server.cpu_seconds() - cpu
        finally:
            reader.close()
        if not received or (self.whole and received < count):
            raise LoadError(f"{received} of {count} messages came")
        remark = f"{count:,} messages" if count != Effort.stored_messages else ""
        return Outcome({"rate": received / elapsed, "cpu": cpu / received * 1e6}, remark=remark)


def _await(server: ServerProcess) -> None:
    end = time.perf_counter() + _PATIENCE
    while time.perf_counter() < end:
        try:
            ask(server.addresses["nats"], f"$JS.API.STREAM.INFO.{STREAM}")
            return
        except (OSError, LoadError):
            time.sleep(0.05)
    raise LoadError("the server did not come back")


@dataclass(frozen=True)
class Lookups:
    """Puts and gets of the last message of a subject a second, one after the other in turn over all of `subjects`; CPU
    for each. The stream keeps one message for each (as a bucket does), or more.
    """

    subjects: int
    per_subject: int
    in_flight: int = 64

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        server = site.server
        count = min(self.subjects, effort.stored_messages)
        address = server.addresses["nats"]
        make_bucket(address, self.per_subject)
        keys = [f"$KV.BENCH.key.{number:07d}" for number in range(count)]
        puts = Exchange(address, [(key, b"x" * 128) for key in keys], b'"seq":')
        try:
            puts.run(count, _WIDE, _PATIENCE)
            put_cpu, begin = server.cpu_seconds(), time.perf_counter()
            put = puts.run(count, self.in_flight, effort.seconds)
            put_rate, put_cpu = put / (time.perf_counter() - begin), (server.cpu_seconds() - put_cpu) / put
        finally:
            puts.close()
        # Far from each other, as those who ask are.
        spread = [f"$JS.API.DIRECT.GET.KV_BENCH.{keys[number * 7919 % count]}" for number in range(min(count, 50_000))]
        gets = Exchange(address, [(subject, b"") for subject in spread], b"Nats-Sequence:")
        try:
            gets.run(self.in_flight * 4, self.in_flight, effort.seconds)
            cpu, begin = server.cpu_seconds(), time.perf_counter()
            got = gets.run(1 << 30, self.in_flight, effort.seconds)
            get_rate, cpu = got / (time.perf_counter() - begin), (server.cpu_seconds() - cpu) / got
        finally:
            gets.close()
        values = {"put": put_rate, "put-cpu": put_cpu * 1e6, "get": get_rate, "get-cpu": cpu * 1e6}
        remark = f"{count:,} subjects" if count != self.subjects else ""
        return Outcome(values, remark=remark)


def make_bucket(address: tuple[str, int], per_subject: int) -> None:
    """A stream as one of a key-value store."""
    config = {
        "name": "KV_BENCH",
        "subjects": ["$KV.BENCH.>"],
        "max_msgs_per_subject": per_subject,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "storage": "file",
    }
    answer = ask(address, "$JS.API.STREAM.CREATE.KV_BENCH", json.dumps(config).encode())
    if "error" in answer:
        raise LoadError(f"no stream: {answer['error']}")


def keys_restarted(site: Site, effort: Effort) -> Outcome:
    """As `Waiting`, of a bucket with as many keys."""
    server, count = site.server, effort.stored_messages
    make_bucket(server.addresses["nats"], 1)
    keys = [f"$KV.BENCH.key.{number:07d}" for number in range(count)]
    before = server.resident_bytes()
    puts = Exchange(server.addresses["nats"], [(key, b"x" * 128) for key in keys], b'"seq":')
    try:
        puts.run(count, _WIDE, _PATIENCE)
    finally:
        puts.close()
    grown = server.resident_bytes() - before

    def stores() -> bool:
        with contextlib.suppress(OSError, LoadError):
            put = Exchange(server.addresses["nats"], [(keys[0], b"y")], b'"seq":')
            try:
                return put.run(1, 1, _PATIENCE) == 1
            finally:
                put.close()
        return False

    values = {"memory": grown / 2**20} | restarted(server, stores)
    return Outcome(values, remark=f"{count:,} keys" if count != Effort.stored_messages else "")


class Exchange:
    """Requests in turn, so many of them unanswered at a time; an answer holds `mark` once."""

    def __init__(self, address: tuple[str, int], requests: list[tuple[str, bytes]], mark: bytes) -> None:
        self._client = NatsClient.over_tcp(address)
        self._client.subscribe("_INBOX.lookup.*")
        self._socket = self._client.stream.socket
        blocking_reads(self._socket)
        self._made = [self._client.publication(subject, payload, "_INBOX.lookup.1") for subject, payload in requests]
        self._mark = mark
        self._at = 0
        self._rest = b""

    def run(self, most: int, in_flight: int, seconds: float) -> int:
        """So many at most, for that long; returns how many, and all are answered."""
        sent = answered = 0
        now = time.perf_counter()
        end = now + seconds
        while answered < sent or (sent < most and now < end):
            room = min(in_flight - (sent - answered), most - sent, len(self._made) - self._at)
            if room > 0 and now < end:
                self._socket.sendall(b"".join(self._made[self._at : self._at + room]))
                self._at = (self._at + room) % len(self._made)
                sent += room
            data = self._socket.recv(1 << 18)
            if not data:
                raise LoadError("the server closed the connection")
            if b'"error"' in data:
                raise LoadError(f"refused: {data[:200]!r}")
            read = self._rest + data
            self._rest = read[-len(self._mark) + 1 :]
            answered += read.count(self._mark)
            now = time.perf_counter()
        return answered

    def close(self) -> None:
        self._client.stream.close()
