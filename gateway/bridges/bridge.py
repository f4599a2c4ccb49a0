"""Bridge: keeps one connection to an MQTT broker up, over several URLs, with growing pauses between attempts.

Its session is one like that of a client with a persistent session that is now here, now away: what waits for the broker
is on the disk, within the same limits, and what was exchanged of a QoS 2 message is known after any end of the gateway.
"""

import logging
import random
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from gateway.bridges.broker_client import BrokerClient, words_of
from gateway.bridges.status import BridgeStatus
from gateway.mqtt.bridge_ids import bridge_id
from gateway.mqtt.session import MqttSession
from gateway.mqtt.sessions import MqttSessions
from gateway.runtime.moments import moment
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import DECODED_AT_ONCE
from gateway.settings import broker_presets
from gateway.settings.addresses import join_address
from gateway.settings.bridge import WITH_TLS, WITH_WEBSOCKET
from gateway.settings.bridge import Bridge as BridgeConfig
from gateway.settings.security import LinkTls
from gateway.transport.registry import Registry
from gateway.transport.session import Session
from gateway.uplink.dialing import DialError, dial
from gateway.uplink.dropped_messages import DroppedMessages
from gateway.uplink.explanations import explain
from gateway.uplink.leafnode_uplink import leaf_name
from gateway.uplink.link_history import LinkHistory
from protocols.close_reason import CloseReason
from protocols.mqtt import encoder, packets
from protocols.mqtt.client_role import FILTERS_AT_ONCE, ClientRole, ServerTerms, Subscribed
from protocols.mqtt.gateways_passed import name_gateway
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.remapping import Remapping, TopicEntry

if TYPE_CHECKING:
    from gateway.transport.tls_contexts import ClientTerms

log = logging.getLogger("leafgate.bridge")

# Of a broker of which nothing is known before it says so.
NO_RULES = broker_presets.BrokerRules(title="", ports={})
# A broker that turned us away for a reason that time does not heal is asked again after this long.
REFUSED_PAUSE_SECONDS = 30.0
# A connection that held this long was good: the next attempt comes soon again.
GOOD_LINK_SECONDS = 5.0
# Brokers that do not know a protocol level are to say so; some end the connection. So many in a row are no accident.
UNANSWERED = 3
# What is spoken inside a WebSocket [MQTT-6.0.0-3].
SUBPROTOCOL = b"mqtt"
VERSIONS = {MQTT_3_1_1: "3.1.1", MQTT_5_0: "5.0"}
# What the state topic says.
CONNECTED, GONE = b"1", b"0"
# How retained messages are asked for (3.8.3.1): once, where the broker can tell a new subscription.
WHEN_NEW = 1
LASTING = frozenset(
    (
        ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
        ReasonCode.BAD_USER_NAME_OR_PASSWORD,
        ReasonCode.NOT_AUTHORIZED,
        ReasonCode.BANNED,
        ReasonCode.BAD_AUTHENTICATION_METHOD,
        ReasonCode.SESSION_TAKEN_OVER,
    )
)


@dataclass(frozen=True, slots=True)
class Introduction:
    """How a broker is spoken to: the protocol level, and whether the bit is set that says to be a bridge."""

    version: int
    private: bool = False


class Bridge:
    """One configured bridge."""

    def __init__(self, runtime: Runtime, registry: Registry, sessions: MqttSessions, config: BridgeConfig) -> None:
        self.config = config
        self.name = config.name
        self.sessions = sessions
        self.rules = broker_presets.PRESETS.get(config.preset, NO_RULES)
        self.remapping = Remapping(entries_of(config), self._takes_topic)
        self.session: MqttSession = sessions.hold(bridge_id(config.name), config)
        self.attempts = 0
        self.history = LinkHistory(partial(explain, peer="broker"))
        self.refused = 0
        self.not_taken = DroppedMessages(runtime.deadlines, self, log, "bridge")
        self.url = config.urls[0]
        self._runtime = runtime
        self._registry = registry
        name = leaf_name(runtime.settings.config.name, runtime.names.server_name, 0)
        self._client_id = config.client_id.encode() or f"{name}-{config.name}".encode()
        self._introductions = introductions(config)
        self._introduction = 0
        # Whether the broker has ever understood one, and how many in a row it has not answered.
        self._is_understood = self._is_anew = False
        self._unanswered = 0
        # Whether the next attempt introduces itself otherwise: it need not wait.
        self._again = False
        self._lasting = False
        self._version = 0
        self._next_url = 0
        self._up_since: float | None = None
        self._client: BrokerClient | None = None
        # The filters of which the broker is to get what is retained here.
        self._to_feed = self._subscribe()
        self._life = trio.CancelScope()

    def _subscribe(self) -> set[bytes]:
        """Have the session subscribe to what goes to the broker; returns the filters that are new."""
        session = self.session
        session.remapping = self.remapping
        wanted = self.remapping.local_filters()
        for topic_filter in session.subscriptions.keys() - wanted.keys():
            session.unsubscribe(topic_filter)
        new: set[bytes] = set()
        for topic_filter, qos in wanted.items():
            # What came from the broker does not go back; what was retained is to be so there.
            subscription = packets.Subscription(topic_filter, qos, no_local=True, retain_as_published=True)
            if session.subscribe(subscription, 0):
                new.add(topic_filter)
        return new

    async def run(self) -> None:
        """Connect, serve, reconnect; ends when the gateway stops, or with `end`."""
        with self._life:
            await self._keep_up()

    def end(self) -> None:
        """Leave the broker; the session stays."""
        if self._client is not None:
            self._client.connection.close(CloseReason.CLIENT_CLOSED)
        self._life.cancel()

    @property
    def label(self) -> str:
        return self.name

    def status(self) -> BridgeStatus:
        history, session = self.history, self.session
        return BridgeStatus(
            name=self.name,
            url=str(self.url),
            version=VERSIONS.get(self._version, ""),
            up=history.is_up,
            since=moment(history.since),
            last_error=history.last_error,
            fault=history.fault(),
            flaps=history.flaps,
            attempts=self.attempts,
            queued_msgs=len(session.outgoing) + len(session.outgoing.sent),
            queued_bytes=session.outgoing.bytes + session.outgoing.flight,
            dropped_msgs=session.dropped,
            refused_msgs=self.refused,
            not_taken_msgs=self.not_taken.total,
        )

    async def _keep_up(self) -> None:
        config = self.config
        pause = config.reconnect_min_seconds
        while not self._runtime.stopping.is_set():
            self.url = config.urls[self._next_url]
            self._next_url = (self._next_url + 1) % len(config.urls)
            self.attempts += 1
            self._up_since = None
            self._lasting = self._again = False
            await self._attempt()
            if self._up_since is not None and trio.current_time() - self._up_since > GOOD_LINK_SECONDS:
                pause = config.reconnect_min_seconds
            wait = pause * random.uniform(0.5, 1.0)
            if self._lasting:
                wait = max(wait, min(REFUSED_PAUSE_SECONDS, config.reconnect_max_seconds))
            if self._again:
                self._next_url = (self._next_url - 1) % len(config.urls)
                wait = min(wait, config.reconnect_min_seconds)
            with trio.move_on_after(wait):
                await self._runtime.stopping.wait()
            pause = min(pause * 2, config.reconnect_max_seconds)

    async def _attempt(self) -> None:
        """One connection, from dialling to its end."""
        terms: ClientTerms | None = None
        if self.url.scheme in WITH_TLS:
            found = await trio.to_thread.run_sync(self._make_terms)
            if isinstance(found, str):
                self._failed(found)
                return
            terms = found
        config = self.config
        silence = config.keep_alive_seconds + config.answer_timeout_seconds
        try:
            sock = await dial(self.url, config.proxy, config.dial_timeout_seconds, silence)
        except DialError as error:
            self._failed(str(error))
            return
        connection = self._registry.connection_over(sock)
        client = BrokerClient(connection, self, self._introductions[self._introduction].version)
        first: Session = client
        if self.url.scheme in WITH_WEBSOCKET:
            from gateway.websocket.client_session import WebSocketClientSession

            host = join_address(self.url.host, self.url.port)
            seconds = config.answer_timeout_seconds
            first = WebSocketClientSession(connection, client, host, config.websocket_path, seconds, SUBPROTOCOL)
        connection.session = first
        if terms is not None:
            from gateway.transport.tls_handshake import TlsHandshake

            connection.session = TlsHandshake(connection, terms, first, first.opened)
        self._client = client
        connection.begin()
        self._runtime.switch.flush()
        try:
            await connection.wait_ended()
        finally:
            connection.cut(CloseReason.SERVER_SHUTDOWN)
            self._client = None
        reason = connection.close_reason or CloseReason.CLIENT_CLOSED
        was_up = self._up_since is not None
        self.history.down(connection.close_detail or reason.value)
        event = "down" if was_up else "refused"
        log.warning(
            "bridge=%s event=%s url=%s attempt=%d reason=%r",
            self.name,
            event,
            self.url,
            self.attempts,
            self.history.last_error,
        )

    def _make_terms(self) -> "ClientTerms | str":
        """From the files as they are now."""
        from gateway.transport.tls_contexts import ClientTerms

        config, url = self.config, self.url
        alpn = broker_presets.alpn(config, url.port) if url.scheme not in WITH_WEBSOCKET else ()
        try:
            return ClientTerms(config.tls or LinkTls(), url.host, config.answer_timeout_seconds, alpn)
        except ValueError as error:
            return str(error)

    def _failed(self, reason: str) -> None:
        self.history.failed(reason)
        log.warning(
            "bridge=%s event=dial-failed url=%s attempt=%d reason=%r", self.name, self.url, self.attempts, reason
        )

    # What the connection tells (gateway.bridges.broker_client.BridgeOwner).

    def start_talking(self, now: float) -> ClientRole:
        config, limits = self.config, self._runtime.settings.mqtt
        introduction = self._introductions[self._introduction]
        user = config.user or self.url.user
        password = config.password.value if config.password is not None else self.url.password
        login = broker_presets.login(config, self.url.host, user, password, time.time())
        properties = None
        if introduction.version == MQTT_5_0:
            properties = Properties(
                session_expiry_interval=config.session_expiry_seconds,
                receive_maximum=limits.receive_maximum,
                maximum_packet_size=limits.max_packet_bytes,
                topic_alias_maximum=limits.max_topic_aliases,
                user_properties=name_gateway(self._runtime.names.gateway_id) if self.rules.takes_introduction else (),
            )
        will = None
        if config.state_topic:
            will = packets.Will(config.state_topic.encode(), GONE, 1, retain=True)
        connect = packets.Connect(
            version=introduction.version,
            client_id=self._client_id,
            clean_start=config.session_expiry_seconds == 0,
            keep_alive=config.keep_alive_seconds,
            username=login.user.encode() if login.user else None,
            password=login.password.encode() if login.password is not None else None,
            will=will,
            properties=properties,
            bridge=introduction.private,
        )
        wanted = [
            packets.Subscription(topic_filter, qos, no_local=True, retain_as_published=True, retain_handling=WHEN_NEW)
            for topic_filter, qos in self.remapping.remote_filters().items()
        ]
        patience = config.answer_timeout_seconds
        held = self.session.remote_filters
        at_once = self.rules.filters_at_once or FILTERS_AT_ONCE
        return ClientRole(connect, wanted, held, limits.max_packet_bytes, patience, now, DECODED_AT_ONCE, at_once)

    def accepted(self, client: BrokerClient, session_present: bool, terms: ServerTerms) -> str:
        if terms.maximum_qos == 0 and any(topic.qos for topic in self.config.topics):
            return "the broker takes messages of QoS 0 only: set qos = 0 for all topics"
        self._is_understood = True
        session = self.session
        session.outgoing.most_qos = min(terms.maximum_qos, self.rules.most_qos)
        session.retains = terms.retain_available and self.rules.takes_retained is not False
        self._is_anew = not session_present
        if not session_present:
            # The broker knows nothing of what was exchanged before [MQTT-3.2.2-5].
            session.outgoing.begin_anew()
            session.forget_received()
            # It may be another one, and lack what is retained here. What goes both ways may be newer there.
            self._to_feed |= {one.local_filter for one in self.remapping.entries if one.outwards and not one.inwards}
        return ""

    def up(self, client: BrokerClient, subscribed: Subscribed) -> None:
        session = self.session
        self._up_since = trio.current_time()
        self._version = client.version
        self.history.up(str(self.url))
        self.sessions.attach(session, client)
        session.note_remote(subscribed.held)
        log.info(
            "bridge=%s event=up url=%s version=%s session=%s waiting=%d",
            self.name,
            self.url,
            VERSIONS[client.version],
            "new" if self._is_anew else "resumed",
            len(session.outgoing),
        )
        for topic_filter, code in subscribed.refused.items():
            text = f"the broker does not let us subscribe to {topic_filter.decode()!r}: {words_of(code, '')}"
            self.history.failed(text)
            log.error("bridge=%s event=not-subscribed reason=%r", self.name, text)
        if self.config.state_topic:
            topic = self.config.state_topic.encode()
            client.write(encoder.encode_publish(client.version, topic, CONNECTED, 0, 0, session.retains, False))
        session.pump()
        wanted = self.remapping.local_filters()
        for topic_filter in self._to_feed & wanted.keys():
            session.send_retained(packets.Subscription(topic_filter, wanted[topic_filter]), 0)
        self._to_feed.clear()

    def turned_away(self, code: ReasonCode, detail: str) -> None:
        self._lasting = code in LASTING
        text = f"the broker says: {words_of(code, detail)}"
        if code is ReasonCode.SESSION_TAKEN_OVER:
            text += f" (another client has the client id {self._client_id.decode()!r}: give each its own)"
        self.history.failed(text)

    def level_refused(self) -> None:
        self._introduce_otherwise()
        self._again = self._introduction > 0

    def unanswered(self) -> None:
        """A broker may do so whatever it was told: only one that has never understood us is spoken to otherwise."""
        self._unanswered += 1
        if not self._is_understood and self._unanswered >= UNANSWERED:
            self._introduce_otherwise()

    def _introduce_otherwise(self) -> None:
        self._unanswered = 0
        self._introduction = (self._introduction + 1) % len(self._introductions)

    def down(self, client: BrokerClient) -> None:
        if self.session.client is client:
            self.sessions.detach(self.session)

    def dropped(self, reason: str) -> None:
        self.not_taken.count(reason)

    def _takes_topic(self, topic: bytes) -> bool:
        """Whether the broker takes it, by what is published of it: those it does not take end the connection."""
        fault = broker_presets.topic_fault(self.config.preset, topic.decode("utf-8", "replace"))
        if fault:
            self.history.failed(f"{topic[:300].decode('utf-8', 'replace')}: {fault}")
            self._runtime.repeats.log(
                log,
                logging.WARNING,
                ("bridge-topic", self.name),
                "bridge=%s event=topic-not-passed topic=%r reason=%r",
                self.name,
                topic[:300].decode("utf-8", "replace"),
                fault,
            )
        return not fault

    def refused_message(self, code: ReasonCode, detail: str) -> None:
        self.refused += 1
        self._runtime.repeats.log(
            log,
            logging.WARNING,
            ("bridge-refused", self.name, code),
            "bridge=%s event=message-refused total=%d reason=%r",
            self.name,
            self.refused,
            f"the broker says: {words_of(code, detail)}",
        )

    def farewell(self) -> ReasonCode:
        """The broker is to say that the bridge is gone where somebody listens for that."""
        if self.config.state_topic:
            return ReasonCode.DISCONNECT_WITH_WILL_MESSAGE
        return ReasonCode.NORMAL_DISCONNECTION


def entries_of(config: BridgeConfig) -> tuple[TopicEntry, ...]:
    return tuple(
        TopicEntry(
            topic.filter.encode(),
            topic.direction != "in",
            topic.direction != "out",
            topic.qos,
            topic.local_prefix.encode(),
            topic.remote_prefix.encode(),
        )
        for topic in config.topics
    )


def introductions(config: BridgeConfig) -> list[Introduction]:
    """What is tried in turn, until a broker understands it."""
    # The bit is mosquitto's.
    older = [Introduction(MQTT_3_1_1, private=True)] if config.try_private and not config.preset else []
    older.append(Introduction(MQTT_3_1_1))
    if config.version == "3.1.1" or "5" not in broker_presets.PRESETS.get(config.preset, NO_RULES).versions:
        return older
    newest = Introduction(MQTT_5_0)
    return [newest] if config.version == "5" else [newest, *older]
