"""Spoke session: our end of a link that we have opened to a hub."""

import logging
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol

from gateway.accounts.account import Account
from gateway.dataplane.nats_receivers import LeafRoute
from gateway.dataplane.port import Port
from gateway.dataplane.verdicts import Denied, FilterSet, Verdicts
from gateway.nats.direct_get import PREFIX as DIRECT_GETS
from gateway.nats.direct_get import DirectGetRoute, StreamInquiry
from gateway.nats.leaf_interest import RefusedInterest
from gateway.nats.leafnode import LeafnodeSession, loop_subject
from gateway.runtime.turns import TURN_SECONDS
from gateway.settings.uplink import Uplink
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.leafnode import link, spoke
from protocols.leafnode.hub_rules import InterestRules, closed_subjects, refused_subject
from protocols.message import Burst, Message
from protocols.nats.framing import encode_error
from protocols.nats.heartbeats import PING, Pong

if TYPE_CHECKING:
    from gateway.transport.tls_contexts import ClientTerms

log = logging.getLogger("leafgate.uplink")

# Interest that is taken between two looks at the clock.
TAKEN_IN_A_ROW = 16

Key = tuple[bytes, bytes]


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
    def refused(self) -> RefusedInterest:
        """The interest that the hub refused on earlier links."""

    @property
    def loop_subject(self) -> bytes:
        """The subject by which we notice that links form a loop, of this link alone."""

    @property
    def upgrades(self) -> bool:
        """Whether TLS begins behind INFO where the hub asks for it."""

    @property
    def wants_tls(self) -> bool:
        """Whether nothing may be told to a hub that does not speak TLS."""

    async def tls_terms(self) -> "ClientTerms | str":
        """On what terms TLS is spoken with the hub, or why there are none."""

    def connect_fields(self, nonce: str) -> dict[str, object]:
        """What CONNECT tells the hub, which challenges us with a nonce (empty: it does not)."""

    def learn_urls(self, info: spoke.HubInfo) -> None:
        """The hub may have told of other servers of its cluster."""

    def confirmed(self, session: "SpokeSession") -> float | None:
        """The hub has taken us. Where another link may lead to the same place, how long to wait before the hub is asked
        whether it has told everything; None to begin at once. It may end the session (`stand_by`).
        """

    def loop_heard(self, subject: bytes) -> None:
        """The hub told of a loop subject, perhaps of another link of ours. It may end the session (`stand_by`)."""

    def is_elsewhere(self, subject: bytes) -> bool:
        """Whether interest in a subject is for another hub of the account to tell."""

    def is_stored(self, subject: bytes) -> bool:
        """Whether messages on a subject wait here until the hub has them, and do not go over the link as they come."""

    def link_up(self, session: "SpokeSession") -> None: ...

    def kept_back(self, reason: str) -> None:
        """A message stayed here that the hub would not have taken."""

    def interest_refused(self, subject: bytes) -> None:
        """The hub does not take interest in this subject, though it had not said so."""

    def hub_error(self, text: str) -> None: ...


class NoRoute(LeafRoute):
    """Messages that come to the hub by another way (`LinkOwner.is_stored`)."""

    __slots__ = ()

    def deliver(self, message: Message, source: Port) -> bool:
        return False

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        pass


class State(Enum):
    WAIT_INFO = "waiting for INFO"
    WAIT_TLS = "waiting for TLS"
    WAIT_CONFIRMATION = "waiting for the hub to confirm"
    SETTLING = "waiting for all that the hub has to tell"
    READY = "ready"


class SpokeSession(LeafnodeSession):
    """One connection to a hub."""

    is_client = False

    __slots__ = (
        "_deny_exports",
        "_doubted",
        "_held",
        "_inquiry",
        "_is_taking",
        "_rules",
        "_taking",
        "info",
        "owner",
        "state",
    )

    def __init__(self, connection: Connection, owner: LinkOwner) -> None:
        super().__init__(connection, spoke.SpokeDecoder())
        self.owner = owner
        self.account = owner.account
        self.uplink = True
        self.isolated = owner.config.isolate
        self.state = State.WAIT_INFO
        self.info = spoke.HubInfo()
        self._rules = InterestRules(None, closed_subjects(""))
        self._inquiry: StreamInquiry | None = None
        self._deny_exports = FilterSet(subject.encode() for subject in owner.config.deny_exports)
        deny_imports = FilterSet(subject.encode() for subject in owner.config.deny_imports)
        if deny_imports:  # The hub is told of them, too.
            self.may_publish = Verdicts(lambda subject: not deny_imports.matches(subject))
        # Interest of the hub's that is not to lead there now.
        self._held: dict[Key, link.LeafSubscribe] = {}
        # What of it is to be looked at again, and to be taken, in turns to come.
        self._doubted: list[Key] = []
        self._taking: dict[Key, link.LeafSubscribe] = {}
        self._is_taking = False

    def opened(self) -> None:
        self.call_in(self.owner.config.handshake_timeout_seconds, self._give_up)

    def is_held(self, events: list[object], index: int) -> bool:
        if self.state is not State.WAIT_TLS:
            return False
        if index < len(events):
            self._fail("the hub goes on without TLS, which it requires")
        return True

    def closed(self, reason: CloseReason) -> None:
        if self._inquiry is not None:
            self._inquiry.end()
        if self.state is State.READY:
            self.owner.account.leave_link()
        self._taking.clear()
        self._doubted.clear()
        super().closed(reason)

    def describe(self) -> PeerSnapshot:
        return replace(super().describe(), name=self.info.server_name, version=self.info.version)

    def is_by(self, uplink: str, account: str) -> bool:
        return uplink != "" and self.owner.config.name == uplink

    # What the link carries.

    def permits(self, subject: bytes, queue: bytes) -> bool:
        """Whether the hub takes this interest; it closes the link over one that it does not."""
        return self._rules.permit(subject, queue) and subject not in self.owner.refused

    def comes_back(self, subject: bytes) -> bool:
        return subject in (self.loop_subject, self.own_loop_subject())

    def takes(self, event: link.LeafSubscribe) -> bool:
        if not super().takes(event):
            return False
        if self.state is State.READY and not self.owner.is_elsewhere(event.subject):
            return True
        self._held[event.subject, event.queue] = event
        return False

    def reconsider(self) -> None:
        """It may be another now to whom the account's interest in a subject leads."""
        if self.state is not State.READY:
            return
        self._doubted = list(self._interest)
        self._take_held()

    def _take_held(self) -> None:
        """Take what is held, in turns: a hub tells of all its interest before the link is up."""
        self._taking |= self._held
        self._held = {}
        if not self._is_taking:
            self._is_taking = True
            self.runtime.turns.begin(self._take_some)

    def _take_some(self) -> bool:
        clock = self.runtime.turns.clock
        until = clock() + TURN_SECONDS
        doubted, taking = self._doubted, self._taking
        while doubted or taking:
            for _ in range(TAKEN_IN_A_ROW):
                if doubted:
                    self._look_again(doubted.pop())
                elif taking:
                    super().on_subscribe(taking.popitem()[1])
            if clock() > until:
                break
        self._is_taking = bool(self._doubted or taking)
        return self._is_taking

    def _look_again(self, key: Key) -> None:
        if key in self._interest and self.owner.is_elsewhere(key[0]):
            super().on_unsubscribe(link.LeafUnsubscribe(*key))
            self._held[key] = link.LeafSubscribe(*key, 1 if key[1] else 0)

    def stand_by(self, why: str) -> None:
        """End the link because another one serves the same place."""
        self.connection.close(CloseReason.CLIENT_CLOSED, why)

    def heartbeat(self) -> tuple[float, int]:
        return self.owner.config.ping_interval_seconds, self.owner.config.ping_max

    def leaf_route(self, subject: bytes, queues: tuple[bytes, ...], plain: bool) -> LeafRoute:
        if self.owner.is_stored(subject):
            return NoRoute(self, subject, queues, plain, self.info.max_payload, True)
        return self._direct_route(subject, queues, plain)

    def _direct_route(self, subject: bytes, queues: tuple[bytes, ...], plain: bool) -> LeafRoute:
        permitted = self._may_send(subject)
        if self._inquiry is not None and subject.startswith(DIRECT_GETS):
            return DirectGetRoute(self._inquiry, self, subject, queues, plain, self.info.max_payload, permitted)
        return LeafRoute(self, subject, queues, plain, self.info.max_payload, permitted)

    def route_for(self, subject: bytes, told: bool = True) -> LeafRoute | None:
        """The way of messages on a literal subject to all behind the link who want them; None where nobody there does,
        unless that need not be `told`: then the hub itself is known to want them. It is not `permitted` where the hub
        says so.
        """
        if self.account is None:
            return None
        found = dict.fromkeys(
            queue
            for interest in self.account.router.tree.match(subject)
            for queue, receivers in (interest.beyond or {}).items()
            if any(receiver.port is self for receiver in receivers)
        )
        if told and not found:
            return None
        return self._direct_route(subject, tuple(filter(None, found)), not told or b"" in found)

    def _on_denied(self, event: Denied) -> None:
        self.kept_back("the hub sent a subject of deny-imports")

    def kept_back(self, reason: str) -> None:
        self.dropped += 1
        self.owner.kept_back(reason)

    def _may_send(self, subject: bytes) -> bool:
        if self._deny_exports and self._deny_exports.matches(subject):
            return False
        return link.is_permitted(subject, self.info.may_send) or subject.startswith(link.ACK_PREFIX)

    # What the hub says.

    def _on_info(self, info: spoke.HubInfo) -> None:
        if self.state is State.WAIT_INFO:
            self._introduce(info)
            return
        self.owner.learn_urls(info)
        if self.state is State.WAIT_CONFIRMATION and info.connect_info:
            self._confirmed(info)
        elif self.state is State.READY and info.connect_info:
            self._permissions_changed(info)

    def _introduce(self, info: spoke.HubInfo) -> None:
        if not info.client_id or not (info.info_on_connect or info.proto >= 2):
            self._fail("this is no leafnode port; nats-server listens for leafnodes on 7422 by default")
        elif self.connection.tls is None and info.tls_required and self.owner.upgrades:
            self.info = info
            self.state = State.WAIT_TLS
            self.runtime.deadlines.cancel(self._deadline)
            # Of what came without TLS nothing may be taken for what comes inside it.
            self.read_with(spoke.SpokeDecoder())
            self.connection.wait_for(self.owner.tls_terms(), self._begin_tls)
        elif self.connection.tls is None and self.owner.wants_tls:
            self._fail("the hub does not speak TLS")
        else:
            self.info = info
            self._connect()

    def _begin_tls(self, terms: "ClientTerms | str") -> None:
        if isinstance(terms, str):
            self._fail(terms)
            return
        from gateway.transport.tls_handshake import TlsHandshake

        handshake = TlsHandshake(self.connection, terms, self, self._go_on_in_tls, began=True)
        self.connection.session = handshake
        handshake.opened()

    def _go_on_in_tls(self) -> None:
        self.call_in(self.owner.config.handshake_timeout_seconds, self._give_up)
        self._connect()

    def _connect(self) -> None:
        self.owner.learn_urls(self.info)
        self.write(spoke.encode_connect(self.owner.connect_fields(self.info.nonce)))
        self.state = State.WAIT_CONFIRMATION
        if not self.info.info_on_connect:
            self._confirmed(self.info)

    def _confirmed(self, info: spoke.HubInfo) -> None:
        self._heed(info)
        seconds = self.owner.confirmed(self)
        if self.connection.close_reason is not None:
            return
        self.watch_for_loops(self.owner.loop_subject)
        self.state = State.SETTLING
        if seconds is None:
            self._begin()
        else:
            self.call_in(seconds, self._ask)

    def _ask(self, now: float) -> None:
        """What the hub has to tell comes before its answer."""
        self.write(PING)
        self.call_in(self.owner.config.handshake_timeout_seconds, self._give_up)

    def _begin(self) -> None:
        self.state = State.READY
        account = self.owner.account
        account.links += 1  # The configuration has counted them.
        self.join(account)
        self._take_held()
        if self.info.jetstream:
            for subject, queue in spoke.UNTOLD_INTERESTS:
                self.on_subscribe(link.LeafSubscribe(subject, queue, 1 if queue else 0))
            self._inquiry = StreamInquiry(self, account.router, self._may_send)
        self.owner.link_up(self)

    def _permissions_changed(self, info: spoke.HubInfo) -> None:
        """Permissions came anew: take back interest that is no longer allowed, and tell what now is."""
        self._heed(info)
        if self._feed is not None:
            self._feed.permissions_changed()
        self.forget_routes()

    def _heed(self, info: spoke.HubInfo) -> None:
        self.info = info
        self.cluster = info.cluster.encode()
        told = info.may_receive or link.Permissions()
        deny = (*(told.deny or ()), *self.owner.config.deny_imports)
        self._rules = InterestRules(link.Permissions(told.allow, deny), closed_subjects(info.domain))
        self.owner.refused.begin(info)

    def on_subscribe(self, event: link.LeafSubscribe) -> None:
        ours = self.own_loop_subject()
        self._taking.pop((event.subject, event.queue), None)
        if event.subject.startswith(ours) and not self.comes_back(event.subject):
            self.owner.loop_heard(event.subject)
        else:
            super().on_subscribe(event)

    def own_loop_subject(self) -> bytes:
        """What the loop subjects of all links of the account begin with."""
        assert self.account is not None
        return loop_subject(self.runtime.names, self.account)

    def on_unsubscribe(self, event: link.LeafUnsubscribe) -> None:
        self._held.pop((event.subject, event.queue), None)
        self._taking.pop((event.subject, event.queue), None)
        super().on_unsubscribe(event)

    def on_pong(self, event: Pong) -> None:
        super().on_pong(event)
        if self.state is State.SETTLING:
            self._begin()

    def on_error(self, event: link.PeerError) -> None:
        subject = refused_subject(event.error)
        if subject and self.owner.refused.add(subject):
            self.owner.interest_refused(subject)
        else:
            self.owner.hub_error(event.text)

    HANDLERS: ClassVar[dict[type, Callable[..., object]]] = {
        **LeafnodeSession.HANDLERS,
        spoke.HubInfo: _on_info,
        Denied: _on_denied,
        link.LeafSubscribe: on_subscribe,
        link.LeafUnsubscribe: on_unsubscribe,
        Pong: on_pong,
    }

    def _give_up(self, now: float) -> None:
        farewell = encode_error("Stale Leaf Node Connection - Closing")
        self.connection.close(CloseReason.AUTHENTICATION_TIMEOUT, f"gave up {self.state.value}", farewell)

    def _fail(self, detail: str) -> None:
        self.connection.close(CloseReason.INCORRECT_PORT, detail)
