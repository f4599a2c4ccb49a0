"""HostView: what a host application knows of edge nodes out of what they say, and when one has to be born anew.

    unknown ──NBIRTH──> online ──NDEATH of its bdSeq──> offline ──NBIRTH──> online
    unknown, offline ──anything else──> asked for a rebirth

Aliases and data types are those of the last births. A number that is missing means that something was not heard; then,
and where an alias is not known, a rebirth is asked for, no more often than `rebirth_seconds` of one node.
"""

from collections.abc import Iterator

from msgspec import Struct

from protocols.sparkplug.edge_node import BD_SEQ, NODE, NUMBERS, REBIRTH
from protocols.sparkplug.payload import Metric, Payload, Property, encode_payload
from protocols.sparkplug.topics import DBIRTH, DDATA, DDEATH, NBIRTH, NCMD, NDATA, NDEATH, Topic
from protocols.sparkplug.values import TYPES, UNKNOWN, set_value

MOST_NODES = 2_000
# Of all nodes together, and each of their devices counts as one more.
MOST_METRICS = 200_000
BIRTHS = (NBIRTH, DBIRTH)


class Definition(Struct):
    """A metric, as its birth tells of it; `alias` None where it has none."""

    name: str
    datatype: int
    alias: int | None


class Reading(Struct):
    """What a metric says; `timestamp` in milliseconds, None where nobody says when. `is_birth`: a birth says so."""

    device: str
    name: str
    datatype: int
    metric: Metric
    timestamp: int | None
    is_birth: bool
    properties: dict[str, Property] | None


class Presence(Struct):
    """A node, or a device of it, is there or is not."""

    device: str
    is_online: bool


class Ask(Struct):
    """The node is to be asked for a rebirth, by this message."""

    topic: str
    payload: bytes
    reason: str


class Dropped(Struct):
    """A metric that nothing is known of, or a message that cannot be taken."""

    reason: str
    count: int = 1


Event = Reading | Presence | Ask | Dropped

UNKNOWN_NODE = "its birth was not heard"
UNKNOWN_ALIAS = "an alias is not known"
GAP = "a message is missing"
TOO_MANY = f"there are more than {MOST_NODES} edge nodes, or {MOST_METRICS} metrics"
NO_NAME = "a metric in a birth has no name"


class Node:
    """One edge node. `seq` is the number that was heard last."""

    __slots__ = ("aliases", "asked_at", "bd_seq", "devices", "is_online", "names", "seq")

    def __init__(self) -> None:
        self.is_online = False
        self.bd_seq: int | None = None
        self.seq = 0
        # Metrics by alias, with their devices, and by name, of each device.
        self.aliases: dict[int, tuple[str, Definition]] = {}
        self.names: dict[str, dict[str, Definition]] = {}
        # Those that are there, and that were born since the node was.
        self.devices: set[str] = set()
        self.asked_at: float | None = None

    def size(self) -> int:
        """What it counts as."""
        return len(self.names) + sum(map(len, self.names.values()))

    def forget(self, device: str) -> int:
        """What is known of a device's metrics is over; returns what that counted as."""
        names = self.names.pop(device, None)
        if names is None:
            return 0
        for definition in names.values():
            if definition.alias is not None:
                self.aliases.pop(definition.alias, None)
        return 1 + len(names)


class HostView:
    """`receive` takes messages in the order in which they came."""

    def __init__(self, rebirth_seconds: float) -> None:
        self.nodes: dict[tuple[str, str], Node] = {}
        self._rebirth_seconds = rebirth_seconds
        self._metrics = 0

    def definition(self, group: str, node: str, device: str, name: str) -> Definition | None:
        """What is known of a metric; None for one that there is none of."""
        known = self.nodes.get((group, node))
        return known.names.get(device, {}).get(name) if known is not None else None

    def receive(self, topic: Topic, payload: Payload, now: float) -> list[Event]:
        """`now` counts seconds, from whenever."""
        if topic.verb not in (NBIRTH, NDEATH, NDATA, DBIRTH, DDEATH, DDATA):
            return []
        key = topic.group, topic.node
        node = self.nodes.get(key)
        if node is None:
            if topic.verb == NDEATH:
                return []
            if len(self.nodes) >= MOST_NODES:
                return [Dropped(TOO_MANY)]
            node = self.nodes[key] = Node()
        if topic.verb == NBIRTH:
            return [*self._node_birth(node, payload)]
        if topic.verb == NDEATH:
            return [*self._node_death(node, payload)]
        return [*self._numbered(node, topic, payload, now)]

    def lose(self) -> list[tuple[str, str, Event]]:
        """The broker is gone, so nothing is known of anybody any more: by group and node."""
        told: list[tuple[str, str, Event]] = []
        for (group, name), node in self.nodes.items():
            told += [(group, name, event) for event in self._offline(node)]
        self.nodes.clear()
        self._metrics = 0
        return told

    def _node_birth(self, node: Node, payload: Payload) -> Iterator[Event]:
        bd_seq = _bd_seq(payload)
        if not node.is_online or bd_seq != node.bd_seq:  # A rebirth is no reason to call devices away.
            yield from self._devices_offline(node)
        self._metrics -= node.size()
        node.names.clear()
        node.aliases.clear()
        node.bd_seq = bd_seq
        node.seq = payload.seq or 0
        news = not node.is_online
        node.is_online = True
        if news:
            yield Presence(NODE, True)
        yield from self._birth(node, NODE, payload)

    def _node_death(self, node: Node, payload: Payload) -> Iterator[Event]:
        if node.is_online and _bd_seq(payload) == node.bd_seq:  # Else it is that of a connection before.
            yield from self._offline(node)

    def _offline(self, node: Node) -> Iterator[Event]:
        yield from self._devices_offline(node)
        if node.is_online:
            node.is_online = False
            yield Presence(NODE, False)

    def _devices_offline(self, node: Node) -> Iterator[Event]:
        for device in sorted(node.devices):
            yield Presence(device, False)
        node.devices.clear()

    def _numbered(self, node: Node, topic: Topic, payload: Payload, now: float) -> Iterator[Event]:
        reason = ""
        if not node.is_online:
            reason = UNKNOWN_NODE
        elif payload.seq is not None:
            if payload.seq != (node.seq + 1) % NUMBERS:
                reason = GAP
            node.seq = payload.seq
        device = topic.device
        if topic.verb == DBIRTH and node.is_online:
            self._metrics -= node.forget(device)
            if self._metrics < MOST_METRICS:
                if device not in node.devices:
                    node.devices.add(device)
                    yield Presence(device, True)
                yield from self._birth(node, device, payload)
            else:
                yield Dropped(TOO_MANY)
        elif topic.verb == DDEATH:
            if device in node.devices:
                node.devices.discard(device)
                yield Presence(device, False)
        elif topic.verb in (NDATA, DDATA):
            unknown = 0
            for metric in payload.metrics:
                reading = _reading(node, device, metric, payload)
                if reading is None:
                    unknown += 1
                else:
                    yield reading
            if unknown:
                reason = reason or UNKNOWN_ALIAS
                yield Dropped(reason, unknown)
        if reason and (node.asked_at is None or now - node.asked_at >= self._rebirth_seconds):
            node.asked_at = now
            yield Ask(str(Topic(topic.group, NCMD, topic.node)), rebirth_request(payload.timestamp), reason)

    def _birth(self, node: Node, device: str, payload: Payload) -> Iterator[Event]:
        names = node.names[device] = {}
        self._metrics += 1
        for metric in payload.metrics:
            if metric.name is None:
                yield Dropped(NO_NAME)
                continue
            if metric.name not in names:
                if self._metrics >= MOST_METRICS:
                    yield Dropped(TOO_MANY)
                    continue
                self._metrics += 1
            definition = names[metric.name] = Definition(metric.name, metric.datatype, metric.alias)
            if metric.alias is not None:
                node.aliases[metric.alias] = device, definition
            if device or metric.name not in (BD_SEQ, REBIRTH):
                yield _made(device, definition, metric, payload, is_birth=True)


def _reading(node: Node, device: str, metric: Metric, payload: Payload) -> Reading | None:
    """None for a metric that cannot be told from others, or that nothing is known of."""
    definition = None
    if metric.alias is not None:
        whose, definition = node.aliases.get(metric.alias, ("", None))
        if definition is not None and whose != device:
            definition = None
    if definition is None and metric.name:
        definition = node.names.get(device, {}).get(metric.name)
        if definition is None and metric.datatype != UNKNOWN:
            definition = Definition(metric.name, metric.datatype, None)
    return None if definition is None else _made(device, definition, metric, payload, is_birth=False)


def _made(device: str, definition: Definition, metric: Metric, payload: Payload, is_birth: bool) -> Reading:
    timestamp = payload.timestamp if metric.timestamp is None else metric.timestamp
    datatype = definition.datatype or metric.datatype
    return Reading(device, definition.name, datatype, metric, timestamp, is_birth, metric.properties)


def _bd_seq(payload: Payload) -> int | None:
    """The number that joins a death to its birth."""
    for metric in payload.metrics:
        if metric.name == BD_SEQ and type(metric.value) is int:
            return metric.value
    return None


def rebirth_request(timestamp: int | None) -> bytes:
    metric = Metric(name=REBIRTH, timestamp=timestamp)
    set_value(metric, TYPES["Boolean"], True)
    return encode_payload(Payload(timestamp=timestamp, metrics=[metric]))


def command(definition: Definition, value: object, now: int) -> bytes:
    """The payload of an NCMD or a DCMD that writes a metric. Raises ValueTypeError."""
    metric = Metric(timestamp=now)
    if definition.alias is None:
        metric.name = definition.name
    else:  # tck-id-payloads-alias-data-cmd-requirement
        metric.alias = definition.alias
    set_value(metric, definition.datatype, value)
    return encode_payload(Payload(timestamp=now, metrics=[metric]))
