"""Leafnode session: the spoke's side of a link to a hub.

The hub speaks first (INFO), we answer with CONNECT, it confirms with a second INFO that holds the permissions. From
then on interest travels both ways, each distinct subject and queue group literally, in one ordered stream with the
messages.
"""

import logging
from collections.abc import Callable
from enum import Enum
from typing import ClassVar, Protocol

import trio

from gateway.accounts.account import Account
from gateway.accounts.withdrawal import withdraw
from gateway.dataplane.nats_receivers import LeafInterest, LeafPort, LeafRoute
from gateway.dataplane.port import Port
from gateway.dataplane.router import ROUTED
from gateway.nats.direct_get import PREFIX as DIRECT_GETS
from gateway.nats.direct_get import DirectGetRoute, StreamInquiry
from gateway.nats.leaf_interest import InterestFeed, RefusedInterest
from gateway.runtime.deadlines import Deadline
from gateway.runtime.turns import TURN_SECONDS
from gateway.settings.schema import Uplink
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.leafnode import spoke
from protocols.leafnode.hub_rules import InterestRules, refused_subject
from protocols.nats.framing import Refused, encode_error
from protocols.nats.heartbeats import PING, PONG, Ping, Pong
from protocols.subjects import is_valid_filter

log = logging.getLogger("leafgate.uplink")

FIRST_PING_SECONDS = 1.0
# A hub's own MQTT bookkeeping; our MQTT clients are not its. And who a client here is, it does not know.
FOREIGN = (b"$MQTT.", b"$SYS.REQ.USER.INFO")


class LinkOwner(Protocol):
    """Who opened a link: it knows who we are at the hub, and hears how it went."""

    @property
    def account(self) -> Account:
        """The account that the link joins to the hub."""

    @property
    def config(self) -> Uplink: ...

    @property
    def label(self) -> str:
        """The link's name in the log: where it leads."""

    @property
    def loop_subject(self) -> bytes:
        """The subject by which we notice that links form a loop."""

    @property
    def refused(self) -> RefusedInterest:
        """The interest that the hub refused on earlier links."""

    def connect_fields(self) -> dict[str, object]:
        """What CONNECT tells the hub."""

    def learn_urls(self, addresses: tuple[str, ...]) -> None:
        """The hub's cluster has these servers."""

    def link_up(self, session: "LeafnodeSession") -> None: ...

    def kept_back(self, reason: str) -> None:
        """A message stayed here that the hub would not have taken."""

    def interest_refused(self, subject: bytes) -> None:
        """The hub does not take interest in this subject, though it had not said so."""

    def hub_error(self, text: str) -> None: ...


class State(Enum):
    WAIT_INFO = "waiting for INFO"
    WAIT_CONFIRMATION = "waiting for the hub to confirm"
    READY = "ready"


class LeafnodeSession(LeafPort):
    """One connection to a hub."""

    kind = "leafnode"
    is_client = False

    __slots__ = (
        "_deadline",
        "_feed",
        "_inquiry",
        "_interest",
        "_left",
        "_pings_out",
        "_rules",
        "account",
        "connection",
        "decoder",
        "has_more",
        "info",
        "owner",
        "runtime",
        "state",
    )

    def __init__(self, connection: Connection, owner: LinkOwner) -> None:
        super().__init__(connection.outbox)
        self.connection = connection
        self.runtime = connection.runtime
        self.owner = owner
        self.account = owner.account
        self.leaf = True
        self.decoder = spoke.SpokeDecoder()
        self.state = State.WAIT_INFO
        self.info = spoke.HubInfo()
        self._left: list[object] = []
        self.has_more = False
        self._interest: dict[tuple[bytes, bytes], LeafInterest] = {}
        self._inquiry: StreamInquiry | None = None
        self._rules = InterestRules(self.info)
        self._feed = InterestFeed(self, connection, self.account.router, self._permits)
        self._pings_out = 0
        self._deadline: Deadline | None = None

    @property
    def port(self) -> Port:
        return self

    def opened(self) -> None:
        self._call_in(self.owner.config.handshake_timeout_seconds, self._give_up)

    def receive(self, data: bytes) -> None:
        if self.has_more:
            events, self._left = self._left, []
            self.has_more = False
        else:
            events = self.decoder.receive(data)
        router = self.account.router
        index, count = 0, len(events)
        clock = self.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while index < count:
            index = router.forward(events, index, self)
            if index == count:
                break
            event = events[index]
            if type(event) not in ROUTED:
                index += 1
                self._HANDLERS[type(event)](self, event)
                if self.connection.close_reason is not None:
                    return
            if index < count and clock() > until:
                self._left = events[index:]
                self.has_more = True
                return

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def announce_lame_duck(self) -> None:
        """A hub has no clients of ours."""

    def settings_changed(self) -> None:
        """Its limits are the hub's."""

    def describe(self) -> PeerSnapshot:
        return PeerSnapshot(type="nats", account=self.account.name)

    def closed(self, reason: CloseReason) -> None:
        self.runtime.deadlines.cancel(self._deadline)
        self.account.router.unobserve(self)
        if self._inquiry is not None:
            self._inquiry.end()
        self._feed.end()
        dropped, self._interest = self._interest, {}
        withdraw(self.runtime.turns, self.account.router, dropped.values())

    # What routing calls.

    def leaf_route(self, subject: bytes, queues: tuple[bytes, ...]) -> LeafRoute:
        permitted = self._may_send(subject)
        if self._inquiry is not None and subject.startswith(DIRECT_GETS):
            return DirectGetRoute(self._inquiry, self, subject, queues, self.info.max_payload, permitted)
        return LeafRoute(self, subject, queues, self.info.max_payload, permitted)

    def interest_changed(self, subject: bytes, queue: bytes, count: int) -> None:
        self._feed.change(subject, queue, count)

    def kept_back(self, reason: str) -> None:
        self.dropped += 1
        self.owner.kept_back(reason)

    def tell_before(self, reply: bytes) -> None:
        self._feed.tell_before(reply)

    # What the hub says.

    def _on_info(self, info: spoke.HubInfo) -> None:
        if self.state is State.WAIT_INFO:
            self._introduce(info)
            return
        self.owner.learn_urls(info.leafnode_urls or ())
        if self.state is State.WAIT_CONFIRMATION and info.connect_info:
            self._confirmed(info)
        elif self.state is State.READY and info.connect_info:
            self._permissions_changed(info)

    def _introduce(self, info: spoke.HubInfo) -> None:
        if not info.client_id or not (info.info_on_connect or info.proto >= 2):
            self._fail("this is no leafnode port; nats-server listens for leafnodes on 7422 by default")
        elif info.tls_required:
            self._fail("the hub requires TLS, which leafgate does not speak on uplinks yet")
        else:
            self.info = info
            self.owner.learn_urls(info.leafnode_urls or ())
            self._write(spoke.encode_connect(self.owner.connect_fields()))
            self.state = State.WAIT_CONFIRMATION
            if not info.info_on_connect:
                self._confirmed(info)

    def _confirmed(self, info: spoke.HubInfo) -> None:
        self.info = info
        self._rules = InterestRules(info)
        self.owner.refused.begin(info)
        self.state = State.READY
        self.runtime.deadlines.cancel(self._deadline)
        self._call_in(FIRST_PING_SECONDS, self._ping)
        self._write(spoke.encode_interest(self.owner.loop_subject, b"", 1))
        self._feed.begin()
        self.account.router.observe(self)
        if info.jetstream:
            for subject, queue in spoke.UNTOLD_INTERESTS:
                self._on_subscribe(spoke.LeafSubscribe(subject, queue, 1 if queue else 0))
            self._inquiry = StreamInquiry(self, self.account.router, self._may_send)
        self.owner.link_up(self)

    def _permissions_changed(self, info: spoke.HubInfo) -> None:
        """Permissions came anew: take back interest that is no longer allowed, and tell what now is."""
        self.info = info
        self._rules = InterestRules(info)
        self.owner.refused.begin(info)
        self._feed.permissions_changed()
        for interest in self._interest.values():  # Routes hold the old permissions.
            self.account.router.forget(interest.subject)

    def _on_subscribe(self, event: spoke.LeafSubscribe) -> None:
        if event.subject == self.owner.loop_subject:
            farewell = encode_error(
                f'Loop detected for leafnode account="{self.account.name}". Delaying attempt to reconnect for 30s'
            )
            self.connection.close(CloseReason.LEAFNODE_LOOP, "our own interest came back from the hub", farewell)
            return
        key = (event.subject, event.queue)
        foreign = event.subject.startswith((spoke.LOOP_PREFIX, *FOREIGN))
        if foreign or key in self._interest or not is_valid_filter(event.subject):
            return
        interest = self._interest[key] = LeafInterest(self, event.subject, event.queue)
        self.account.router.subscribe(interest)

    def _on_unsubscribe(self, event: spoke.LeafUnsubscribe) -> None:
        interest = self._interest.pop((event.subject, event.queue), None)
        if interest is not None:
            self.account.router.unsubscribe(interest)

    def _on_redirected(self, event: spoke.Redirected) -> None:
        self.account.router.publish(event.message, self, event.subject)

    def _on_refused(self, event: Refused) -> None:
        self.kept_back("the hub sent a subject that clients cannot read")

    def _on_ping(self, event: Ping) -> None:
        self._write(PONG * event.count)

    def _on_pong(self, event: Pong) -> None:
        self._pings_out = 0

    def _on_error(self, event: spoke.HubError) -> None:
        subject = refused_subject(event.error)
        if subject and self.owner.refused.add(subject):
            self.owner.interest_refused(subject)
        else:
            self.owner.hub_error(event.text)

    def _on_violation(self, event: PeerViolation) -> None:
        self.connection.close(event.reason, event.detail, event.farewell)

    _HANDLERS: ClassVar[dict[type, Callable[..., None]]] = {
        spoke.HubInfo: _on_info,
        spoke.LeafSubscribe: _on_subscribe,
        spoke.LeafUnsubscribe: _on_unsubscribe,
        spoke.Redirected: _on_redirected,
        Refused: _on_refused,
        spoke.HubError: _on_error,
        Ping: _on_ping,
        Pong: _on_pong,
        PeerViolation: _on_violation,
    }

    # Time.

    def _give_up(self, now: float) -> None:
        farewell = encode_error("Stale Leaf Node Connection - Closing")
        self.connection.close(CloseReason.AUTHENTICATION_TIMEOUT, f"gave up {self.state.value}", farewell)

    def _ping(self, now: float) -> None:
        self._pings_out += 1
        if self._pings_out > self.owner.config.ping_max:
            self.connection.close(CloseReason.STALE_CONNECTION, "", encode_error("Stale Connection"))
            return
        self._write(PING)
        self._call_in(self.owner.config.ping_interval_seconds, self._ping)

    def _call_in(self, seconds: float, action: Callable[[float], None]) -> None:
        self._deadline = self.runtime.deadlines.call_at(trio.current_time() + seconds, action)

    # Small parts.

    def _may_send(self, subject: bytes) -> bool:
        return spoke.is_permitted(subject, self.info.may_send) or subject.startswith(spoke.ACK_PREFIX)

    def _permits(self, subject: bytes, queue: bytes) -> bool:
        """Whether the hub takes this interest; it closes the link over one that it does not."""
        return self._rules.permit(subject, queue) and subject not in self.owner.refused

    def _write(self, data: bytes) -> None:
        self.connection.outbox.write(data)

    def _fail(self, detail: str) -> None:
        self.connection.close(CloseReason.INCORRECT_PORT, detail)
