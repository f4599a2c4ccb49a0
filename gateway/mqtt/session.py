"""MQTT session: subscriptions and messages on their way to one client id, with or without a client."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import trio

from gateway.accounts.account import Account
from gateway.accounts.client_facts import ClientFacts
from gateway.accounts.identity import Identity
from gateway.accounts.permissions import EVERYTHING, NO_RIGHTS, Permissions
from gateway.accounts.review import review
from gateway.accounts.withdrawal import withdraw
from gateway.dataplane.mqtt_receivers import AWAY, MqttPort, MqttRoute, MqttShare, MqttSubscription
from gateway.dataplane.mqtt_window import QueuedPublish
from gateway.dataplane.port import Port, Receiver
from gateway.mqtt.messages import expiry_of, publish_packet
from gateway.mqtt.queue import OutgoingQueue
from gateway.mqtt.retained_feed import RetainedFeed
from gateway.runtime.budget import MESSAGE_BYTES, SESSION_BYTES, Holding, subscription_bytes
from gateway.runtime.logs import shown
from gateway.runtime.runtime import Runtime
from gateway.storage.published_ids import name_publisher
from gateway.storage.stored_session import StoredWill
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot, SubscriptionSnapshot
from protocols.message import Message
from protocols.mqtt import encoder, packets
from protocols.mqtt.primitives import MQTT_5_0
from protocols.mqtt.reply_subjects import parse_reply
from protocols.mqtt.topics import parse_shared_filter
from protocols.topic_mapping import filter_to_subjects, share_name_to_queue

if TYPE_CHECKING:
    from gateway.storage.session_store import SessionStore

log = logging.getLogger("leafgate.mqtt")

SUBSCRIPTIONS = "subscriptions"
WILLS = "wills"
# Before a filter in the store: it is subscribed to beyond a bridge. No filter has it [MQTT-1.5.4-2].
REMOTE = b"\0"
# Why messages do not get to a client, as the log says it.
OVERSIZED = "larger than its maximum packet size"
SLOW = "it takes messages too slowly"
FULL = "its queue was full while it was away"
NO_MEMORY = "its share of limits.max-memory-bytes was used up"
AS_SUBJECT = bytes.maketrans(b"/+#", b".*>")


class AttachedClient(Protocol):
    """What a session must know of the client that is connected."""

    connection: Connection
    identity: Identity | None
    client_id: bytes
    version: int
    max_packet_size: int
    receive_maximum: int
    topic_alias_maximum: int
    # The gateway that it is, where it bridges or is bridged to; else b"".
    beyond: bytes

    def write(self, data: bytes) -> None: ...

    def take_over(self, heir: Connection) -> None:
        """Another connection is the client now."""


def ignore(session: "MqttSession", cause: str) -> None:
    """A session that has ended loses nothing."""


class QueueLimits(Protocol):
    """How much may wait in a session's queue."""

    @property
    def max_queued_messages(self) -> int: ...

    @property
    def max_queued_bytes(self) -> int: ...


class HeldSubscription(NamedTuple):
    """A subscription as the client asked for it, and the receivers that serve it."""

    wanted: packets.Subscription
    identifier: int
    receivers: list[Receiver]


class MqttSession(MqttPort):
    """What the gateway keeps for one client id in one account.

    `user` is whose it is, empty for nobody's: no other user may have it; `proof` is what was kept of how he was
    recognised (gateway.accounts.token_proof). `client` is the connected client or None.
    `received` holds the identifiers of QoS 2 messages that the client has sent and not yet released. With a `store` the
    session outlives the process. `expiry_seconds` counts from the end of the connection; 0 ends the session with it.
    `expect_replies` is to be called before a message goes out that is to be answered, `lost` when a message does not
    get to the client, with the cause. `limits` are the queue's own where it has some, as a bridge's; `retains`: the
    peer takes retain flags. `remote_filters` are those that the broker beyond a bridge has subscriptions for, with
    their QoS.
    """

    __slots__ = (
        "_lost",
        "_permissions",
        "account",
        "client",
        "client_id",
        "expect_replies",
        "expiry_seconds",
        "feed",
        "holding",
        "key",
        "limits",
        "most_aliases",
        "proof",
        "received",
        "remote_filters",
        "retains",
        "runtime",
        "store",
        "subscriptions",
        "user",
    )

    def __init__(
        self,
        runtime: Runtime,
        account: Account,
        client_id: bytes,
        expect_replies: Callable[[], None],
        lost: Callable[["MqttSession", str], None],
    ) -> None:
        super().__init__(runtime.settings.limits.max_pending_bytes)
        config = runtime.settings.mqtt
        self.runtime = runtime
        self.account = account
        self.expect_replies = expect_replies
        self._lost = lost
        self._permissions = EVERYTHING
        self.client_id = client_id
        self.user = ""
        self.proof = b""
        self.client: AttachedClient | None = None
        self.expiry_seconds = 0
        self.key = 0
        self.store: SessionStore | None = None
        self.subscriptions: dict[bytes, HeldSubscription] = {}
        self.outgoing: OutgoingQueue = OutgoingQueue(config.max_queued_messages, config.max_queued_bytes, self.pump)
        self.holding = self.outgoing.holding = Holding(runtime.budget)
        self.holding.add("sessions", session_bytes(client_id))
        self.received: set[int] = set()
        self.feed: RetainedFeed | None = None
        self.limits: QueueLimits | None = None
        self.retains = True
        self.remote_filters: dict[bytes, int] = {}
        # How many topics may have an alias at the client.
        self.most_aliases = 0

    @property
    def identity(self) -> Identity | None:
        """Who the connected client was admitted as."""
        return self.client.identity if self.client is not None else None

    def client_facts(self) -> ClientFacts:
        """Who the client is, for services of other accounts."""
        facts = ClientFacts(kind="Client", type="mqtt", client_id=self.client_id.decode("utf-8", "replace"))
        client = self.client
        if client is None:
            return facts
        connection, identity = client.connection, client.identity
        return replace(
            facts,
            start=time.time() - (trio.current_time() - connection.started),
            host=str(connection.address[0]),
            cid=connection.cid,
            user=identity.user if identity is not None else "",
        )

    def belong_to(self, user: str, proof: bytes) -> None:
        """Be this user's from now on."""
        self.holding.add("sessions", len(proof) - len(self.proof))
        self.user = user
        self.proof = proof

    # Connection and disconnection.

    def attach(self, client: AttachedClient) -> None:
        """A client is there; call `pump` when it knows."""
        self.client = client
        self.version = client.version
        self.outbox = client.connection.outbox
        self.max_packet_size = client.max_packet_size
        self.beyond = client.beyond
        self.aliases = None
        self._take_settings()

    def take_rights(self, permissions: Permissions) -> None:
        """What the client may do from now on; subscriptions that it may not have any more are over. Where there is no
        such user at the moment they rest.
        """
        self.replies = permissions.make_replies()
        if permissions is self._permissions:
            return
        self._permissions = permissions
        self.may_publish = permissions.publishing
        self.may_receive = permissions.receiving
        review(self.runtime.turns, list(self.subscriptions), self._review)

    def _review(self, topic_filter: bytes) -> None:
        held = self.subscriptions.get(topic_filter)
        if held is None:
            return
        if self._permissions is NO_RIGHTS:  # Until there is such a user again, or the session is over.
            for receiver in held.receivers:
                receiver.filtered = True
                self.account.router.refresh(receiver)
            return
        receivers = self._receivers(held.wanted, held.identifier)
        if receivers is None:
            self.log_denied("subscription-over", topic_filter)
            self.unsubscribe(topic_filter)
        elif [(one.subject, one.filtered) for one in receivers] != [
            (one.subject, one.filtered) for one in held.receivers
        ]:
            self._withdraw(held)
            for receiver in receivers:
                self.account.router.subscribe(receiver)
            self.subscriptions[topic_filter] = held._replace(receivers=receivers)
        else:
            for receiver in held.receivers:
                if receiver.filtered:
                    self.account.router.refresh(receiver)

    def log_denied(self, event: str, topic_filter: bytes) -> None:
        """Tell of a subscription that is not permitted."""
        self.runtime.repeats.log(
            log,
            logging.WARNING,
            (event, self),
            "event=%s client-id=%s filter=%s detail='it may not be subscribed to'",
            event,
            shown(self.client_id),
            shown(topic_filter),
        )

    def detach(self) -> None:
        """The client has gone."""
        self.client = None
        self.version = AWAY
        self.outbox = None
        self.aliases = None
        self.beyond = b""
        if self.feed is not None:
            self.feed.stop()
            self.feed = None
        self.outgoing.window = 0
        self.outgoing.withdraw()

    def end(self) -> None:
        """Give everything back. A message that is just being routed does not find its way in any more."""
        held, self.subscriptions = self.subscriptions, {}
        receivers = (receiver for one in held.values() for receiver in one.receivers)
        withdraw(self.runtime.turns, self.account.router, receivers)
        self._lost = ignore
        self.outgoing.close()
        self.holding.release()
        self.store = None
        self.durable = False

    def forget_received(self) -> None:
        """The peer has begun anew: it knows of no QoS 2 message that is to be released."""
        received, self.received = self.received, set()
        if self.store is not None:
            for packet_id in received:
                self.store.forget_received(self.key, packet_id)

    def note_remote(self, held: dict[bytes, int]) -> None:
        """The broker beyond a bridge has these subscriptions now."""
        before, self.remote_filters = self.remote_filters, dict(held)
        if self.store is None:
            return
        for topic_filter in before.keys() - held.keys():
            self.store.delete_subscription(self.key, REMOTE + topic_filter)
        for topic_filter, qos in held.items():
            if before.get(topic_filter) != qos:
                self.store.save_subscription(self.key, packets.Subscription(REMOTE + topic_filter, qos))

    def restore_subscription(self, subscription: packets.Subscription, identifier: int) -> None:
        """Take up one that an earlier run has stored."""
        if subscription.topic_filter.startswith(REMOTE):
            self.remote_filters[subscription.topic_filter.removeprefix(REMOTE)] = subscription.qos
        else:
            self.subscribe(subscription, identifier)

    def keep_in(self, store: "SessionStore") -> None:
        """From now on the session outlives the process."""
        self.store = self.outgoing.store = store
        self.durable = True

    def settings_changed(self) -> None:
        """Limits are others: there may be room for what waits."""
        self._take_settings()
        self.pump()

    def _take_settings(self) -> None:
        settings = self.runtime.settings
        self.set_limit(settings.limits.max_pending_bytes)
        limits = self.limits or settings.mqtt
        self.outgoing.max_messages = limits.max_queued_messages
        self.outgoing.max_bytes = limits.max_queued_bytes
        client = self.client
        if client is not None:
            self.outgoing.window = min(settings.mqtt.max_inflight, client.receive_maximum)
            self.most_aliases = min(settings.mqtt.max_topic_aliases, client.topic_alias_maximum)
            if self.most_aliases and self.aliases is None:
                self.aliases = {}

    def end_count(self) -> Port:
        """What was counted of a client that leaves; for the next one it is counted anew."""
        counted = Port(None)
        counted.in_messages, counted.in_bytes = self.in_messages, self.in_bytes
        self.in_messages = self.in_bytes = 0
        return counted

    def describe(self, user: str = "") -> PeerSnapshot:
        """`user` is whom its client was admitted as."""
        return PeerSnapshot(
            type="mqtt",
            account=self.account.name,
            user=user,
            mqtt_client=self.client_id.decode(errors="replace"),
            subscriptions=len(self.subscriptions),
            list_subscriptions=self._list_subscriptions,
        )

    def _list_subscriptions(self) -> Iterator[SubscriptionSnapshot]:
        for topic_filter, held in list(self.subscriptions.items()):
            for receiver in held.receivers:
                queue = receiver.queue.decode(errors="replace")
                yield SubscriptionSnapshot(receiver.subject.decode(errors="replace"), topic_filter.decode(), queue)

    # What routing calls (gateway.dataplane.port.Port, mqtt_receivers.MqttPort).

    def publisher(self) -> bytes:
        client = self.client
        host = str(client.connection.address[0]) if client is not None else ""
        identity = self.identity
        return name_publisher("mqtt", host, identity.user if identity is not None else "", self.client_id)

    def combine(self, subject: bytes, receivers: list[Receiver]) -> Receiver | None:
        topic = self.topic_for(subject)
        if topic is None:
            return None
        matching: list[MqttSubscription] = []
        for receiver in receivers:
            assert isinstance(receiver, MqttSubscription)
            # A filter that begins with a wildcard does not match topics that begin with $ [MQTT-4.7.2-1].
            if not (subject.startswith(b"$") and receiver.subject.startswith((b"*", b">"))):
                matching.append(receiver)
        if not matching:
            return None
        route = self._route(subject, topic, matching)
        others = [one for one in matching if not one.no_local]
        if len(others) < len(matching):
            route.selective = True
            route.own = self._route(subject, topic, others) if others else None
        return route

    def _route(self, subject: bytes, topic: bytes, matching: list[MqttSubscription]) -> MqttRoute:
        """One delivery for all of them, with the highest QoS and all identifiers [MQTT-3.3.4-2] to [MQTT-3.3.4-5]."""
        return MqttRoute(
            self,
            subject,
            topic,
            max(one.qos for one in matching),
            any(one.retain_as_published for one in matching),
            tuple(one.identifier for one in matching if one.identifier),
        )

    def expect_answer(self, message: Message) -> None:
        if self.replies is not None:
            self.replies.note(parse_reply(message.reply, self.runtime.names.gateway_id)[0])

    def deliver_reliably(self, message: Message, route: MqttRoute) -> bool:
        away = self.client is None
        qos = min(message.qos, route.qos)
        retain = route.retain_as_published and message.is_retained()
        expires_at = expiry_of(message, self.account.clock)
        outgoing = self.outgoing
        if not outgoing.add(message, route.topic, qos, retain, route.identifiers, expires_at, away):
            if not message.refused:  # That is counted for all at once.
                self.dropped += 1
                self._lost(self, NO_MEMORY if outgoing.lacks_memory else FULL if away else SLOW)
            return False
        if not away and len(outgoing.sent) < outgoing.window:
            self.pump()
        return True

    def drop(self, topic: bytes, oversized: bool) -> None:
        super().drop(topic, oversized)
        self._lost(self, OVERSIZED if oversized else SLOW)

    def encode_unshared(self, message: Message, route: MqttRoute) -> bytes:
        retain = route.retain_as_published and message.is_retained()
        return self._packet(message, route.topic, 0, 0, retain, False, route.identifiers, 0.0)

    # Subscriptions.

    def subscribe(self, wanted: packets.Subscription, identifier: int) -> bool | None:
        """Subscribe, or replace a subscription [MQTT-3.8.4-3]; True when it is new, None when it has no subject or is
        not permitted.
        """
        receivers = self._receivers(wanted, identifier)
        if receivers is None:
            return None
        known = self.subscriptions.pop(wanted.topic_filter, None)
        if known is not None:
            self._withdraw(known)
        for receiver in receivers:
            self.account.router.subscribe(receiver)
        self.subscriptions[wanted.topic_filter] = HeldSubscription(wanted, identifier, receivers)
        if known is None:
            self.holding.add(SUBSCRIPTIONS, filter_bytes(wanted.topic_filter))
        if self.store is not None:
            self.store.save_subscription(self.key, wanted, identifier)
        return known is None

    def has_room_for(self, topic_filter: bytes) -> bool:
        """Whether the client may subscribe to one filter more."""
        if topic_filter in self.subscriptions:
            return True
        size = filter_bytes(topic_filter)
        most = self.runtime.settings.limits.max_subscription_bytes
        if most and self.holding.of(SUBSCRIPTIONS) + size > most:
            return False
        return self.runtime.budget.grants(self.holding.bytes, size)

    def hold_will(self, will: StoredWill | None) -> None:
        """What is kept for the client's end."""
        size = will_bytes(will.message) if will is not None else 0
        if size or self.holding.of(WILLS):
            self.holding.add(WILLS, size - self.holding.of(WILLS))

    def unsubscribe(self, topic_filter: bytes) -> bool:
        """False when there is no such subscription."""
        held = self.subscriptions.pop(topic_filter, None)
        if held is None:
            return False
        self._withdraw(held)
        self.holding.add(SUBSCRIPTIONS, -filter_bytes(topic_filter))
        if self.feed is not None:
            self.feed.cancel(topic_filter)
        if self.store is not None:
            self.store.delete_subscription(self.key, topic_filter)
        return True

    def _receivers(self, wanted: packets.Subscription, identifier: int) -> list[Receiver] | None:
        shared = parse_shared_filter(wanted.topic_filter)
        subjects = filter_to_subjects(shared[1] if shared else wanted.topic_filter)
        if subjects is None:
            return None
        published = wanted.retain_as_published
        queue = share_name_to_queue(shared[0]) if shared is not None else b""
        permissions = self._permissions
        # Who may have all below `a` need not be allowed `a` itself to subscribe to `a/#`.
        if not permissions.may_subscribe(subjects[0], queue):
            return None
        receivers: list[Receiver] = []
        for subject in subjects:
            if subject is not subjects[0] and not permissions.may_subscribe(subject, queue):
                continue
            receiver: Receiver
            if shared is None:
                receiver = MqttSubscription(self, subject, wanted.qos, wanted.no_local, published, identifier)
            else:
                receiver = MqttShare(self, subject, queue, wanted.qos, published, identifier)
            receiver.filtered = permissions.filters(subject)
            receivers.append(receiver)
        return receivers

    def _withdraw(self, held: HeldSubscription) -> None:
        for receiver in held.receivers:
            self.account.router.unsubscribe(receiver)

    # Retained messages.

    def send_retained(self, wanted: packets.Subscription, identifier: int) -> None:
        """Send what is retained for a subscription, as fast as the client takes it."""
        if self.feed is None:
            self.feed = RetainedFeed(self)
        self.feed.add(wanted, identifier)

    def deliver_retained(self, message: Message, qos: int, identifier: int, expires_at: float) -> bool:
        """Send a retained message; False when it has to wait for room."""
        topic = self.topic_for(message.subject)
        outbox = self.outbox
        if not self.receives(message.subject):
            return True
        if topic is None or outbox is None or (expires_at and expires_at <= self.account.clock()):
            return True
        identifiers = (identifier,) if identifier else ()
        if qos:
            outgoing = self.outgoing
            if len(outgoing) and len(outgoing) >= outgoing.max_messages // 2:
                return False
            if self.durable and not self.account.durability.reserve(message, 1, False):
                return False
            if not outgoing.add(message, topic, qos, True, identifiers, expires_at, away=False):
                return False
            self.pump()
            return True
        if outbox.pending() > self.high_water:
            outbox.flush()
            if self.outbox is not outbox:  # The flush has found that the client is gone.
                return True
            if outbox.pending() > self.high_water:
                return False
        self._append(self._packet(message, topic, 0, 0, True, False, identifiers, expires_at), topic, message)
        return True

    # Messages to the client.

    def pump(self) -> None:
        """Send what waits, as far as window and client allow."""
        outbox = self.outbox
        if outbox is None:
            return
        outgoing = self.outgoing
        # Each flush can find that the client is gone.
        while self.outbox is outbox:
            # A slow client gets no more than it can take; its acknowledgements bring us back here.
            if outgoing.sent and outbox.pending() > self.high_water:
                outbox.flush()
                if outbox.pending() > self.high_water or self.outbox is not outbox:
                    return
            publish = outgoing.take()
            if publish is None:
                return
            message = publish.message
            # It may have waited since other rights were in force.
            if self.may_receive is not None and message is not None and not self.receives(message.subject):
                self._give_up(publish)
            elif not self.send_plain(publish):
                self._send(publish)

    def acknowledged(self) -> None:
        """The client has acknowledged messages: there is room for others."""
        self.pump()
        if self.feed is not None:
            self.feed.wake()

    def _send(self, publish: QueuedPublish) -> None:
        """Send a message that is in flight, or its release."""
        assert self.client is not None
        message = publish.message
        if message is None:
            self.client.write(encoder.encode_pubrel(self.version, publish.packet_id))
            return
        topic = publish.topic or self.topic_for(message.subject)
        # What the client was sent before it expired is sent again all the same [MQTT-4.4.0-1].
        begun = publish.repeated and not publish.doubtful
        if topic is None or (publish.expires_at and publish.expires_at <= self.account.clock() and not begun):
            self._give_up(publish)
            return
        if message.reply and self.version == MQTT_5_0:
            self.expect_answer(message)
        packet = self._packet(
            message,
            topic,
            publish.qos,
            publish.packet_id,
            publish.retain,
            publish.repeated,
            publish.identifiers,
            publish.expires_at,
        )
        if not self._append(packet, topic, message):
            self._give_up(publish)

    def _give_up(self, publish: QueuedPublish) -> None:
        """Be done with a message that is not sent. Of a QoS 2 one the client may know: a PUBREL makes it forget."""
        if publish.qos == 2 and publish.repeated:
            self.outgoing.release(publish.packet_id)
            self._send(publish)
        else:
            self.outgoing.acknowledge(publish.packet_id, publish.qos)

    def _append(self, packet: bytes, topic: bytes, message: Message) -> bool:
        """False for a packet that is larger than the client takes: it counts as sent [MQTT-3.1.2-25]."""
        assert self.outbox is not None
        if self.max_packet_size and len(packet) > self.max_packet_size:
            self.drop(topic, True)
            return False
        self.outbox.append_packet(packet, message.size - message.header_size)
        return True

    def _packet(
        self,
        message: Message,
        topic: bytes,
        qos: int,
        packet_id: int,
        retain: bool,
        dup: bool,
        identifiers: tuple[int, ...],
        expires_at: float,
    ) -> bytes:
        retain = retain and self.retains
        if self.version != MQTT_5_0:
            return encoder.encode_publish(self.version, topic, message.payload(), qos, packet_id, retain, dup)
        remaining = max(math.ceil(expires_at - self.account.clock()), 0) if expires_at else None
        alias, topic = self._alias(topic)
        return publish_packet(
            message,
            topic,
            qos,
            packet_id,
            retain,
            dup,
            identifiers,
            remaining,
            alias,
            self.runtime.names.gateway_id,
            to_gateway=self.beyond != b"",
        )

    def _alias(self, topic: bytes) -> tuple[int, bytes]:
        """The alias of a topic or 0, and the topic as it goes out: empty once the client knows the alias."""
        aliases = self.aliases
        if aliases is None:
            return 0, topic
        alias = aliases.get(topic)
        if alias is not None:
            return alias, b"" if alias else topic
        if len(aliases) >= self.most_aliases:
            return 0, topic
        alias = aliases[topic] = len(aliases) + 1
        return alias, topic


def filter_bytes(topic_filter: bytes) -> int:
    """About how much memory a subscription takes."""
    # What ends with all levels below is two subscriptions, as in `a/#`.
    count = 2 if topic_filter.endswith(b"#") else 1
    return count * subscription_bytes(topic_filter.translate(AS_SUBJECT))


def session_bytes(client_id: bytes) -> int:
    """About how much memory a session takes with nothing in it."""
    return SESSION_BYTES + 4 * len(client_id)


def will_bytes(message: Message) -> int:
    """About how much memory a will takes."""
    return message.size + len(message.subject) + len(message.reply) + MESSAGE_BYTES
