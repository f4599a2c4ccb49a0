"""What a rule costs: messages that go through one beside the same that do not."""

import itertools
import statistics
from dataclasses import dataclass, replace

from measures import Effort, Outcome, Site, connect, delivered_size, timed_flow
from servers import RULED
from traffic import CHUNK_BYTES, Chunk, Flow, Publisher

_SUBJECTS = 100
_PAYLOAD = b'{"id":"a17","t":71.5,"quality":9,"unit":"F","ts":1767225600}'
_MADE = b'{"id":"a17","celsius":21.9,"quality":9,"at":1767225600}'
# Each pair of runs the other way round than the one before: what drifts falls on both alike.
_TURNS = 6


@dataclass(frozen=True)
class RuleCost:
    """`rate` of messages through a rule that filters, converts a unit and makes an object of four fields, and `cost`,
    the microseconds of the server's processor that each of them takes beyond one that is only delivered: decoding,
    computing, encoding, and routing what came and what is made.
    """

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        each = replace(effort, seconds=effort.seconds / 2)
        ways = ((RULED, "made"), ("plain", "plain"))
        outcomes: dict[str, list[Outcome]] = {published: [] for published, _ in ways}
        for turn in range(_TURNS):
            for published, received in ways if turn % 2 else reversed(ways):
                outcomes[published].append(flow_between(site, each, published, received))
        pairs = zip(outcomes[RULED], outcomes["plain"], strict=True)
        cost = statistics.median(ruled.values["cpu"] - plain.values["cpu"] for ruled, plain in pairs)
        rates = [one.values["rate"] for one in outcomes[RULED]]
        busy = statistics.median(one.busy or 0.0 for one in outcomes[RULED])
        return Outcome({"rate": statistics.median(rates), "cost": cost}, busy)


def flow_between(site: Site, effort: Effort, published: str, received: str) -> Outcome:
    publisher, receiver = (connect(site.server, "nats") for _ in range(2))
    receiver.subscribe(f"{received}.*")
    subjects = [f"{published}.d{number:03d}" for number in range(_SUBJECTS)]
    size = delivered_size(publisher, [receiver], _MADE if published == RULED else _PAYLOAD, subjects[0], _PAYLOAD)
    each = CHUNK_BYTES // len(publisher.publication(subjects[0], _PAYLOAD))
    turn = itertools.cycle(subjects)
    data = b"".join(publisher.publication(next(turn), _PAYLOAD) for _ in range(each))
    chunk = Chunk.of(data, each, size, receivers=1)
    flow = Flow([Publisher(publisher.stream, itertools.repeat(chunk))], [receiver.stream], effort.lead_bytes)
    return timed_flow(flow, site.server, effort, [publisher.stream, receiver.stream])
