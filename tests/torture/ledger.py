"""What the torture's publishers were promised and what its subscribers got, and the complaints that follow from both.

A message is known by its publisher and its number; its payload tells both. One publisher writes to a topic.
"""

from collections import defaultdict
from dataclasses import dataclass, field

Key = tuple[int, int]


@dataclass(slots=True)
class Sent:
    """`acknowledged` with the PUBACK or PUBREC, `completed` with the PUBACK or PUBCOMP."""

    topic: bytes
    qos: int
    retain: bool
    acknowledged: bool = False
    completed: bool = False


@dataclass(slots=True)
class Arrival:
    topic: bytes
    qos: int
    count: int = 1


@dataclass(slots=True)
class Inbox:
    """What reached the application behind one persistent subscription, in the order of first arrivals."""

    name: str
    granted_qos: int
    arrivals: dict[Key, Arrival] = field(default_factory=dict)
    duplicates: int = 0

    def take(self, key: Key, topic: bytes, qos: int) -> None:
        arrival = self.arrivals.get(key)
        if arrival is None:
            self.arrivals[key] = Arrival(topic, qos)
        else:
            arrival.count += 1
            self.duplicates += 1


class Ledger:
    """`faults` are sentences noted while the torture ran; `complaints` adds what only the end can show."""

    def __init__(self) -> None:
        self.sent: dict[Key, Sent] = {}
        self.inboxes: list[Inbox] = []
        self.faults: list[str] = []
        self.refused = 0
        self.last_sent: dict[bytes, int] = {}
        self.last_kept: dict[bytes, int] = {}

    def send(self, key: Key, sent: Sent) -> None:
        self.sent[key] = sent
        if sent.retain:
            self.last_sent[sent.topic] = key[1]

    def acknowledge(self, key: Key) -> None:
        self.sent[key].acknowledged = True

    def complete(self, key: Key) -> None:
        sent = self.sent[key]
        sent.acknowledged = sent.completed = True
        if sent.retain:
            self.last_kept[sent.topic] = key[1]

    def refuse(self) -> None:
        """The server said that it did not take a message: nothing was promised."""
        self.refused += 1

    def acknowledged(self) -> int:
        """How many messages were promised to be kept."""
        return sum(sent.acknowledged for sent in self.sent.values())

    def missing(self, inbox: Inbox) -> list[Key]:
        """Acknowledged messages that have not reached a subscriber."""
        return [key for key, sent in self.sent.items() if sent.acknowledged and key not in inbox.arrivals]

    def complain_of_retained(self, values: dict[bytes, int], kept_before: dict[bytes, int]) -> None:
        """`values` are numbers read from the server; `kept_before` was `last_kept` before they were asked for."""
        for topic, number in kept_before.items():
            got = values.get(topic)
            # A later one may stand: it was on its way.
            if got is None or not number <= got <= self.last_sent[topic]:
                self.faults.append(
                    f"retained {topic.decode()}: {got} instead of {number} (last sent: {self.last_sent[topic]})"
                )

    def complaints(self) -> list[str]:
        found = list(self.faults)
        for inbox in self.inboxes:
            found += [f"{inbox.name}: lost {key} {self.sent[key]}" for key in self.missing(inbox)]
            found += self._doubtful(inbox)
            found += self._out_of_order(inbox)
        return found

    def _doubtful(self, inbox: Inbox) -> list[str]:
        found = []
        for key, arrival in inbox.arrivals.items():
            sent = self.sent.get(key)
            if sent is None or sent.topic != arrival.topic:
                found.append(f"{inbox.name}: {key} under {arrival.topic.decode()} was never sent")
            elif arrival.qos != min(sent.qos, inbox.granted_qos):
                found.append(f"{inbox.name}: {key} came with QoS {arrival.qos}, was sent with {sent.qos}")
            elif arrival.qos == 2 and arrival.count > 1:
                found.append(f"{inbox.name}: {key} came {arrival.count} times with QoS 2")
        return found

    def _out_of_order(self, inbox: Inbox) -> list[str]:
        """First arrivals by publisher, topic and QoS of the PUBLISH must ascend [MQTT-4.6.0-6]."""
        highest: dict[tuple[int, bytes, int], int] = defaultdict(int)
        found = []
        for (publisher, number), arrival in inbox.arrivals.items():
            sent = self.sent.get((publisher, number))
            row = publisher, arrival.topic, sent.qos if sent is not None else 0
            if number < highest[row]:
                found.append(f"{inbox.name}: {(publisher, number)} came after {highest[row]} of {row}")
            highest[row] = max(highest[row], number)
        return found
