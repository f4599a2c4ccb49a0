"""Leafnode session: what both ends of a link do alike; who introduces itself how is its role's business.

The hub of a link speaks first (INFO), the spoke answers with CONNECT, the hub confirms with a second INFO that holds
the permissions. From then on interest travels both ways, each distinct subject and queue group literally, in one
ordered stream with the messages.
"""

import binascii
from collections.abc import Callable, Iterator
from typing import ClassVar

import trio

from gateway.accounts.account import Account
from gateway.accounts.client_facts import ClientFacts
from gateway.accounts.withdrawal import withdraw
from gateway.dataplane.drawers import FEW, Drawers
from gateway.dataplane.nats_receivers import LeafInterest, LeafPort
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import ROUTED
from gateway.dataplane.subject_tree import Interest
from gateway.dataplane.transit import concerns, told_count
from gateway.nats import aside
from gateway.nats.leaf_interest import InterestFeed
from gateway.runtime.deadlines import Deadline
from gateway.runtime.identity import Names
from gateway.runtime.turns import DECODED_AT_ONCE, TURN_SECONDS
from gateway.transport.connection import Connection
from gateway.transport.snapshot import LinkSnapshot, PeerSnapshot, SubscriptionSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.leafnode import link
from protocols.nats.framing import Refused, encode_error
from protocols.nats.heartbeats import PING, PONG, Ping, Pong
from protocols.subjects import is_valid_filter

FIRST_PING_SECONDS = 1.0
# So many times as many pings may be unanswered while something else comes.
BUSY_PATIENCE = 4
# The other end's own MQTT bookkeeping; our MQTT clients are not its. And who a client here is, it does not know.
FOREIGN = (b"$MQTT.", b"$SYS.REQ.USER.INFO")


class LeafnodeSession(LeafPort):
    """One link. A role sets `account` and calls `join` once both ends have agreed on what the link carries."""

    kind = "leafnode"

    __slots__ = (
        "_aside",
        "_deadline",
        "_feed",
        "_heard",
        "_interest",
        "_left",
        "_pinged_at",
        "_pings_out",
        "account",
        "connection",
        "decoder",
        "has_more",
        "loop_subject",
        "rtt",
        "runtime",
    )

    def __init__(self, connection: Connection, decoder: link.LinkDecoder) -> None:
        super().__init__(connection.outbox)
        self.connection = connection
        self.runtime = connection.runtime
        self.read_with(decoder)
        self.account: Account | None = None
        # By which we notice that links form a loop.
        self.loop_subject = b""
        self._left: list[object] = []
        self.has_more = False
        self._interest = Drawers()
        # Who takes what the other end sends aside, where that may be the other gateway of a pair.
        self._aside: Callable[[bytes], None] | None = None
        # There once the link is up.
        self._feed: InterestFeed | None = None
        self.rtt: float | None = None
        self._pings_out = 0
        self._pinged_at = 0.0
        # Whether anything has come since the last ping.
        self._heard = False
        self._deadline: Deadline | None = None

    @property
    def port(self) -> Port:
        return self

    def read_with(self, decoder: link.LinkDecoder) -> None:
        """Have what comes decoded by this one, in slices."""
        self.decoder = decoder
        decoder.slice_size = DECODED_AT_ONCE

    def client_facts(self) -> ClientFacts:
        """Who a request from beyond the link comes from, as far as it is known here."""
        return ClientFacts(kind="Leafnode", type="", host=str(self.connection.address[0]), cid=self.connection.cid)

    def receive(self, data: bytes) -> None:
        if self._left:
            events, self._left = self._left, []
        else:
            self._heard = True
            events = self.decoder.receive(data)
            if self._aside is not None:
                events = aside.take_out(events, self._aside)
        self.act(events)
        self.has_more = bool(self._left) or self.decoder.has_more

    def act(self, events: list[object]) -> None:
        """Act on what the other end has said, as far as it may say that now."""
        index, count = 0, len(events)
        clock = self.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while index < count:
            if self.account is not None:
                index = self.account.router.forward(events, index, self)
                if index == count:
                    break
            event = events[index]
            if self.account is None or type(event) not in ROUTED:
                left = self.HANDLERS[type(event)](self, event)
                if left is None:
                    index += 1
                else:
                    events[index] = left
                if self.connection.close_reason is not None or self.is_held(events, index):
                    return
            if index < count and clock() > until:
                self._left = events[index:]
                self.has_more = True
                return

    def is_held(self, events: list[object], index: int) -> bool:
        """Whether nothing more may be acted on for now. What has come already are the events from `index` on."""
        return False

    def unfinished_bytes(self) -> int:
        return self.decoder.unfinished_bytes()

    def refuse_input(self, detail: str) -> None:
        """Over a link that we have opened it goes on: everybody needs the hub, and what it sends at once is bounded."""

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def announce_lame_duck(self) -> None:
        """The protocol has no words for it."""

    def settings_changed(self) -> None:
        """What it copied of them a role takes over."""

    def describe(self) -> PeerSnapshot:
        return PeerSnapshot(
            type="nats",
            account=self.account.name if self.account is not None else "",
            rtt=self.rtt,
            subscriptions=len(self._interest),
            list_subscriptions=self.list_interest,
            link=LinkSnapshot(is_spoke=self.uplink, is_isolated=self.isolated),
        )

    def closed(self, reason: CloseReason) -> None:
        self.runtime.deadlines.cancel(self._deadline)
        if self.account is None:
            return
        if self._feed is not None:
            self.account.router.unobserve(self)
            self._feed.end()
            self._feed = None
        if self._aside is not None and self.runtime.neighbour is not None:
            self._aside = None
            self.runtime.neighbour.left(self)
        withdraw(self.runtime.turns, self.account.router, self._interest.drain())

    def join(self, account: Account) -> None:
        """Both ends have agreed: tell the other one of the interest here from now on."""
        self.account = account
        if not self.loop_subject:
            self.watch_for_loops(loop_subject(self.runtime.names, account))
        self.call_in(FIRST_PING_SECONDS, self._ping)
        self._feed = InterestFeed(self, self.connection, account.router, self.permits)
        self._feed.begin()
        account.router.observe(self)
        if self.runtime.neighbour is not None:
            self._aside = self.runtime.neighbour.joined(self)

    def watch_for_loops(self, subject: bytes) -> None:
        """Tell the other end of a subject by which it is noticed when links form a loop."""
        self.loop_subject = subject
        self.write(link.encode_interest(subject, b"", 1))

    # What the other gateway of a pair has to do with it (gateway.runtime.neighbour.Link).

    def is_by(self, uplink: str, account: str) -> bool:
        return not uplink and self.account is not None and self.account.name == account

    def local_host(self) -> str:
        return str(self.connection.local_address()[0])

    def send_aside(self, data: bytes) -> None:
        self.write(aside.encode(data))
        self.runtime.switch.flush()

    def end(self, detail: str) -> None:
        self.connection.close(CloseReason.PROTOCOL_VIOLATION, detail)

    # What a role says.

    def permits(self, subject: bytes, queue: bytes) -> bool:
        """Whether the other end may be told of this interest."""
        raise NotImplementedError

    def heartbeat(self) -> tuple[float, int]:
        """Seconds between two pings, and how many may be unanswered."""
        raise NotImplementedError

    def comes_back(self, subject: bytes) -> bool:
        """Whether this is interest of our own that has gone round: on a link of our own it has a mark behind it."""
        return subject.startswith(self.loop_subject)

    def takes(self, event: link.LeafSubscribe) -> bool:
        """Whether interest of the other end's is taken; one that is known is asked for no more."""
        return is_valid_filter(event.subject)

    def gave_up(self, interest: LeafInterest) -> None:
        """The other end is not interested any more."""

    def on_error(self, event: link.PeerError) -> None:
        """The other end complains."""
        raise NotImplementedError

    # What routing calls.

    def interest_changed(self, interest: Interest, receiver: Receiver) -> None:
        if self._feed is not None and concerns(receiver, self):
            self._feed.change(interest.subject, receiver.queue, told_count(interest, receiver.queue, self))

    def tell_before(self, reply: bytes) -> None:
        if self._feed is not None:
            self._feed.tell_before(reply)

    # What the other end says.

    def on_subscribe(self, event: link.LeafSubscribe) -> None:
        assert self.account is not None
        if self.comes_back(event.subject):
            farewell = encode_error(
                f'Loop detected for leafnode account="{self.account.name}". Delaying attempt to reconnect for 30s'
            )
            self.connection.close(CloseReason.LEAFNODE_LOOP, "our own interest came back over the link", farewell)
            return
        known: LeafInterest | None = self._interest.get((event.subject, event.queue))
        if known is not None:
            if known.queue and known.weight != event.weight:
                known.weight = event.weight
                self.account.router.weight_changed(known)
            return
        if event.subject.startswith(FOREIGN) or not self.takes(event):
            return
        interest = LeafInterest(self, event.subject, event.queue, event.weight)
        self._interest.put((event.subject, event.queue), interest)
        self.account.router.subscribe(interest)

    def on_unsubscribe(self, event: link.LeafUnsubscribe) -> None:
        interest: LeafInterest | None = self._interest.pop((event.subject, event.queue))
        if interest is not None and self.account is not None:
            self.account.router.unsubscribe(interest)
            self.gave_up(interest)

    def _on_redirected(self, event: link.Redirected) -> object:
        if self.account is None or not self.allows(event.subject):
            return None
        return self.account.router.begin(event.message, self, event.subject)

    def _on_refused(self, event: Refused) -> None:
        self.kept_back("the other end sent a subject that clients cannot read")

    def _on_ping(self, event: Ping) -> None:
        self.write(PONG * event.count)

    def on_pong(self, event: Pong) -> None:
        if self._pings_out:
            self.rtt = trio.current_time() - self._pinged_at
        self._pings_out = 0

    def _on_error(self, event: link.PeerError) -> None:
        self.on_error(event)

    def _on_violation(self, event: PeerViolation) -> None:
        self.connection.close(event.reason, event.detail, event.farewell)

    HANDLERS: ClassVar[dict[type, Callable[..., object]]] = {
        link.LeafSubscribe: on_subscribe,
        link.LeafUnsubscribe: on_unsubscribe,
        link.Redirected: _on_redirected,
        Refused: _on_refused,
        link.PeerError: _on_error,
        Ping: _on_ping,
        Pong: on_pong,
        PeerViolation: _on_violation,
    }

    # Time.

    def _ping(self, now: float) -> None:
        seconds, most = self.heartbeat()
        self._pings_out += 1
        # An answer may be behind much that comes slowly. But who hears us no more may go on to send.
        if self._pings_out > (most * BUSY_PATIENCE if self._heard else most):
            self.connection.close(CloseReason.STALE_CONNECTION, "", encode_error("Stale Connection"))
            return
        self._heard = False
        self._pinged_at = now
        self.write(PING)
        self.call_in(seconds, self._ping)

    def ask_for_life(self) -> None:
        """Ping now, unless an answer is awaited already."""
        if self._pings_out == 0 and self._feed is not None:
            self.call_in(0.0, self._ping)

    def call_in(self, seconds: float, action: Callable[[float], None]) -> None:
        """Act after so long, in place of what was to be done before."""
        self.runtime.deadlines.cancel(self._deadline)
        self._deadline = self.runtime.deadlines.call_at(trio.current_time() + seconds, action)

    # Small parts.

    def list_interest(self) -> Iterator[SubscriptionSnapshot]:
        """What the other end is interested in, for whoever watches."""
        for one in self._interest.values():
            yield SubscriptionSnapshot(one.subject.decode("utf-8", "replace"), "", one.queue.decode("utf-8", "replace"))

    def forget_routes(self) -> None:
        """Rights are others: routes hold the ones before."""
        if self.account is None:
            return
        if len(self._interest) > FEW:  # To go through them all would take longer than to make all routes again.
            self.account.router.forget(b">")
            return
        for interest in self._interest.values():
            self.account.router.forget(interest.subject)

    def write(self, data: bytes) -> None:
        self.connection.outbox.write(data)


def loop_subject(names: Names, account: Account) -> bytes:
    """The subject that only this gateway tells of, in one account. A link of our own to a hub has a mark of its own
    behind it: a loop may leave on one and come back on another.
    """
    return b"%b%b-%08x" % (link.LOOP_PREFIX, names.server_id.encode(), binascii.crc32(account.name.encode()))
