"""The measurements of traffic that does not repeat itself: mixed subjects and sizes, or one message at a time."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from byte_streams import Stream
from load_sparse import sparse_cost
from measures import Client, Effort, Outcome, Site, connect, delivered_size, timed_flow
from mixed_messages import ALL, line_filters, mixed_messages
from rehearsal import Rehearsal
from server_process import Address, ServerProcess
from traffic import CHUNK_BYTES, Chunk, Flow, Publisher

# Messages per second, all connections of a sparse row together.
_SPARSE_RATE = 4000


@dataclass(frozen=True)
class Mixed:
    """Deliveries per second of mixed messages: to receivers that all take them all, or with `disjoint` a fifth each.

    Receivers find them under `prefix`.
    """

    publishers: int = 1
    receivers: int = 1
    disjoint: bool = False
    publish: str = "nats"
    receive: str = "nats"
    frames: bool = False
    prefix: str = ""

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        audiences = self._audiences(site.hub or site.server)
        receivers = [receiver for audience in audiences for receiver in audience]
        publishers = [connect(site.server, self.publish) for _ in range(self.publishers)]
        messages = mixed_messages(effort.mixed_messages)
        chunks = Rehearsal(publishers[0], audiences).chunks(messages, self.frames)
        flow = Flow(
            [
                Publisher(client.stream, _in_circles(chunks, len(chunks) * turn // self.publishers))
                for turn, client in enumerate(publishers)
            ],
            [client.stream for client in receivers],
            effort.lead_bytes,
        )
        return timed_flow(flow, site.server, effort, [client.stream for client in publishers + receivers])

    def _audiences(self, server: ServerProcess) -> list[list[Client]]:
        filters = line_filters() if self.disjoint else [ALL]
        audiences = []
        for each in filters:
            audience = [connect(server, self.receive) for _ in range(1 if self.disjoint else self.receivers)]
            for client in audience:
                client.subscribe(self.prefix + each)
            audiences.append(audience)
        return audiences


def _in_circles(chunks: list[Chunk], begin: int) -> Iterator[Chunk]:
    return itertools.cycle(chunks[begin:] + chunks[:begin])


@dataclass(frozen=True)
class MixedRelay:
    """What a process that only copies moves of the same bytes, in publications per second."""

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        source, sink = (Stream(site.server.addresses["relay"]) for _ in range(2))
        publications = [
            f"PUB {each.subject} {len(each.payload)}\r\n".encode() + each.payload + b"\r\n"
            for each in mixed_messages(effort.mixed_messages)
        ]
        each = CHUNK_BYTES // (sum(map(len, publications)) // len(publications))
        pieces = [b"".join(publications[at : at + each]) for at in range(0, len(publications) - each + 1, each)]
        chunks = [Chunk(piece, (len(piece),), each) for piece in pieces]
        flow = Flow([Publisher(source, itertools.cycle(chunks))], [sink], effort.lead_bytes)
        return timed_flow(flow, site.server, effort, [source, sink])


@dataclass(frozen=True)
class FreshSubjects:
    """One receiver of a wildcard; every message has a subject never seen before, as the inboxes of requests have."""

    protocol: str = "nats"

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        publisher, receiver = (connect(site.server, self.protocol) for _ in range(2))
        receiver.subscribe("fresh.*.*")
        payload = b"x" * 16
        place = "________"
        probe = f"fresh.{place}.0000"
        delivery = delivered_size(publisher, [receiver], payload, probe)
        messages = CHUNK_BYTES // len(publisher.publication(probe, payload))
        template = b"".join(publisher.publication(f"fresh.{place}.{number:04d}", payload) for number in range(messages))

        def chunks() -> Iterator[Chunk]:
            for number in itertools.count():
                yield Chunk.of(template.replace(place.encode(), b"%08d" % number), messages, delivery, receivers=1)

        flow = Flow([Publisher(publisher.stream, chunks())], [receiver.stream], effort.lead_bytes)
        return timed_flow(flow, site.server, effort, [publisher.stream, receiver.stream])


@dataclass(frozen=True)
class Sparse:
    """Microseconds of the server's processor for each of 4,000 messages a second, each alone, from 500 connections."""

    protocol: str

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        clients = [connect(site.server, self.protocol) for _ in range(effort.sparse_connections)]
        collector = connect(site.server, self.protocol)
        try:
            cost = sparse_cost(site.server, clients, collector, _SPARSE_RATE, effort.seconds)
        finally:
            for client in [*clients, collector]:
                client.stream.close()
        late = f"{cost.rate:,.0f} messages a second instead of {_SPARSE_RATE:,}"
        return Outcome({"cpu": cost.cpu_seconds * 1e6}, remark=late if cost.rate < 0.95 * _SPARSE_RATE else "")


@dataclass(frozen=True)
class Library:
    """Messages per second through a client library, in windows or one at a time."""

    rate: Callable[[Address, int, float], float]
    protocol: str
    window: int = 1

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        address = site.server.addresses[self.protocol]
        self.rate(address, self.window, effort.seconds / 4)
        cpu, begin = site.server.cpu_seconds(), time.perf_counter()
        rate = self.rate(address, self.window, effort.seconds)
        busy = (site.server.cpu_seconds() - cpu) / (time.perf_counter() - begin)
        return Outcome({"rate": rate}, remark=f"used {busy:.0%} of its core meanwhile")
