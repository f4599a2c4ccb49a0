"""NATS client session: what a NATS client's operations mean here."""

import logging
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import ClassVar

import trio

from gateway.accounts.account import Account
from gateway.accounts.admission import Admission, AdmissionRequest, Credentials, Decision, Refusal
from gateway.accounts.withdrawal import withdraw
from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import ROUTED, FanOut
from gateway.nats.message_trace import Traced, set_apart
from gateway.nats.server_info import server_info
from gateway.runtime.budget import Holding, subscription_bytes
from gateway.runtime.deadlines import Deadline
from gateway.runtime.turns import TURN_SECONDS
from gateway.services.presence import Presence, is_presence_subject
from gateway.transport.connection import Connection, expect_introduction
from gateway.transport.snapshot import PeerSnapshot, SubscriptionSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.foreign_text import is_legal
from protocols.message import Burst, Message, make_message
from protocols.nats import server
from protocols.nats.framing import Refused, encode_error
from protocols.nats.heartbeats import PING, PONG, Ping, Pong
from protocols.subjects import RESERVED_SUBJECTS, is_valid_filter, is_valid_literal

log = logging.getLogger("leafgate.nats")

# A first PING soon after CONNECT measures the round trip; the spread keeps many clients from pinging at once.
FIRST_PING_SECONDS = 2.0
FIRST_PING_SPREAD = 0.4
FIRST_OF_CONNECT = (b"C", b"c")
SYSTEM_QUEUE = b"_sys_"
SUBSCRIPTIONS = "subscriptions"


class NatsClientSession(Port):
    """One NATS client. Where it is admitted without credentials every operation is open to it, even before CONNECT.

    Where it is not, it must begin with a CONNECT. `_left` are events that wait for the next turn.
    """

    kind = "nats"
    is_client = True
    subscription_type: ClassVar[type[NatsSubscription]] = NatsSubscription

    __slots__ = (
        "_account",
        "_begun",
        "_deadline",
        "_left",
        "_pinged_at",
        "_pings_out",
        "_presence",
        "_presence_subject",
        "_request",
        "_spoke",
        "_told_account",
        "connection",
        "decoder",
        "has_more",
        "holding",
        "options",
        "rtt",
        "runtime",
        "subscriptions",
    )

    def __init__(self, connection: Connection, admission: Admission) -> None:
        super().__init__(connection.outbox)
        self.connection = connection
        self.runtime = connection.runtime
        self._account: Account | None = None
        self.headers = False
        limits = self.runtime.settings.limits
        self.decoder = server.ServerDecoder(
            limits.max_payload_bytes, limits.max_control_line_bytes, limits.max_header_lines
        )
        self._left: list[object] = []
        self.has_more = False
        self._request = AdmissionRequest(connection, admission)
        self.options = server.DEFAULT_OPTIONS
        self.subscriptions: dict[bytes, NatsSubscription] = {}
        self.holding = Holding(self.runtime.budget)
        self.rtt: float | None = None
        self._pings_out = 0
        self._pinged_at = 0.0
        # Of what it says: that there was a first byte, that there was a first operation which it may do.
        self._begun = self._spoke = False
        self._told_account = False
        self._presence: Presence | None = None
        # A connection has one, once and for all.
        self._presence_subject = ""
        self._deadline: Deadline | None = None

    @property
    def port(self) -> Port:
        return self

    @property
    def user(self) -> str:
        """As the client called itself in CONNECT."""
        return self.options.user

    @property
    def account(self) -> Account:
        """The one that it was admitted to; nobody asks for it before."""
        assert self._account is not None
        return self._account

    def opened(self) -> None:
        somebody = self._request.admission.anonymous(self.kind)
        if somebody is not None:
            self._account = somebody.account
        self._write(server.encode_info(self._info()))
        if somebody is not None:  # Who need not say who he is may be silent, as in nats-server.
            self._call_in(self.runtime.settings.timeouts.ping_interval_seconds, self._ping)
        else:
            self._expect_words()

    def publisher(self) -> bytes:
        return b"nats " + str(self.connection.address[0]).encode()

    def receive(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            if self._account is None and data[:1] not in FIRST_OF_CONNECT:
                self._refuse_entry()
                return
        if self.has_more:
            events, self._left = self._left, []
            self.has_more = False
        else:
            events = self.decoder.receive(data)
            if self.decoder.headed:
                self.decoder.headed = False
                events = set_apart(events)
        self._act(events)
        if events and self._account is not None:
            self._hear_of()

    def _act(self, events: list[object]) -> None:
        request = self._request
        if request.held is not None:
            request.held += events
            return
        index, count = 0, len(events)
        clock = self.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while index < count:
            if self._account is not None and not (self.options.verbose or self.options.pedantic):
                index = self._account.router.forward(events, index, self)
                if index == count:
                    break
                if type(events[index]) in ROUTED:
                    if clock() > until:
                        self._leave(events, index)
                        return
                    continue
            event = events[index]
            rest = self._HANDLERS[type(event)](self, event)
            if rest is None:
                index += 1
            else:
                events[index] = rest
            if self.connection.close_reason is not None:
                return
            if request.held is not None:
                request.held += events[index:]
                return
            if index < count and clock() > until:
                self._leave(events, index)
                return

    def _leave(self, events: list[object], index: int) -> None:
        """The turn is over."""
        self._left = events[index:]
        self.has_more = True

    def announce_lame_duck(self) -> None:
        """Tell the client to look for another server."""
        if self.options.protocol >= 1:
            self._write(server.encode_info(self._info() | {"ldm": True}))

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def settings_changed(self) -> None:
        limits = self.runtime.settings.limits
        told = self.decoder.max_payload
        self.decoder.limit(limits.max_payload_bytes, limits.max_control_line_bytes, limits.max_header_lines)
        if self.options.protocol >= 1 and limits.max_payload_bytes != told:
            self._write(server.encode_info(self._info()))
        if self._deadline is not None and self._deadline.action == self._ping:
            self._ping_earlier()
        else:
            self._expect_words()

    def describe(self) -> PeerSnapshot:
        return PeerSnapshot(
            type="nats",
            account=self._account.name if self._account is not None else "",
            name=self.options.name,
            lang=self.options.lang,
            version=self.options.version,
            rtt=self.rtt,
            subscriptions=len(self.subscriptions),
            list_subscriptions=self._list_subscriptions,
        )

    def _list_subscriptions(self) -> Iterator[SubscriptionSnapshot]:
        for one in list(self.subscriptions.values()):
            yield SubscriptionSnapshot(text(one.subject), text(one.sid), text(one.queue), one.delivered, one.maximum)

    def closed(self, reason: CloseReason) -> None:
        self.runtime.deadlines.cancel(self._deadline)
        self._drop_subscriptions()
        self._tell_presence("")

    # What routing calls (gateway.dataplane.port.Port).

    def undelivered(self, message: Message) -> None:
        """Answer a request that nobody listens to: 503 to the requester's own subscription."""
        if not self.options.no_responders:
            return
        header = server.no_responders_header(message.subject)
        answer = make_message(message.reply, b"", header=header)
        for interest in self.account.router.tree.match(message.reply):
            for receiver in interest.plain:
                if receiver.port is self:
                    receiver.deliver(answer, self.account.port)
                    return

    def exhausted(self, receiver: Receiver) -> None:
        assert isinstance(receiver, NatsSubscription)
        self._remove(receiver)

    # Operations. What is returned is what is left of an event.

    def _on_connect(self, event: server.Connect) -> None:
        options = server.merge_options(self.options, event)
        if options.protocol not in (0, 1):
            self._close(CloseReason.BAD_CLIENT_PROTOCOL_VERSION, "invalid client protocol")
        elif options.account:
            self._refuse_entry()
        elif options.no_responders and not options.headers:
            self._close(CloseReason.PROTOCOL_VIOLATION, "no responders requires headers support")
        elif options.presence and not is_presence_subject(options.presence.encode()):
            self._close(CloseReason.PROTOCOL_VIOLATION, "Invalid Presence Subject")
        elif options.presence and self._presence_subject not in ("", options.presence):
            self._close(CloseReason.PROTOCOL_VIOLATION, "Second Presence Subject")
        else:
            credentials = Credentials(
                kind=self.kind,
                user=options.user,
                password=event.password.encode("utf-8", "surrogatepass"),
                token=options.auth_token,
                address=self.connection.address[0],
            )
            self._request.ask(credentials, lambda decision, held: self._decided(options, decision, held))

    def _decided(self, options: server.ConnectOptions, decision: Decision, held: list[object]) -> None:
        """Go on as whoever the client was admitted as, with what it said behind its CONNECT."""
        if isinstance(decision, Refusal):
            self._refuse_entry()
            return
        account = decision.account
        if self.options is not server.DEFAULT_OPTIONS or account is not self._account:
            self._drop_subscriptions()
        if account is not self._account:
            self._tell_presence("")
            self._told_account = False
        self._account = account
        self.options = options
        self.echo = options.echo
        self.headers = options.headers
        self._presence_subject = options.presence or self._presence_subject
        self._tell_presence(options.presence)
        self._accepted()
        self._hear_of()
        self._act(held)

    def _refuse_entry(self) -> None:
        self._close(CloseReason.AUTHENTICATION_FAILURE, "Authorization Violation")

    def _on_subscribe(self, event: server.Subscribe) -> None:
        limit = self.runtime.settings.limits.max_subscriptions
        if limit and len(self.subscriptions) >= limit:
            self._write(encode_error("maximum subscriptions exceeded"))
            return
        if not is_valid_filter(event.subject):
            self._write(encode_error("Invalid Subject"))
            return
        if event.queue == SYSTEM_QUEUE:
            self._refuse(f'Subscription to "{text(event.subject)}" using queue "{text(event.queue)}"')
            return
        if event.sid not in self.subscriptions:
            most = self.runtime.settings.limits.max_subscription_bytes
            size = subscription_bytes(event.subject, event.queue, event.sid)
            holding = self.holding
            if (most and holding.bytes + size > most) or not holding.ask(SUBSCRIPTIONS, size):
                self._write(encode_error("maximum subscriptions exceeded"))
                return
            subscription = self.subscription_type(self, event.subject, event.queue, event.sid)
            self.subscriptions[event.sid] = subscription
            self.account.router.subscribe(subscription)
        self._accepted()

    def _on_unsubscribe(self, event: server.Unsubscribe) -> None:
        subscription = self.subscriptions.get(event.sid)
        if subscription is not None:
            if event.maximum > subscription.delivered:
                subscription.maximum = event.maximum
            else:
                self._remove(subscription)
        self._accepted()

    def _on_message(self, message: Message) -> object:
        """A publish of a client that wants to hear more about it than delivery."""
        if self.options.pedantic and not is_valid_literal(message.subject):
            self._write(encode_error("Invalid Publish Subject"))
        self._accepted()
        return self._on_fan_out(message)

    def _on_fan_out(self, event: object) -> object:
        events = [event]
        return None if self.account.router.forward(events, 0, self) else events[0]

    def _on_burst(self, burst: Burst) -> object:
        messages: deque[object] = deque(burst.messages())
        return self._on_messages(messages)

    def _on_messages(self, messages: "deque[object]") -> object:
        """The messages of a burst, one by one, and what is left of the last one of them."""
        event = messages.popleft()
        rest = self._on_message(event) if isinstance(event, Message) else self._on_fan_out(event)
        if rest is not None:
            messages.appendleft(rest)
        return messages or None

    def _on_refused(self, event: Refused) -> None:
        message = event.message
        if not (is_legal(message.subject) and is_legal(message.reply)):
            self._write(encode_error("Invalid Publish Subject"))
        elif message.subject.startswith(RESERVED_SUBJECTS):
            self._refuse(f'Publish to "{text(message.subject)}"')
        else:
            self._refuse(f'Publish with Reply of "{text(message.reply)}"')

    def _on_traced(self, event: Traced) -> None:
        self.in_messages += 1
        self.in_bytes += event.size
        self._accepted()

    def _on_ping(self, event: Ping) -> None:
        owed = event.count
        if self.options.protocol >= 1 and not self._told_account:
            self._told_account = True
            about = {"connect_info": True, "remote_account": self.account.name}
            self._write(PONG + server.encode_info(self._info() | about))
            owed -= 1
        if owed:
            self._write(PONG * owed)

    def _on_pong(self, event: Pong) -> None:
        if self._pings_out:
            self.rtt = trio.current_time() - self._pinged_at
        self._pings_out = 0

    def _on_violation(self, event: PeerViolation) -> None:
        self.connection.close(event.reason, event.detail, event.farewell)

    _HANDLERS: ClassVar[dict[type, Callable[..., object]]] = {
        Message: _on_message,
        Burst: _on_burst,
        FanOut: _on_fan_out,
        deque: _on_messages,
        Refused: _on_refused,
        Traced: _on_traced,
        server.Connect: _on_connect,
        server.Subscribe: _on_subscribe,
        server.Unsubscribe: _on_unsubscribe,
        Ping: _on_ping,
        Pong: _on_pong,
        PeerViolation: _on_violation,
    }

    # Time.

    def _expect_words(self) -> None:
        self._deadline = expect_introduction(self.connection, self._deadline, self._check_spoke)

    def _check_spoke(self, now: float) -> None:
        if not self._spoke:
            self._close(CloseReason.AUTHENTICATION_TIMEOUT, "Authentication Timeout")

    def _hear_of(self) -> None:
        """Who has come in and says something is a client: it is pinged from now on."""
        if self._spoke or self._request.held is not None or self.connection.close_reason is not None:
            return
        self._spoke = True
        self.connection.introduce()
        self._pings_out = 0
        self.runtime.deadlines.cancel(self._deadline)
        soon = FIRST_PING_SECONDS + random.random() * FIRST_PING_SPREAD
        self._call_in(min(soon, self.runtime.settings.timeouts.ping_interval_seconds), self._ping)

    def _ping(self, now: float) -> None:
        """Ping a client that was silent for an interval; one that left too many pings unanswered is gone."""
        timeouts = self.runtime.settings.timeouts
        quiet = now - self.connection.last_activity
        if quiet < timeouts.ping_interval_seconds and self.rtt is not None:
            self._pings_out = 0
        else:
            self._pings_out += 1
            if self._pings_out > timeouts.ping_max:
                self.connection.registry.stale_connections += 1
                self._close(CloseReason.STALE_CONNECTION, "Stale Connection")
                return
            self._pinged_at = now
            self._write(PING)
        self._call_in(timeouts.ping_interval_seconds, self._ping)

    def _ping_earlier(self) -> None:
        """The interval may be a shorter one; the spread keeps all clients from being pinged at once."""
        assert self._deadline is not None
        seconds = self.runtime.settings.timeouts.ping_interval_seconds * random.uniform(0.5, 1.0)
        if self._deadline.when > trio.current_time() + seconds:
            self.runtime.deadlines.cancel(self._deadline)
            self._call_in(seconds, self._ping)

    def _call_in(self, seconds: float, action: Callable[[float], None]) -> None:
        self._deadline = self.runtime.deadlines.call_at(trio.current_time() + seconds, action)

    # Small parts.

    def _info(self) -> dict[str, object]:
        host, port = self.connection.local_address()
        return server_info(self.runtime) | {
            "host": host,
            "port": port,
            "client_id": self.connection.cid,
            "client_ip": self.connection.address[0],
        }

    def _write(self, data: bytes) -> None:
        self.connection.outbox.write(data)

    def _accepted(self) -> None:
        if self.options.verbose:
            self._write(server.OK)

    def _refuse(self, what: str) -> None:
        self._write(encode_error(f"Permissions Violation for {what}"))

    def _close(self, reason: CloseReason, error: str) -> None:
        self.connection.close(reason, "", encode_error(error))

    def _remove(self, subscription: NatsSubscription) -> None:
        if self.subscriptions.pop(subscription.sid, None) is not None:
            size = subscription_bytes(subscription.subject, subscription.queue, subscription.sid)
            self.holding.add(SUBSCRIPTIONS, -size)
        self.account.router.unsubscribe(subscription)

    def _tell_presence(self, subject: str) -> None:
        """We are there, on this subject, and not any more on the one before."""
        told = self._presence
        wanted = subject.encode()
        if told is not None and told.subject != wanted:
            told.tell(False, {"name": self.options.name})
            self._presence = None
        if wanted and self._presence is None:
            if wanted in self.account.presences:
                log.warning(
                    "cid=%d event=twin presence=%.100r detail='two of one name, or one that came back'",
                    self.connection.cid,
                    subject,
                )
            self._presence = Presence(self.account, wanted)
            self._presence.tell(True, {"name": self.options.name})

    def _drop_subscriptions(self) -> None:
        dropped, self.subscriptions = self.subscriptions, {}
        if dropped:  # Who was never admitted has no account.
            withdraw(self.runtime.turns, self.account.router, dropped.values())
        self.holding.release()


def text(subject: bytes) -> str:
    return subject.decode("utf-8", "replace")
