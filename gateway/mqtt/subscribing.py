"""What is granted of an MQTT SUBSCRIBE: a reason code for each of its topic filters, which may be 100,000.

A SUBSCRIBE or UNSUBSCRIBE that takes longer than a turn stands in its place among the client's events and goes on.
"""

from collections import deque

from msgspec.structs import replace

from gateway.mqtt.session import MqttSession
from gateway.runtime.turns import TURN_SECONDS
from protocols.mqtt import packets
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topics import SHARE_PREFIX

# A retain handling: send what is retained always, for a new subscription, never (3.8.3.1).
ALWAYS, WHEN_NEW = 0, 1


class Subscribing:
    """A SUBSCRIBE that is being granted. `codes` are those of its filters so far, `mark` is where the answer's promise
    begins (`Answers.mark`). The retained messages follow the answer.
    """

    __slots__ = ("_bridge", "_identifier", "_session", "_to_feed", "_wanted", "codes", "mark", "packet_id")

    def __init__(self, session: MqttSession, packet: packets.Subscribe, bridge: bool, mark: int) -> None:
        identifiers = packet.properties.subscription_identifiers if packet.properties is not None else ()
        self._session = session
        self._wanted = packet.subscriptions
        self._bridge = bridge
        self._identifier = identifiers[0] if identifiers else 0
        self._to_feed: deque[packets.Subscription] = deque()
        self.packet_id = packet.packet_id
        self.mark = mark
        self.codes: list[int] = []

    @property
    def is_granted(self) -> bool:
        """Whether each filter has its code."""
        return len(self.codes) == len(self._wanted)

    def grant_some(self) -> str | None:
        """Grant a turn's worth; returns what is wrong with the packet, if so."""
        clock = self._session.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while not self.is_granted:
            asked = self._wanted[len(self.codes)]
            shared = asked.topic_filter.startswith(SHARE_PREFIX)
            wanted = replace(asked, no_local=not shared, retain_as_published=True) if self._bridge else asked
            if wanted.no_local and shared:  # [MQTT-3.8.3-4]
                return "SUBSCRIBE: a shared subscription cannot be no-local"
            code, feed = grant(self._session, wanted, self._identifier)
            self.codes.append(code)
            if feed:
                self._to_feed.append(wanted)
            if clock() > until:
                break
        return None

    def feed_some(self) -> bool:
        """Have retained messages sent for a turn's worth of subscriptions; whether that was the last."""
        clock = self._session.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while self._to_feed:
            self._session.send_retained(self._to_feed.popleft(), self._identifier)
            if clock() > until:
                break
        return not self._to_feed


class Unsubscribing:
    """An UNSUBSCRIBE that is being done; see `Subscribing`."""

    __slots__ = ("_session", "_topic_filters", "codes", "mark", "packet_id")

    def __init__(self, session: MqttSession, packet: packets.Unsubscribe, mark: int) -> None:
        self._session = session
        self._topic_filters = packet.topic_filters
        self.packet_id = packet.packet_id
        self.mark = mark
        self.codes: list[int] = []

    def go_on(self) -> bool:
        """Do a turn's worth; whether that was the last."""
        session, wanted = self._session, self._topic_filters
        clock = session.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while len(self.codes) < len(wanted):
            known = session.unsubscribe(wanted[len(self.codes)])
            self.codes.append(ReasonCode.SUCCESS if known else ReasonCode.NO_SUBSCRIPTION_EXISTED)
            if clock() > until:
                break
        return len(self.codes) == len(wanted)


def grant(session: MqttSession, wanted: packets.Subscription, identifier: int) -> tuple[ReasonCode, bool]:
    """Subscribe; returns the reason code, and whether retained messages are to follow."""
    topic_filter = wanted.topic_filter
    limits = session.runtime.settings
    most = limits.limits.max_subscriptions
    if session.identity is not None:
        most = session.identity.limits.subscriptions(most)
    if topic_filter.count(b"/") >= limits.mqtt.max_topic_levels:
        return ReasonCode.TOPIC_FILTER_INVALID, False
    if most and topic_filter not in session.subscriptions and len(session.subscriptions) >= most:
        return ReasonCode.QUOTA_EXCEEDED, False
    if not session.has_room_for(topic_filter):
        return ReasonCode.QUOTA_EXCEEDED, False
    if session.store is not None and session.account.durability.obstacle():
        return ReasonCode.QUOTA_EXCEEDED, False
    is_new = session.subscribe(wanted, identifier)
    if is_new is None:
        session.log_denied("not-permitted", topic_filter)
        return ReasonCode.NOT_AUTHORIZED, False
    feed = wanted.retain_handling == ALWAYS or (wanted.retain_handling == WHEN_NEW and is_new)
    return ReasonCode(wanted.qos), feed
