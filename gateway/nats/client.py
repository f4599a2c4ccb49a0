"""NATS client session: what a NATS client's operations mean here."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import ClassVar

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.accounts.admission import Admission, AdmissionRequest, connection_type
from gateway.accounts.client_facts import ClientFacts
from gateway.accounts.identity import Decision, Identity, Refusal
from gateway.accounts.permissions import EVERYTHING, Permissions
from gateway.accounts.review import review
from gateway.accounts.withdrawal import withdraw
from gateway.dataplane.deliveries import FanOut
from gateway.dataplane.drawers import Drawers
from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import ROUTED, Drawn
from gateway.dataplane.routes import LOOKED_AT_AS_DELIVERED
from gateway.dataplane.searching import Search
from gateway.dataplane.verdicts import Denied
from gateway.nats.credentials import credentials_of
from gateway.nats.liveness import Liveness
from gateway.nats.message_trace import Traced, header_fields, set_apart
from gateway.nats.no_responders import NoResponders
from gateway.nats.server_info import new_nonce, server_info, servers_info, stream_info, tls_info
from gateway.nats.traced_way import TracedWay, request_of
from gateway.runtime.budget import Holding, subscription_bytes
from gateway.runtime.turns import DECODED_AT_ONCE, TURN_SECONDS
from gateway.services.presence import Presence, is_presence_subject
from gateway.services.server_facts import server_facts
from gateway.storage.published_ids import name_publisher
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot, SubscriptionSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.foreign_text import is_legal
from protocols.message import Burst, Message, make_message, readdressed
from protocols.nats import server
from protocols.nats.framing import Refused, encode_error
from protocols.nats.heartbeats import PONG, Ping, Pong
from protocols.nats.login import NOBODY
from protocols.subjects import RESERVED_SUBJECTS, is_valid_filter, is_valid_literal

log = logging.getLogger("leafgate.nats")

FIRST_OF_CONNECT = (b"C", b"c")
SYSTEM_QUEUE = b"_sys_"
SUBSCRIPTIONS = "subscriptions"


class NatsClientSession(Port):
    """One NATS client. Where it is admitted without credentials every operation is open to it, even before CONNECT.

    Where it is not, it must begin with a CONNECT. `_left` are events that wait for the next turn.
    """

    kind = "nats"
    connection_type = "nats"
    is_client = True
    subscription_type: ClassVar[type[NatsSubscription]] = NatsSubscription

    __slots__ = (
        "_account",
        "_begun",
        "_greeted",
        "_left",
        "_liveness",
        "_no_responders",
        "_nonce",
        "_permissions",
        "_presence",
        "_presence_subject",
        "_request",
        "_told_account",
        "_traces",
        "connection",
        "decoder",
        "has_more",
        "holding",
        "identity",
        "options",
        "runtime",
        "subscriptions",
    )

    def __init__(self, connection: Connection, admission: Admission) -> None:
        super().__init__(connection.outbox)
        self.connection = connection
        self.runtime = connection.runtime
        self._account: Account | None = None
        self.identity: Identity | None = None
        self._permissions = EVERYTHING
        # What it may sign to say who it is, once; empty where nobody signs.
        self._nonce = b""
        self.headers = False
        limits = self.runtime.settings.limits
        self.decoder = server.ServerDecoder(
            limits.max_payload_bytes, limits.max_control_line_bytes, limits.max_header_lines
        )
        self.decoder.slice_size = DECODED_AT_ONCE
        self._left: list[object] = []
        self.has_more = False
        self._request = AdmissionRequest(connection, admission)
        self.options = server.DEFAULT_OPTIONS
        self.subscriptions = Drawers()
        self.holding = Holding(self.runtime.budget)
        self._liveness = Liveness(connection)
        # Whether there was a first byte.
        self._begun = False
        self._greeted = False
        self._told_account = False
        # Traces that were told.
        self._traces = 0
        self._no_responders = NoResponders(self.runtime.turns)
        self._presence: Presence | None = None
        # A connection has one, once and for all.
        self._presence_subject = ""

    @property
    def port(self) -> Port:
        return self

    def client_facts(self) -> ClientFacts:
        """Who the client is, for services of other accounts."""
        listener = self.connection.listener
        return ClientFacts(
            kind="Client",
            type="websocket" if listener is not None and listener.protocol == "websocket" else "nats",
            start=time.time() - (trio.current_time() - self.connection.started),
            host=str(self.connection.address[0]),
            cid=self.connection.cid,
            user=self.user,
            name=self.options.name,
            lang=self.options.lang,
            version=self.options.version,
            rtt=self._liveness.rtt,
        )

    @property
    def user(self) -> str:
        """Who the client was admitted as; where nobody is asked, as it called itself in CONNECT."""
        return (self.identity.user if self.identity is not None else "") or self.options.user

    @property
    def account(self) -> Account:
        """The one that it was admitted to; nobody asks for it before."""
        assert self._account is not None
        return self._account

    def greet(self) -> bytes:
        """INFO, for whom it is said before the session is opened."""
        self._greeted = True
        if self.runtime.settings.config.challenges:
            self._nonce = new_nonce()
        listener = self.connection.listener
        is_known = self._account is not None or self._request.admission.anonymous(self._came_by, listener) is not None
        return server.encode_info(self._info() | self._asks(is_known))

    def opened(self) -> None:
        somebody = self._request.admission.anonymous(self._came_by, self.connection.listener)
        if somebody is not None:
            self._take_identity(somebody)
            self._take_rights(somebody.permissions)
        if not self._greeted:
            self._write(self.greet())
        if self.runtime.neighbour is not None:
            self.runtime.neighbour.hearers.add(self)
        if somebody is not None and not somebody.account.enter():
            self._account = None
            self._turn_away()
            return
        # Where nobody is asked one may be silent; a user who need not say so must at least say something.
        if somebody is not None and not somebody.user:
            self._liveness.be_patient()
        else:
            self._liveness.expect_words()

    def publisher(self) -> bytes:
        user = self.identity.user if self.identity is not None else ""
        return name_publisher("nats", str(self.connection.address[0]), user)

    def receive(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            if data[:1] not in FIRST_OF_CONNECT and not self._may_begin_without_connect():
                return
        if self._left:
            events, self._left = self._left, []
        else:
            events = self.decoder.receive(data)
            if self.decoder.headed:
                self.decoder.headed = False
                events = set_apart(events)
        self._act(events)
        self.has_more = bool(self._left) or self.decoder.has_more
        if events and self._account is not None:
            self._hear_of()

    def _may_begin_without_connect(self) -> bool:
        if self._account is None:
            self._request.report("an operation before CONNECT")
            self._refuse_entry()
            return False
        if not self._liveness.is_patient:
            self._liveness.be_patient()  # That is an answer to the question who it is: nobody.
        return True

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

    def unfinished_bytes(self) -> int:
        return self.decoder.unfinished_bytes()

    def refuse_input(self, detail: str) -> None:
        """nats-server has no such limit; of what it says this comes nearest."""
        self.connection.close(CloseReason.MAXIMUM_MEMORY_EXCEEDED, detail, encode_error("Maximum Payload Violation"))

    def announce_lame_duck(self) -> None:
        """Tell the client to look for another server."""
        if self.options.protocol >= 1:
            self._write(server.encode_info(self._info() | {"ldm": True}))

    def servers_changed(self) -> None:
        """The other gateway of the pair is there, or not any more."""
        if self.options.protocol >= 1 and self.connection.close_reason is None:
            self._write(server.encode_info(self._info()))

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def settings_changed(self) -> None:
        told = self.decoder.max_payload
        self._limit_decoder()
        if self.options.protocol >= 1 and self.decoder.max_payload != told:
            self._write(server.encode_info(self._info()))
        self._liveness.settings_changed()

    def identity_changed(self, identity: Identity) -> None:
        """See gateway.accounts.identity.Member."""
        if self._account is None or self.connection.close_reason is not None:
            return
        if identity.account is not self._account:
            self.connection.close(CloseReason.CREDENTIALS_REVOKED, "the user belongs to another account")
            return
        told = self.decoder.max_payload
        self._take_identity(identity)
        if self.options.protocol >= 1 and self.decoder.max_payload != told:
            self._write(server.encode_info(self._info()))
        if identity.permissions is self._permissions:
            return
        self._take_rights(identity.permissions)
        presence = self._presence
        if presence is not None and not self.allows(presence.subject):
            self._refuse(f'Publish to "{text(presence.subject)}"')
            self._tell_presence("")
        review(self.runtime.turns, self.subscriptions.values(), self._review)

    def identity_lost(self, refusal: Refusal) -> None:
        """See gateway.accounts.identity.Member."""
        farewell = encode_error(refusal.told) if refusal.told else b""
        self.connection.close(CloseReason.CREDENTIALS_REVOKED, refusal.reason, farewell)

    def describe(self) -> PeerSnapshot:
        return PeerSnapshot(
            type="nats",
            account=self._account.name if self._account is not None else "",
            user=self.user,
            name=self.options.name,
            lang=self.options.lang,
            version=self.options.version,
            rtt=self._liveness.rtt,
            subscriptions=len(self.subscriptions),
            list_subscriptions=self._list_subscriptions,
        )

    def _list_subscriptions(self) -> Iterator[SubscriptionSnapshot]:
        for one in self.subscriptions.values():
            yield SubscriptionSnapshot(text(one.subject), text(one.sid), text(one.queue), one.delivered, one.maximum)

    def closed(self, reason: CloseReason) -> None:
        if self.runtime.neighbour is not None:
            self.runtime.neighbour.hearers.discard(self)
        self._liveness.end()
        self._request.end()
        self._drop_subscriptions()
        self._tell_presence("")
        if self._account is not None:
            self._account.leave()

    # What routing calls (gateway.dataplane.port.Port).

    def undelivered(self, message: Message) -> None:
        """Answer a request that nobody listens to: 503 to the requester's own subscription."""
        if self.options.no_responders:
            looked = self._no_responders.answer(message, self, self.account)
            self.effort += looked // LOOKED_AT_AS_DELIVERED

    def exhausted(self, receiver: Receiver) -> None:
        assert isinstance(receiver, NatsSubscription)
        self._remove(receiver)

    # Operations. What is returned is what is left of an event.

    def _on_connect(self, event: server.Connect) -> None:
        options = server.merge_options(self.options, event)
        login = event.login
        if login is NOBODY and self.identity is not None and self.options is not server.DEFAULT_OPTIONS:
            self._decided(options, self.identity, [])  # It only wants other options.
            return
        credentials = credentials_of(
            self.connection,
            self._came_by,
            login,
            self._nonce,
            name=options.name,
            lang=options.lang,
            version=options.version,
            protocol=options.protocol,
        )
        self._nonce = b""
        self._request.ask(credentials, lambda decision, held: self._decided(options, decision, held))

    def _decided(self, options: server.ConnectOptions, decision: Decision, held: list[object]) -> None:
        """Go on as whoever the client was admitted as, with what it said behind its CONNECT."""
        if isinstance(decision, Refusal):
            if decision.is_busy:  # A client that hears so comes again.
                self._close(CloseReason.AUTHENTICATION_TIMEOUT, "Authentication Timeout")
            else:
                self._refuse_entry()
            return
        if options.account or options.new_account:
            self._request.report("an account of its own choice", options.user)
            self._refuse_entry()
            return
        fault = self._fault_in(options)
        if fault is not None:
            self._close(*fault)
            return
        account = decision.account
        if account is not self._account:
            if not account.enter():
                self._turn_away()
                return
            if self._account is not None:
                self._account.leave()
        others = account is not self._account or decision.permissions is not self._permissions
        if self.options is not server.DEFAULT_OPTIONS or others:
            self._drop_subscriptions()
        if account is not self._account:
            self._tell_presence("")
            self._told_account = False
        # Traces that were told.
        self._traces = 0
        self._take_identity(decision)
        self._take_rights(decision.permissions)
        self.options = options
        self.echo = options.echo
        self.headers = options.headers
        self._presence_subject = options.presence or self._presence_subject
        if options.presence and not self.allows(options.presence.encode()):
            self._refuse(f'Publish to "{options.presence}"')
            self._tell_presence("")
        else:
            self._tell_presence(options.presence)
        self._accepted()
        self._hear_of()
        self._act(held)

    def _fault_in(self, options: server.ConnectOptions) -> tuple[CloseReason, str] | None:
        """Why a client that may come in cannot be served so, if so."""
        if options.protocol not in (0, 1):
            return CloseReason.BAD_CLIENT_PROTOCOL_VERSION, "invalid client protocol"
        if options.no_responders and not options.headers:
            return CloseReason.PROTOCOL_VIOLATION, "no responders requires headers support"
        if options.presence and not is_presence_subject(options.presence.encode()):
            return CloseReason.PROTOCOL_VIOLATION, "Invalid Presence Subject"
        if options.presence and self._presence_subject not in ("", options.presence):
            return CloseReason.PROTOCOL_VIOLATION, "Second Presence Subject"
        return None

    def _take_identity(self, identity: Identity) -> None:
        self.identity = identity
        self._account = identity.account
        self._limit_decoder()
        self._request.expire(identity, self._expire)

    def _expire(self) -> None:
        self._close(CloseReason.AUTHENTICATION_EXPIRED, "User Authentication Expired")

    def _turn_away(self) -> None:
        self._close(CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS, "maximum account active connections exceeded")

    def _refuse_entry(self) -> None:
        self._close(CloseReason.AUTHENTICATION_FAILURE, "Authorization Violation")

    def _take_rights(self, permissions: Permissions) -> None:
        """What may be done from now on, and nothing that was to be answered before."""
        self._permissions = permissions
        self.may_publish = permissions.publishing
        self.may_receive = permissions.receiving
        self.replies = permissions.make_replies()

    def _review(self, subscription: NatsSubscription) -> None:
        """Take a subscription back that is not allowed any more."""
        if self.subscriptions.get(subscription.sid) is not subscription:
            return
        subject, queue = subscription.subject, subscription.queue
        if self._permissions.may_subscribe(subject, queue):
            filtered = self._permissions.filters(subject)
            if filtered or subscription.filtered:
                subscription.filtered = filtered
                self.account.router.refresh(subscription)
            return
        self._remove(subscription)
        self._refuse(f'{subscription_text(subject, queue)} (sid "{text(subscription.sid)}")')

    def _on_subscribe(self, event: server.Subscribe) -> None:
        if event.queue == SYSTEM_QUEUE or not self._permissions.may_subscribe(event.subject, event.queue):
            self._refuse(subscription_text(event.subject, event.queue))
            return
        limit = self._max_subscriptions()
        if limit and len(self.subscriptions) >= limit:
            self._write(encode_error("maximum subscriptions exceeded"))
            return
        if not is_valid_filter(event.subject):
            self._write(encode_error("Invalid Subject"))
            return
        if event.sid not in self.subscriptions:
            most = self.runtime.settings.limits.max_subscription_bytes
            size = subscription_bytes(event.subject, event.queue, event.sid)
            holding = self.holding
            if (most and holding.bytes + size > most) or not holding.ask(SUBSCRIPTIONS, size):
                self._write(encode_error("maximum subscriptions exceeded"))
                return
            subscription = self.subscription_type(self, event.subject, event.queue, event.sid)
            subscription.filtered = self._permissions.filters(event.subject)
            self.subscriptions.put(event.sid, subscription)
            self.account.router.subscribe(subscription)
        self._accepted()

    def _on_unsubscribe(self, event: server.Unsubscribe) -> None:
        subscription: NatsSubscription | None = self.subscriptions.get(event.sid)
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
        if not self.allows(message.subject):
            return self._judge(message)
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

    def _on_denied(self, event: Denied) -> object:
        denied = event.event
        if isinstance(denied, Burst):
            return self._on_burst(denied)
        assert isinstance(denied, Message)
        return self._judge(denied)

    def _judge(self, message: Message) -> object:
        """Take a message that only the right to answer can allow, or refuse it; returns what is left of it."""
        if self.replies is not None and self.replies.use(message.subject):
            self._accepted()
            return Drawn([message])
        self.in_messages += 1
        self.in_bytes += message.size
        self._refuse(f'Publish to "{text(message.subject)}"')
        return None

    def _on_refused(self, event: Refused) -> None:
        message = event.message
        if not (is_legal(message.subject) and is_legal(message.reply)):
            self._write(encode_error("Invalid Publish Subject"))
        elif message.subject.startswith(RESERVED_SUBJECTS) or not self.allows(message.subject):
            self._refuse(f'Publish to "{text(message.subject)}"')
        else:
            self._refuse(f'Publish with Reply of "{text(message.reply)}"')

    def _on_traced(self, event: Traced) -> object:
        """Tell what becomes of a message; where it is not to be told, nothing becomes of it. Returns what is left."""
        message, destination = event.message, event.destination
        if not is_valid_literal(destination) or destination.startswith(RESERVED_SUBJECTS):
            return None if event.only else self._on_message(message)
        if not self.allows(destination):
            self._refuse(f'Publish to "{text(destination)}"')
            return None
        way = TracedWay(self.account, self, event.only)
        first = way.came_in(message, self.connection.cid, self.options.name)
        if self.allows_now(message.subject):
            self._accepted()
            left = self._follow(message, way, event.only)
        else:
            first["error"] = f'Permissions Violation for Publish to "{text(message.subject)}"'
            left = self._judge(message)
        self._traces += 1
        told = {
            "server": server_facts(self.runtime.names, self._traces),
            "request": request_of(message, header_fields(message.header())),
            "events": way.steps,
        }
        self.account.publish(make_message(destination, msgspec.json.encode(told)), owner=self)
        return left

    def _follow(self, message: Message, way: TracedWay, only: bool) -> object:
        router = self.account.router
        subject = router.destination(message.subject)
        if subject != message.subject:
            way.mapped(subject)
        if subject:
            way.follow(subject)
        left: object = None
        if only or not subject:
            self.in_messages += 1
            self.in_bytes += message.size
        else:
            routed = message if subject == message.subject else readdressed(message, subject)
            left = router.begin(routed, self, subject)
        way.delivered()
        return left

    def _on_ping(self, event: Ping) -> None:
        owed = event.count
        self.connection.heartbeats(owed)
        if self.options.protocol >= 1 and not self._told_account:
            self._told_account = True
            about: dict[str, object] = {"connect_info": True, "remote_account": self.account.name}
            if self.account.is_system:
                about["acc_is_sys"] = True
            self._write(PONG + server.encode_info(self._info() | about))
            owed -= 1
        if owed:
            self._write(PONG * owed)

    def _on_pong(self, event: Pong) -> None:
        self._liveness.pong()
        self.connection.heartbeats(event.count)

    def _on_violation(self, event: PeerViolation) -> None:
        self.connection.close(event.reason, event.detail, event.farewell)

    _HANDLERS: ClassVar[dict[type, Callable[..., object]]] = {
        Message: _on_message,
        Burst: _on_burst,
        FanOut: _on_fan_out,
        Search: _on_fan_out,
        Drawn: _on_fan_out,
        deque: _on_messages,
        Denied: _on_denied,
        Refused: _on_refused,
        Traced: _on_traced,
        server.Connect: _on_connect,
        server.Subscribe: _on_subscribe,
        server.Unsubscribe: _on_unsubscribe,
        Ping: _on_ping,
        Pong: _on_pong,
        PeerViolation: _on_violation,
    }

    # Small parts.

    def _hear_of(self) -> None:
        """Who has come in has said something."""
        if not self._liveness.has_spoken and self._request.held is None and self.connection.close_reason is None:
            self._liveness.hear()

    @property
    def _came_by(self) -> str:
        return connection_type(self.connection_type, self.connection)

    def _max_subscriptions(self) -> int:
        most = self.runtime.settings.limits.max_subscriptions
        return self.identity.limits.subscriptions(most) if self.identity is not None else most

    def _limit_decoder(self) -> None:
        limits = self.runtime.settings.limits
        most = limits.max_payload_bytes
        if self.identity is not None:
            most = self.identity.limits.payload_bytes(most)
        self.decoder.limit(most, limits.max_control_line_bytes, limits.max_header_lines)

    def _asks(self, is_known: bool) -> dict[str, object]:
        """What INFO says to somebody new: whether he has to say who he is, and what he may sign."""
        asks: dict[str, object] = {} if is_known else {"auth_required": True}
        return asks | {"nonce": self._nonce.decode()} if self._nonce else asks

    def _info(self) -> dict[str, object]:
        host, port = self.connection.local_address()
        return (
            server_info(self.runtime)
            | stream_info(self.runtime)
            | tls_info(self.connection)
            | servers_info(self.connection)
            | {
                "max_payload": self.decoder.max_payload,
                "host": host,
                "port": port,
                "client_id": self.connection.cid,
                "client_ip": self.connection.address[0],
            }
        )

    def _write(self, data: bytes) -> None:
        self.connection.outbox.write(data)

    def _accepted(self) -> None:
        if self.options.verbose:
            self._write(server.OK)

    def _refuse(self, what: str) -> None:
        self._write(encode_error(f"Permissions Violation for {what}"))
        self.runtime.repeats.log(
            log,
            logging.WARNING,
            ("not-permitted", self.connection.cid),
            "cid=%d event=not-permitted user=%.100r detail=%.300r",
            self.connection.cid,
            self.user,
            what,
        )

    def _close(self, reason: CloseReason, error: str) -> None:
        self.connection.close(reason, "", encode_error(error))

    def _remove(self, subscription: NatsSubscription) -> None:
        if self.subscriptions.pop(subscription.sid) is not None:
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
        if len(self.subscriptions):  # Who was never admitted has no account.
            withdraw(self.runtime.turns, self.account.router, self.subscriptions.drain())
        self.holding.release()


def text(subject: bytes) -> str:
    return subject.decode("utf-8", "replace")


def subscription_text(subject: bytes, queue: bytes) -> str:
    """A subscription as an error names it."""
    group = f' using queue "{text(queue)}"' if queue else ""
    return f'Subscription to "{text(subject)}"{group}'
