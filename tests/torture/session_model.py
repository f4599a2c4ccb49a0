"""What MQTT promises about sessions and retained messages, for one action at a time: the walks' measure."""

from dataclasses import dataclass, field

from protocols.mqtt.packets import Subscription


@dataclass(frozen=True)
class Expected:
    """A message that a client must get. `retain` is None where subscriptions that disagree about it overlap."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool | None
    identifiers: tuple[int, ...] = ()


@dataclass
class ModelSession:
    """`acknowledged` are QoS 1 messages that the client has had: after a crash they may come again, as duplicates."""

    version: int
    lasting: bool
    subscriptions: dict[bytes, tuple[Subscription, int]] = field(default_factory=dict)
    queue: list[Expected] = field(default_factory=list)
    acknowledged: set[tuple[bytes, bytes]] = field(default_factory=set)

    def keep_what_lasts(self) -> None:
        self.queue = [one for one in self.queue if one.qos]


class Model:
    """Sessions by client, who is connected, and retained messages by topic."""

    def __init__(self) -> None:
        self.sessions: dict[str, ModelSession] = {}
        self.connected: set[str] = set()
        self.retained: dict[bytes, tuple[bytes, int]] = {}

    def connect(self, name: str, version: int, clean_start: bool, lasting: bool) -> bool:
        """Returns whether the session was there before."""
        self.leave(name)
        session = self.sessions.get(name)
        if session is None or clean_start:
            self.sessions[name] = ModelSession(version, lasting)
        else:
            session.version, session.lasting = version, lasting
        self.connected.add(name)
        return session is not None and not clean_start

    def leave(self, name: str) -> None:
        """The connection ends, if there is one."""
        if name in self.connected:
            self.connected.remove(name)
            if self.sessions[name].lasting:
                self.sessions[name].keep_what_lasts()
            else:
                del self.sessions[name]

    def crash(self) -> None:
        for name in list(self.connected):
            self.leave(name)

    def publish(self, sender: str, topic: bytes, payload: bytes, qos: int, retain: bool) -> None:
        if retain:
            self.retained.pop(topic, None)
            if payload:
                self.retained[topic] = payload, qos
        for name, session in self.sessions.items():
            matching = [
                (wanted, identifier)
                for wanted, identifier in session.subscriptions.values()
                if matches(wanted.topic_filter, topic) and not (wanted.no_local and name == sender)
            ]
            granted = min(qos, max((wanted.qos for wanted, _ in matching), default=0))
            if matching and (granted or name in self.connected):
                flags = {retain and wanted.retain_as_published for wanted, _ in matching}
                shown = flags.pop() if len(flags) == 1 else None
                identifiers = tuple(sorted(identifier for _, identifier in matching if identifier))
                session.queue.append(Expected(topic, payload, granted, shown, identifiers))

    def subscribe(self, name: str, wanted: Subscription, identifier: int) -> list[Expected]:
        """Returns the retained messages that come now, in no certain order."""
        session = self.sessions[name]
        new = wanted.topic_filter not in session.subscriptions
        session.subscriptions[wanted.topic_filter] = wanted, identifier
        if wanted.retain_handling == 2 or (wanted.retain_handling == 1 and not new):
            return []
        told = (identifier,) if identifier else ()
        return [
            Expected(topic, payload, min(wanted.qos, qos), True, told)
            for topic, (payload, qos) in self.retained.items()
            if matches(wanted.topic_filter, topic)
        ]

    def unsubscribe(self, name: str, topic_filter: bytes) -> None:
        del self.sessions[name].subscriptions[topic_filter]


def matches(topic_filter: bytes, topic: bytes) -> bool:
    """MQTT 4.7, written for reading."""
    if topic.startswith(b"$") and topic_filter.startswith((b"+", b"#")):
        return False
    wanted, levels = topic_filter.split(b"/"), topic.split(b"/")
    if wanted[-1] == b"#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(one in (b"+", two) for one, two in zip(wanted, levels, strict=True))
