"""EdgeNode: what an edge node says: births, deaths and data with their numbers, and what a command to it means.

It knows its metrics and its devices from births on: the first value of a metric makes it one, and then whoever has it,
the node or a device, is to be born anew before the value is sent.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from protocols.sparkplug.payload import LONG, NO_VALUE, Metric, Payload, encode_payload
from protocols.sparkplug.topics import DBIRTH, DDATA, DDEATH, NBIRTH, NDATA, NDEATH, Topic
from protocols.sparkplug.values import TYPES, Json, ValueTypeError, set_value, value_of

BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
NUMBERS = 256
# Of one node with its devices.
MOST_METRICS, MOST_DEVICES = 20_000, 2_000
# Of one message.
MOST_IN_MESSAGE = 500
NODE = ""


class Told(NamedTuple):
    """A message that is to be published, with QoS 0 and not retained."""

    topic: str
    payload: bytes


class Known(NamedTuple):
    """A metric of the node's, or of a device's."""

    name: str
    alias: int
    datatype: int


class Command(NamedTuple):
    """What somebody writes. `known` is None for a metric that there is none of."""

    device: str
    name: str
    known: Known | None
    value: Json


class EdgeNode:
    """Times are in milliseconds since 1970. `bd_seq` is that of the connection that `connect` has begun."""

    def __init__(self, group: str, node: str) -> None:
        self.group = group
        self.node = node
        self.bd_seq = -1
        self._seq = 0
        self._metrics: dict[str, dict[str, Known]] = {NODE: {}}
        self._last: dict[int, Metric] = {}
        self._by_alias: dict[int, Known] = {}
        # Devices that are not there.
        self._absent: set[str] = set()

    # What it knows.

    def __len__(self) -> int:
        """How many metrics it has."""
        return len(self._last)

    def find(self, device: str, name: str) -> Known | None:
        return self._metrics.get(device, {}).get(name)

    def has_room(self, device: str) -> bool:
        """For one more metric of a device."""
        return len(self._last) < MOST_METRICS and (device in self._metrics or len(self._metrics) <= MOST_DEVICES)

    def define(self, device: str, name: str, datatype: int) -> Known:
        """A metric that was not there; whoever has it is to be born anew."""
        alias = len(self._last) + 1
        known = Known(name, alias, datatype)
        self._metrics.setdefault(device, {})[name] = known
        self._by_alias[alias] = known
        self._last[alias] = Metric(datatype=datatype, is_null=True)
        return known

    def keep(self, known: Known, metric: Metric) -> None:
        """The value that a birth is to tell, where there is none that is newer."""
        if (self._last[known.alias].timestamp or 0) <= (metric.timestamp or 0):
            self._last[known.alias] = metric

    def is_absent(self, device: str) -> bool:
        return device in self._absent

    def set_presence(self, device: str, is_present: bool) -> bool:
        """Whether that is news of a device that is known."""
        news = (device in self._absent) == is_present and device in self._metrics
        if is_present:
            self._absent.discard(device)
        elif len(self._absent) < MOST_DEVICES:
            self._absent.add(device)
        return news

    # What it says.

    def connect(self, now: int) -> Told:
        """A connection begins; this is its will, and what is said before it is ended on purpose."""
        self.bd_seq = (self.bd_seq + 1) % NUMBERS
        return self.death(now)

    def death(self, now: int) -> Told:
        return self._told(NDEATH, NODE, Payload(timestamp=now, metrics=[self._bd_seq_metric(now)]))

    def births(self, now: int) -> Iterator[Told]:
        """Of the node and of all devices that are there, one by one: nothing else may be told in between."""
        self._seq = -1
        control = Metric(name=REBIRTH, timestamp=now)
        set_value(control, TYPES["Boolean"], False)
        metrics = [self._bd_seq_metric(now), control, *self._born(NODE, now)]
        yield self._numbered(NBIRTH, NODE, metrics, now)
        for device in list(self._metrics):
            if device != NODE and device not in self._absent:
                yield self.device_birth(device, now)

    def device_birth(self, device: str, now: int) -> Told:
        return self._numbered(DBIRTH, device, [*self._born(device, now)], now)

    def device_death(self, device: str, now: int) -> Told:
        return self._numbered(DDEATH, device, [], now)

    def data(self, device: str, metrics: Iterable[Metric], now: int) -> list[Told]:
        """Metrics that have aliases, in their order."""
        waiting = list(metrics)
        verb = DDATA if device else NDATA
        return [
            self._numbered(verb, device, waiting[at : at + MOST_IN_MESSAGE], now)
            for at in range(0, len(waiting), MOST_IN_MESSAGE)
        ]

    def _bd_seq_metric(self, now: int) -> Metric:
        return Metric(name=BD_SEQ, timestamp=now, datatype=TYPES["Int64"], field=LONG, value=self.bd_seq)

    def _born(self, device: str, now: int) -> Iterator[Metric]:
        for known in self._metrics[device].values():
            last = self._last[known.alias]
            yield Metric(
                name=known.name,
                alias=known.alias,
                timestamp=now if last.timestamp is None else last.timestamp,
                datatype=known.datatype,
                is_null=last.is_null,
                field=last.field,
                value=last.value,
            )

    def _numbered(self, verb: str, device: str, metrics: list[Metric], now: int) -> Told:
        self._seq = (self._seq + 1) % NUMBERS
        return self._told(verb, device, Payload(timestamp=now, metrics=metrics, seq=self._seq))

    def _told(self, verb: str, device: str, payload: Payload) -> Told:
        return Told(str(Topic(self.group, verb, self.node, device)), encode_payload(payload))

    # What it hears.

    def commands(self, device: str, payload: Payload) -> list[Command]:
        """What an NCMD or a DCMD asks for; a value that is none of its type is left out."""
        found: list[Command] = []
        for metric in payload.metrics:
            known = self._by_alias.get(metric.alias or 0)
            if known is None or self.find(device, known.name) is not known:
                known = self.find(device, metric.name or "")
            name = known.name if known is not None else metric.name or ""
            try:
                value = value_of(metric, known.datatype if known is not None else metric.datatype)
            except ValueTypeError:
                continue
            if metric.field != NO_VALUE or metric.is_null:
                found.append(Command(device, name, known, value))
        return found
