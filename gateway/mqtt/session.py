"""MQTT session: what is kept for one client id, with or without a client: subscriptions, rights, and who it is."""

import logging
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
from gateway.dataplane.mqtt_receivers import AWAY, MqttShare, MqttSubscription
from gateway.dataplane.port import Port, Receiver
from gateway.mqtt.attached_client import AttachedClient
from gateway.mqtt.retained_feed import RetainedFeed
from gateway.mqtt.sending_port import SendingPort
from gateway.runtime.budget import MESSAGE_BYTES, SESSION_BYTES, Holding, subscription_bytes
from gateway.runtime.logs import shown
from gateway.runtime.runtime import Runtime
from gateway.storage.published_ids import name_publisher
from gateway.storage.stored_session import StoredWill
from gateway.transport.snapshot import PeerSnapshot, SubscriptionSnapshot
from protocols.message import Message
from protocols.mqtt import packets
from protocols.mqtt.topics import parse_shared_filter
from protocols.topic_mapping import filter_to_subjects, share_name_to_queue

if TYPE_CHECKING:
    from gateway.storage.session_store import SessionStore

log = logging.getLogger("leafgate.mqtt")

SUBSCRIPTIONS = "subscriptions"
WILLS = "wills"
# Before a filter in the store: it is subscribed to beyond a bridge. No filter has it [MQTT-1.5.4-2].
REMOTE = b"\0"
AS_SUBJECT = bytes.maketrans(b"/+#", b".*>")


def ignore(port: SendingPort, cause: str) -> None:
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


class MqttSession(SendingPort):
    """What the gateway keeps for one client id in one account.

    `user` is whose it is, empty for nobody's: no other user may have it; `proof` is what was kept of how he was
    recognised (gateway.accounts.token_proof). `received` holds the identifiers of QoS 2 messages that the client has
    sent and not yet released. With a `store` the session outlives the process. `expiry_seconds` counts from the end of
    the connection; 0 ends the session with it. `expect_replies` is to be called before a message goes out that is to be
    answered. `limits` are the queue's own where it has some, as a bridge's. `remote_filters` are those that the broker
    beyond a bridge has subscriptions for, with their QoS.
    """

    __slots__ = (
        "_permissions",
        "expect_replies",
        "expiry_seconds",
        "feed",
        "holding",
        "key",
        "limits",
        "proof",
        "received",
        "remote_filters",
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
        lost: Callable[[SendingPort, str], None],
    ) -> None:
        super().__init__(runtime, account, client_id, lost)
        self.expect_replies = expect_replies
        self._permissions = EVERYTHING
        self.user = ""
        self.proof = b""
        self.expiry_seconds = 0
        self.key = 0
        self.store: SessionStore | None = None
        self.subscriptions: dict[bytes, HeldSubscription] = {}
        self.holding = self.outgoing.holding = Holding(runtime.budget)
        self.holding.add("sessions", session_bytes(client_id))
        self.received: set[int] = set()
        self.feed: RetainedFeed | None = None
        self.limits: QueueLimits | None = None
        self.remote_filters: dict[bytes, int] = {}

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
        self.lost = ignore
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

    def publisher(self) -> bytes:
        client = self.client
        host = str(client.connection.address[0]) if client is not None else ""
        identity = self.identity
        return name_publisher("mqtt", host, identity.user if identity is not None else "", self.client_id)

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

    def acknowledged(self) -> None:
        """The client has acknowledged messages: there is room for others."""
        self.pump()
        if self.feed is not None:
            self.feed.wake()


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
