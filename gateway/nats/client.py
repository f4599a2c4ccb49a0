"""NATS client session: what a NATS client's operations mean here."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import trio

from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.dataplane.port import Port, Receiver
from gateway.services.presence import Presence, is_presence_subject
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.message import Burst, Message, make_message
from protocols.nats import server
from protocols.nats.framing import Refused, encode_error
from protocols.subjects import is_valid_filter, is_valid_literal

if TYPE_CHECKING:
    from gateway.runtime.deadlines import Deadline
    from gateway.transport.connection import Connection

# A first PING soon after CONNECT measures the round trip; the spread keeps many clients from pinging at once.
FIRST_PING_SECONDS = 2.0
FIRST_PING_SPREAD = 0.4
SYSTEM_QUEUE = b"_sys_"


class NatsClientSession(Port):
    """One NATS client. Without authentication every operation is open to it, even before CONNECT."""

    kind = "nats"
    subscription_type: ClassVar[type[NatsSubscription]] = NatsSubscription

    __slots__ = (
        "_deadline",
        "_pinged_at",
        "_pings_out",
        "_presence",
        "_spoke",
        "_told_account",
        "account",
        "connection",
        "decoder",
        "options",
        "rtt",
        "subscriptions",
    )

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection.outbox)
        gateway = connection.gateway
        self.connection = connection
        self.account = gateway.account
        self.headers = False
        self.decoder = server.ServerDecoder(
            gateway.config.limits.max_payload_bytes, gateway.config.limits.max_control_line_bytes
        )
        self.options = server.DEFAULT_OPTIONS
        self.subscriptions: dict[bytes, NatsSubscription] = {}
        self.rtt: float | None = None
        self._pings_out = 0
        self._pinged_at = 0.0
        self._spoke = False
        self._told_account = False
        self._presence: Presence | None = None
        self._deadline: Deadline | None = None

    @property
    def port(self) -> Port:
        return self

    def opened(self) -> None:
        gateway = self.connection.gateway
        self._write(server.encode_info(self._info()))
        if gateway.registry.clients > gateway.config.limits.max_connections:
            self._close(CloseReason.MAXIMUM_CONNECTIONS_EXCEEDED, "maximum connections exceeded")
            return
        self._call_in(gateway.config.timeouts.connect_seconds, self._check_spoke)

    def receive(self, data: bytes) -> None:
        events = self.decoder.receive(data)
        router = self.account.router
        index, count = 0, len(events)
        plain = not (self.options.verbose or self.options.pedantic)
        while index < count:
            if plain:
                index = router.forward(events, index, self)
                if index == count:
                    break
            event = events[index]
            index += 1
            self._HANDLERS[type(event)](self, event)
            if self.connection.close_reason is not None:
                return
            plain = not (self.options.verbose or self.options.pedantic)
        if count and not self._spoke:
            self._start_pinging()

    def announce_lame_duck(self) -> None:
        """Tell the client to look for another server."""
        if self.options.protocol >= 1:
            self._write(server.encode_info(self._info() | {"ldm": True}))

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        self.connection.gateway.deadlines.cancel(self._deadline)
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
                    receiver.deliver(answer, self.connection.gateway.port)
                    return

    def exhausted(self, receiver: Receiver) -> None:
        assert isinstance(receiver, NatsSubscription)
        self._remove(receiver)

    # Operations.

    def _on_connect(self, event: server.Connect) -> None:
        options = server.merge_options(self.options, event)
        if options.protocol not in (0, 1):
            self._close(CloseReason.BAD_CLIENT_PROTOCOL_VERSION, "invalid client protocol")
        elif options.account:
            self._close(CloseReason.AUTHENTICATION_FAILURE, "Authorization Violation")
        elif options.no_responders and not options.headers:
            self._close(CloseReason.PROTOCOL_VIOLATION, "no responders requires headers support")
        elif options.presence and not is_presence_subject(options.presence.encode()):
            self._close(CloseReason.PROTOCOL_VIOLATION, "Invalid Presence Subject")
        else:
            if self.options is not server.DEFAULT_OPTIONS:
                self._drop_subscriptions()
            self.options = options
            self.echo = options.echo
            self.headers = options.headers
            self._tell_presence(options.presence)
            self._accepted()

    def _on_subscribe(self, event: server.Subscribe) -> None:
        limit = self.connection.gateway.config.limits.max_subscriptions
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

    def _on_message(self, message: Message) -> None:
        """A publish of a client that wants to hear more about it than delivery."""
        if self.options.pedantic and not is_valid_literal(message.subject):
            self._write(encode_error("Invalid Publish Subject"))
        self._accepted()
        self.account.router.forward([message], 0, self)

    def _on_burst(self, burst: Burst) -> None:
        for message in burst.messages():
            self._on_message(message)

    def _on_refused(self, event: Refused) -> None:
        message = event.message
        if message.subject.startswith(server.RESERVED_SUBJECTS):
            self._refuse(f'Publish to "{text(message.subject)}"')
        else:
            self._refuse(f'Publish with Reply of "{text(message.reply)}"')

    def _on_ping(self, event: server.Ping) -> None:
        self._write(server.PONG)
        if self.options.protocol >= 1 and not self._told_account:
            self._told_account = True
            about = {"connect_info": True, "remote_account": self.account.name}
            self._write(server.encode_info(self._info() | about))

    def _on_pong(self, event: server.Pong) -> None:
        if self._pings_out:
            self.rtt = trio.current_time() - self._pinged_at
        self._pings_out = 0

    def _on_violation(self, event: PeerViolation) -> None:
        self.connection.close(event.reason, event.detail, event.farewell)

    _HANDLERS: ClassVar[dict[type, Callable[..., None]]] = {
        Message: _on_message,
        Burst: _on_burst,
        Refused: _on_refused,
        server.Connect: _on_connect,
        server.Subscribe: _on_subscribe,
        server.Unsubscribe: _on_unsubscribe,
        server.Ping: _on_ping,
        server.Pong: _on_pong,
        PeerViolation: _on_violation,
    }

    # Time.

    def _check_spoke(self, now: float) -> None:
        if not self._spoke:
            self._close(CloseReason.AUTHENTICATION_TIMEOUT, "Authentication Timeout")

    def _start_pinging(self) -> None:
        self._spoke = True
        self.connection.gateway.deadlines.cancel(self._deadline)
        soon = FIRST_PING_SECONDS + random.random() * FIRST_PING_SPREAD
        self._call_in(min(soon, self.connection.gateway.config.timeouts.ping_interval_seconds), self._ping)

    def _ping(self, now: float) -> None:
        """Ping a client that was silent for an interval; one that left too many pings unanswered is gone."""
        timeouts = self.connection.gateway.config.timeouts
        quiet = now - self.connection.last_activity
        if quiet < timeouts.ping_interval_seconds and self.rtt is not None:
            self._pings_out = 0
        else:
            self._pings_out += 1
            if self._pings_out > timeouts.ping_max:
                self.connection.gateway.registry.stale_connections += 1
                self._close(CloseReason.STALE_CONNECTION, "Stale Connection")
                return
            self._pinged_at = now
            self._write(server.PING)
        self._call_in(timeouts.ping_interval_seconds, self._ping)

    def _call_in(self, seconds: float, action: Callable[[float], None]) -> None:
        self._deadline = self.connection.gateway.deadlines.call_at(trio.current_time() + seconds, action)

    # Small parts.

    def _info(self) -> dict[str, object]:
        host, port = self.connection.local_address()
        return self.connection.gateway.server_info() | {
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
        self.subscriptions.pop(subscription.sid, None)
        self.account.router.unsubscribe(subscription)

    def _tell_presence(self, subject: str) -> None:
        """We are there, on this subject, and not any more on the one before."""
        told = self._presence
        wanted = subject.encode()
        if told is not None and told.subject != wanted:
            told.tell(False, {"name": self.options.name})
            self._presence = None
        if wanted and self._presence is None:
            self._presence = Presence(self.connection.gateway, wanted)
            self._presence.tell(True, {"name": self.options.name})

    def _drop_subscriptions(self) -> None:
        for subscription in self.subscriptions.values():
            self.account.router.unsubscribe(subscription)
        self.subscriptions.clear()


def text(subject: bytes) -> str:
    return subject.decode("utf-8", "replace")
