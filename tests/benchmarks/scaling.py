"""The second table: how a server's cost grows with subscriptions, subjects, churn, floods and stuck subscribers."""

import contextlib
import itertools
import json
import multiprocessing
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from byte_streams import Stream
from cases import Case, Row
from load_nats import NatsClient
from load_requests import percentile, round_trips
from machine import LoadError
from measures import SUBJECT, Effort, Outcome, Site, Throughput, delivered_size, timed_flow
from mixed_measures import FreshSubjects
from server_process import Address, ServerProcess
from servers import GATEWAY
from traffic import Chunk, Flow, Publisher

_PAYLOAD = b"x" * 16
# All of one width, so that every delivery has the same size.
_FIRST_SID = 1_000_000
_FLOOD_SECONDS_AT_MOST = 120.0
_TREE_SECONDS_AT_MOST = 120.0


def _pair(address: Address) -> tuple[NatsClient, NatsClient]:
    return NatsClient.over_tcp(address), NatsClient.over_tcp(address, _FIRST_SID)


@dataclass(frozen=True)
class Bystanders:
    """1→1 while another connection holds subscriptions that match nothing, half of them with wildcards."""

    subscriptions: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        bystander = NatsClient.over_tcp(site.server.addresses["nats"])
        with contextlib.closing(bystander.stream):
            tails = ("state", "*.state")
            bystander.subscribe(*(f"idle.{number}.{tails[number % 2]}" for number in range(self.subscriptions)))
            return Throughput(16)(site, effort)


@dataclass(frozen=True)
class ManySubjects:
    """One receiver subscribed to many literal subjects; each message goes to the next of them."""

    subjects: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        publisher, receiver = _pair(site.server.addresses["nats"])
        names = [f"many.{number:07d}" for number in range(self.subjects)]
        before = site.server.resident_bytes()
        receiver.subscribe(*names)
        memory = (site.server.resident_bytes() - before) / self.subjects
        publications = [publisher.publication(name, _PAYLOAD) for name in names]
        each = 1000
        delivery = len(f"MSG {names[0]} {_FIRST_SID} 16\r\n") + len(_PAYLOAD) + 2
        pieces = [b"".join(publications[at : at + each]) for at in range(0, len(names), each)]
        chunks = [Chunk.of(piece, each, delivery, receivers=1) for piece in pieces]
        sender = Publisher(publisher.stream, iter(chunks))
        flow = Flow([sender], [receiver.stream], effort.lead_bytes)
        cold = flow.run(60.0)
        sender.chunks, sender.ended = itertools.cycle(chunks), False
        warm = timed_flow(flow, site.server, effort, [publisher.stream, receiver.stream])
        return Outcome({"cold": cold, "warm": warm.values["rate"], "memory": memory}, warm.busy)


@dataclass(frozen=True)
class TreeAlone:
    """The gateway's subject tree without a gateway: in a process of its own, of the form and on the core measured."""

    subjects: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        core = os.sched_getaffinity(site.server.pid)
        command = [_interpreter(site.server), "-P", str(Path(__file__).with_name("tree_alone.py"))]
        done = subprocess.run(
            [*command, str(self.subjects), str(effort.seconds)],
            capture_output=True,
            text=True,
            timeout=_TREE_SECONDS_AT_MOST,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )
        if done.returncode:
            raise LoadError(f"the tree by itself failed: {done.stderr[-400:]!r}")
        return Outcome(json.loads(done.stdout))


def _interpreter(server: ServerProcess) -> str:
    """The Python that runs the server: it has the same packages."""
    return Path(f"/proc/{server.pid}/cmdline").read_bytes().split(b"\0")[0].decode()


class _Churn(threading.Thread):
    """Subscribes and unsubscribes on a connection of its own, so many pairs a second, until stopped."""

    _TURN_SECONDS = 0.01

    def __init__(self, address: Address, pairs_per_second: int) -> None:
        super().__init__(daemon=True)
        self._client = NatsClient.over_tcp(address)
        self._pairs = max(1, round(pairs_per_second * self._TURN_SECONDS))
        self._stopping = threading.Event()
        self.done = 0

    def run(self) -> None:
        begin = time.monotonic()
        for turn in itertools.count(1):
            lines = [
                f"SUB churn.{n % 5000}.* {n + 1}\r\nUNSUB {n + 1}\r\n"
                for n in range(self.done, self.done + self._pairs)
            ]
            self._client.stream.socket.sendall("".join(lines).encode())
            self.done += self._pairs
            if self._stopping.wait(max(0.0, begin + turn * self._TURN_SECONDS - time.monotonic())):
                return

    def stop(self) -> None:
        self._stopping.set()
        self.join(20)
        self._client.flush()
        self._client.stream.close()


@dataclass(frozen=True)
class WithChurn:
    """1→1 at full speed while a third connection subscribes and unsubscribes."""

    pairs_per_second: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        churn = _Churn(site.server.addresses["nats"], self.pairs_per_second)
        begin = time.monotonic()
        churn.start()
        try:
            outcome = Throughput(16)(site, effort)
        finally:
            churn.stop()
        # A server that is slow to take subscriptions holds the thread in its send.
        outcome.values["churn"] = churn.done / (time.monotonic() - begin)
        return outcome


def _flood(address: Address) -> None:
    """1→1 on a subject of its own as fast as the server takes it; runs in a process of its own."""
    publisher, receiver = _pair(address)
    receiver.subscribe("flood.a")
    publication = publisher.publication("flood.a", _PAYLOAD)
    delivery = len(f"MSG flood.a {_FIRST_SID} 16\r\n") + len(_PAYLOAD) + 2
    sender = Publisher.of(publisher.stream, publication, delivery)
    Flow([sender], [receiver.stream], 1 << 20).run(_FLOOD_SECONDS_AT_MOST)


def request_reply_in_flood(site: Site, effort: Effort) -> Outcome:
    """Request/reply of two connections while two others fill the server; microseconds."""
    address = site.server.addresses["nats"]
    flood = multiprocessing.get_context("fork").Process(target=_flood, args=(address,), daemon=True)
    flood.start()
    try:
        time.sleep(0.2)
        ordered = round_trips(address, effort.seconds)
        if not flood.is_alive():
            raise LoadError("the flood ended before the measurement did")
    finally:
        flood.terminate()
        flood.join(10)
    return Outcome({"p50": percentile(ordered, 0.5) * 1e6, "p99": percentile(ordered, 0.99) * 1e6})


def beside_stuck_subscriber(site: Site, effort: Effort) -> Outcome:
    """1→1 while a second subscriber of the subject never reads; deliveries to the one that does."""
    address = site.server.addresses["nats"]
    publisher, receiver = _pair(address)
    receiver.subscribe(SUBJECT)
    size = delivered_size(publisher, [receiver], _PAYLOAD)
    stuck = NatsClient.over_tcp(address)
    stuck.subscribe(SUBJECT)
    sender = Publisher.of(publisher.stream, publisher.publication(SUBJECT, _PAYLOAD), size)
    flow = Flow([sender], [receiver.stream], effort.lead_bytes)
    streams: Sequence[Stream] = [publisher.stream, receiver.stream, stuck.stream]
    return timed_flow(flow, site.server, effort, streams)


@dataclass(frozen=True)
class Crowd:
    """Very many subscribers of one subject."""

    receivers: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        # The lead counts for every receiver: together no more than a few hundred MiB.
        short = Effort(effort.seconds, effort.idle_connections, effort.idle_messages, lead_bytes=128 * 1024)
        return Throughput(16, receivers=self.receivers)(site, short)


def _rate(key: str, title: str, metric: str = "rate") -> Row:
    return Row(key, title, "k deliveries/s", metric, 1e-3)


SCALING_CASES: Sequence[Case] = (
    *(
        Case(
            (_rate(f"bystanders-{count}", f"1→1, 16 B, beside {count:,} subscriptions that match nothing"),),
            Bystanders(count),
        )
        for count in (1, 10, 100, 1_000, 10_000)
    ),
    *(
        Case(
            (
                _rate(f"subjects-{count}-cold", f"{count:,} literal subjects in turn, first pass", "cold"),
                _rate(f"subjects-{count}-warm", f"{count:,} literal subjects in turn, later passes", "warm"),
                Row(
                    f"subjects-{count}-memory",
                    f"memory for each of {count:,} subscriptions",
                    "B (less is better)",
                    "memory",
                ),
            ),
            ManySubjects(count),
        )
        for count in (1_000, 100_000, 1_000_000)
    ),
    *(
        Case(
            (
                Row(f"tree-{count}-cold", f"tree alone, {count:,} literals, first pass", "k matches/s", "cold", 1e-3),
                Row(f"tree-{count}-warm", f"tree alone, 4,096 of {count:,} in turn", "k matches/s", "warm", 1e-3),
                Row(
                    f"tree-{count}-memory",
                    f"tree alone, each of {count:,} subscriptions",
                    "B (less is better)",
                    "memory",
                ),
            ),
            TreeAlone(count),
            (GATEWAY,),
        )
        for count in (100_000, 1_000_000)
    ),
    Case((_rate("fresh-subjects", "a fresh subject for every message, 16 B"),), FreshSubjects()),
    *(
        Case(
            (
                _rate(f"churn-{pairs}", f"1→1, 16 B, beside {pairs:,} SUB+UNSUB a second"),
                Row(f"churn-{pairs}-reached", f"SUB+UNSUB reached of {pairs:,} a second", "k pairs/s", "churn", 1e-3),
            ),
            WithChurn(pairs),
        )
        for pairs in (1_000, 10_000, 100_000)
    ),
    Case(
        (
            Row("flood-p50", "request/reply beside a flood, median", "µs (less is better)", "p50"),
            Row("flood-p99", "request/reply beside a flood, p99", "µs (less is better)", "p99"),
        ),
        request_reply_in_flood,
    ),
    Case((_rate("stuck", "1→1, 16 B, beside a subscriber that never reads"),), beside_stuck_subscriber),
    Case((_rate("crowd-2000", "1→2,000, 16 B"),), Crowd(2000)),
)
