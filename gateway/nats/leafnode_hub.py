"""Hub session: our end of a link that a leafnode has opened to us.

What is said and when a link is closed are nats-server's, which is the spoke at the other end most often.
"""

import logging
from collections.abc import Callable
from typing import ClassVar

from gateway.accounts.admission import Admission, AdmissionRequest, connection_type
from gateway.accounts.identity import Decision, Identity, Refusal
from gateway.accounts.permissions import EVERYTHING, Permissions, describe_rule
from gateway.dataplane.nats_receivers import NOT_PERMITTED, LeafInterest, LeafRoute
from gateway.dataplane.router import Drawn
from gateway.dataplane.verdicts import Denied, FilterSet
from gateway.nats.credentials import credentials_of
from gateway.nats.direct_get import PREFIX as DIRECT_GETS
from gateway.nats.leafnode import LeafnodeSession
from gateway.nats.server_info import new_nonce, server_info, tls_info
from gateway.nats.spoke_directory import SpokeDirectory, SpokeKey
from gateway.runtime.budget import Holding, subscription_bytes
from gateway.settings.addresses import join_address
from gateway.transport.connection import Connection, expect_introduction
from gateway.transport.snapshot import LinkSnapshot, PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.leafnode import hub, link
from protocols.leafnode.hub_rules import CLOSED, InterestRules, quoted
from protocols.message import Burst, Message, make_message
from protocols.nats.framing import encode_error
from protocols.nats.server import encode_info, no_responders_header
from protocols.subjects import RESERVED_SUBJECTS, is_literal, is_valid_filter

log = logging.getLogger("leafgate.leafnodes")

FIRST_OF_CONNECT = (b"C", b"c")
# What needs no permission: answers to requests from other accounts, and acknowledgements of JetStream's.
ALWAYS_TAKEN = (b"_R_.", link.ACK_PREFIX)
# Interest that is told, and taken, whatever the permissions are.
ALWAYS_TOLD = (link.LOOP_PREFIX, *ALWAYS_TAKEN)
NEVER_REFUSED = (link.LOOP_PREFIX, *RESERVED_SUBJECTS)
INTEREST = "subscriptions"


class HubSession(LeafnodeSession):
    """One spoke. It has to say who it is before anything else, also where nobody is asked."""

    is_client = True
    connection_type = "leafnode"

    __slots__ = (
        "_begun",
        "_greeted",
        "_hidden",
        "_key",
        "_nonce",
        "_permissions",
        "_request",
        "_rules",
        "_spokes",
        "_told_payload",
        "hello",
        "holding",
        "identity",
    )

    def __init__(self, connection: Connection, admission: Admission, spokes: SpokeDirectory) -> None:
        limits = connection.runtime.settings.limits
        decoder = hub.HubDecoder(limits.max_payload_bytes, limits.max_control_line_bytes, limits.max_header_lines)
        super().__init__(connection, decoder)
        self.identity: Identity | None = None
        self.hello = hub.SpokeConnect()
        self.holding = Holding(self.runtime.budget)
        self._spokes = spokes
        self._key: SpokeKey | None = None
        self._request = AdmissionRequest(connection, admission)
        # What it may sign to say who it is, once.
        self._nonce = b""
        self._permissions = EVERYTHING
        # What it may be told of, and what it is not given whatever its user may have.
        self._rules = InterestRules(None, ())
        self._hidden = FilterSet(CLOSED)
        self._told_payload = 0
        self._begun = self._greeted = False

    def refuse_input(self, detail: str) -> None:
        self.connection.close(CloseReason.MAXIMUM_MEMORY_EXCEEDED, detail, encode_error("Maximum Payload Violation"))

    # The beginning.

    def greet(self) -> bytes:
        """INFO, for whom it is said before the session is opened."""
        self._greeted = True
        self._nonce = new_nonce()
        is_known = self._request.admission.anonymous(self._came_by, self.connection.listener) is not None
        asks: dict[str, object] = {} if is_known else {"auth_required": True}
        return encode_info(self._info() | asks | {"nonce": self._nonce.decode(), "compression": hub.NO_COMPRESSION})

    def opened(self) -> None:
        if not self._greeted:
            self.write(self.greet())
        self._expect_words()

    def receive(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            if data[:1] not in FIRST_OF_CONNECT:
                self._request.report("an operation before CONNECT")
                self._close(CloseReason.AUTHENTICATION_FAILURE, "Authorization Violation")
                return
        super().receive(data)

    def act(self, events: list[object]) -> None:
        if self._request.held is not None:
            self._request.held += events
            return
        super().act(events)

    def is_held(self, events: list[object], index: int) -> bool:
        held = self._request.held
        if held is None:
            return False
        held += events[index:]
        return True

    def _on_connect(self, event: hub.SpokeConnect) -> None:
        if self.account is not None:
            self.connection.close(CloseReason.PROTOCOL_VIOLATION, "a second CONNECT")
            return
        credentials = credentials_of(
            self.connection, self._came_by, event.login, self._nonce, name=event.name, version=event.version
        )
        self._nonce = b""
        self._request.ask(credentials, lambda decision, held: self._decided(event, decision, held))

    def _decided(self, hello: hub.SpokeConnect, decision: Decision, held: list[object]) -> None:
        """Go on as whoever the spoke was admitted as, with what it said behind its CONNECT."""
        if isinstance(decision, Refusal):
            if decision.is_busy:  # It comes again.
                self._close(CloseReason.AUTHENTICATION_TIMEOUT, "Authentication Timeout")
            else:
                self._close(CloseReason.AUTHENTICATION_FAILURE, "Authorization Violation")
            return
        if hello.account:
            self._request.report("an account of its own choice", hello.login.user)
            self._close(CloseReason.AUTHENTICATION_FAILURE, "Authorization Violation")
            return
        fault = self._fault_in(hello)
        if fault is not None:
            self._close(*fault)
            return
        key = None
        if hello.name and hello.remote_account:
            key = SpokeKey(decision.account.name, hello.name, hello.cluster, hello.remote_account)
        if not decision.account.enter_link(key in self._spokes):
            self._close(CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS, "maximum account active connections exceeded")
            return
        self._come_in(hello, decision, key)
        self.act(held)

    def _fault_in(self, hello: hub.SpokeConnect) -> tuple[CloseReason, str] | None:
        """Why a leafnode that may come in cannot be served, if so."""
        listener = self.connection.listener
        wanted = listener.min_version if listener is not None else ""
        if hello.lang:
            return CloseReason.INCORRECT_PORT, "attempted to connect to leaf node port"
        if " " in hello.cluster:
            return CloseReason.PROTOCOL_VIOLATION, "cluster name cannot contain spaces"
        if hello.gateway:
            return (
                CloseReason.INCORRECT_PORT,
                f'Rejecting connection from gateway "{hello.gateway}" on the leafnode port',
            )
        if wanted and not hub.is_at_least(hello.version, wanted):
            return CloseReason.PROTOCOL_VIOLATION, f'connection rejected since minimum version required is "{wanted}"'
        return None

    def _come_in(self, hello: hub.SpokeConnect, identity: Identity, key: SpokeKey | None) -> None:
        account = identity.account
        listener = self.connection.listener
        self.hello = hello
        self.cluster = hello.cluster.encode()
        self.uplink = hello.is_hub
        self.headers = hello.headers
        self.isolated = hello.isolate or (listener is not None and listener.isolate)
        self._hidden = FilterSet((*CLOSED, *filter(is_valid_filter, (one.encode() for one in hello.deny_pub))))
        self._take_identity(identity)
        self._key = key
        if key is not None:
            self._spokes.come(key, self)
        self.connection.introduce()
        self.write(self._confirmation())
        log.info(
            "cid=%d event=spoke-up name=%.100r account=%s user=%.100r version=%.40r",
            self.connection.cid,
            hello.name,
            account.name,
            identity.user,
            hello.version,
        )
        self.join(account)

    # While it is here.

    def settings_changed(self) -> None:
        self._limit_decoder()
        if self.account is None:
            self._expect_words()
        elif self.decoder.max_payload != self._told_payload:
            self.write(self._confirmation())
            self.forget_routes()

    def identity_changed(self, identity: Identity) -> None:
        """See gateway.accounts.identity.Member."""
        if self.account is None or self.connection.close_reason is not None:
            return
        if identity.account is not self.account:
            self.connection.close(CloseReason.CREDENTIALS_REVOKED, "the user belongs to another account")
            return
        told = self._permissions, self._told_payload
        self._take_identity(identity)
        if told == (self._permissions, self.decoder.max_payload):
            return
        self.write(self._confirmation())
        if self._feed is not None:
            self._feed.permissions_changed()
        self.forget_routes()

    def identity_lost(self, refusal: Refusal) -> None:
        """See gateway.accounts.identity.Member."""
        farewell = encode_error(refusal.told) if refusal.told else b""
        self.connection.close(CloseReason.CREDENTIALS_REVOKED, refusal.reason, farewell)

    def replaced(self) -> None:
        """Another link has come from the same server."""
        self._key = None
        self._close(CloseReason.DUPLICATE_LEAFNODE, "Duplicate Remote LeafNode Connection")

    def closed(self, reason: CloseReason) -> None:
        self._request.end()
        self.holding.release()
        if self._key is not None:
            self._spokes.go(self._key, self)
        if self.account is not None:
            self.account.leave_link()
        super().closed(reason)

    def describe(self) -> PeerSnapshot:
        return PeerSnapshot(
            type="nats",
            account=self.account.name if self.account is not None else "",
            user=self.identity.user if self.identity is not None else "",
            name=self.hello.name,
            version=self.hello.version,
            rtt=self.rtt,
            subscriptions=len(self._interest),
            list_subscriptions=self.list_interest,
            link=LinkSnapshot(is_spoke=self.uplink, is_isolated=self.isolated),
        )

    # What the link carries.

    def permits(self, subject: bytes, queue: bytes) -> bool:
        """Whether the spoke may publish what this interest wants, so that it is worth telling."""
        return subject.startswith(ALWAYS_TOLD) or self._rules.permit(subject, queue)

    def takes(self, event: link.LeafSubscribe) -> bool:
        subject = event.subject
        if is_literal(subject) and not subject.startswith(NEVER_REFUSED) and not self._may_have(subject):
            self._violate(f"Subscription to {quoted(subject)}")
            return False
        limits = self.runtime.settings.limits
        most = limits.max_subscriptions
        if self.identity is not None:
            most = self.identity.limits.subscriptions(most)
        if most and len(self._interest) >= most:
            self.write(encode_error("maximum subscriptions exceeded"))
            return False
        if not is_valid_filter(subject):
            self.write(encode_error("Invalid Subscription"))
            return False
        size = subscription_bytes(subject, event.queue)
        over = limits.max_subscription_bytes and self.holding.bytes + size > limits.max_subscription_bytes
        if over or not self.holding.ask(INTEREST, size):
            self.write(encode_error("maximum subscriptions exceeded"))
            return False
        return True

    def gave_up(self, interest: LeafInterest) -> None:
        self.holding.add(INTEREST, -subscription_bytes(interest.subject, interest.queue))

    def heartbeat(self) -> tuple[float, int]:
        timeouts = self.runtime.settings.timeouts
        return timeouts.ping_interval_seconds, timeouts.ping_max

    def leaf_route(self, subject: bytes, queues: tuple[bytes, ...], plain: bool) -> LeafRoute:
        return LeafRoute(self, subject, queues, plain, self.decoder.max_payload, self._may_have(subject))

    def kept_back(self, reason: str) -> None:
        if reason == NOT_PERMITTED:  # Wider interest than the user's rights is no fault.
            return
        self.dropped += 1
        key = ("kept-back", self.connection.cid)
        text = "cid=%d event=kept-back name=%.100r reason=%r"
        self.runtime.repeats.log(log, logging.WARNING, key, text, self.connection.cid, self.hello.name, reason)

    def undelivered(self, message: Message) -> None:
        """Tell the spoke that nobody answers a direct get; other requests may have answers from elsewhere."""
        if self.account is None or not message.subject.startswith(DIRECT_GETS):
            return
        answer = make_message(message.reply, b"", header=no_responders_header(message.subject))
        self.leaf_route(message.reply, (), True).deliver(answer, self.account.port)

    def on_error(self, event: link.PeerError) -> None:
        log.warning(
            "cid=%d event=spoke-error name=%.100r text=%.300r", self.connection.cid, self.hello.name, event.text
        )
        if "Loop detected" in event.text:
            self.connection.close(CloseReason.LEAFNODE_LOOP, "the spoke has seen its own interest")

    def _may_have(self, subject: bytes) -> bool:
        """Whether the spoke is given messages on a subject."""
        return self._permissions.may_receive(subject) and not self._hidden.matches(subject)

    def _on_denied(self, event: Denied) -> Drawn | None:
        denied = event.event
        taken: list[Message] = []
        for message in denied.messages() if isinstance(denied, Burst) else [denied]:
            assert isinstance(message, Message)
            subject = message.subject
            if subject.startswith(ALWAYS_TAKEN) or (self.replies is not None and self.replies.use(subject)):
                taken.append(message)
            else:
                assert self.account is not None
                for before in taken:  # The link ends with this.
                    self.account.router.publish(before, self)
                self._violate(f"Publish to {quoted(subject)}")
                return None
        return Drawn(taken) if taken else None

    HANDLERS: ClassVar[dict[type, Callable[..., object]]] = {
        **LeafnodeSession.HANDLERS,
        hub.SpokeConnect: _on_connect,
        Denied: _on_denied,
    }

    # Small parts.

    @property
    def _came_by(self) -> str:
        return connection_type(self.connection_type, self.connection)

    def _take_identity(self, identity: Identity) -> None:
        self.identity = identity
        self._request.expire(identity, self._expire)
        self._limit_decoder()
        if identity.permissions is not self._permissions:
            self._take_rights(identity.permissions)

    def _take_rights(self, permissions: Permissions) -> None:
        self._permissions = permissions
        self.may_publish = permissions.publishing
        self.replies = permissions.make_replies()
        told = describe_rule(permissions.rules.publish)
        self._rules = InterestRules(link.Permissions(**told) if told else None, ())  # type: ignore[arg-type]

    def _expire(self) -> None:
        self._close(CloseReason.AUTHENTICATION_EXPIRED, "User Authentication Expired")

    def _expect_words(self) -> None:
        self._deadline = expect_introduction(self.connection, self._deadline, self._check_spoke)

    def _check_spoke(self, now: float) -> None:
        if self.account is None:
            self._close(CloseReason.AUTHENTICATION_TIMEOUT, "Authentication Timeout")

    def _limit_decoder(self) -> None:
        """A stranger gets the room that a client has; who is known may name many queue groups in a line."""
        limits = self.runtime.settings.limits
        payload, line = limits.max_payload_bytes, limits.max_control_line_bytes
        if self.identity is not None:
            payload = self.identity.limits.payload_bytes(payload)
            line = max(line, hub.MAX_CONTROL_LINE)
        self.decoder.limit(payload, line, limits.max_header_lines)

    def _confirmation(self) -> bytes:
        """INFO that says what the link may carry."""
        assert self.identity is not None
        account, rules = self.identity.account, self._permissions.rules
        said: dict[str, object] = {"connect_info": True, "remote_account": account.name}
        if account.is_system:
            said["acc_is_sys"] = True
        for name, rule in (("import", rules.subscribe), ("export", rules.publish)):
            if rule is not None:
                said[name] = describe_rule(rule)
        if rules.allow_responses:  # To answer is a right of its own; which answers, the spoke cannot know.
            said.setdefault("export", {})
        self._told_payload = self.decoder.max_payload
        return encode_info(self._info() | said)

    def _info(self) -> dict[str, object]:
        host, port = self.connection.local_address()
        listener = self.connection.listener
        address = join_address(host, port)
        own: dict[str, object] = {
            "proto": hub.PROTOCOL,
            "max_payload": self.decoder.max_payload,
            "host": host,
            "port": port,
            "ip": address,
            "client_id": self.connection.cid,
            "info_on_connect": True,
            "leafnode_urls": list(listener.advertise) if listener is not None and listener.advertise else [address],
        }
        if listener is not None and listener.protocol == "websocket":  # There TLS, if any, was before the upgrade.
            own["ws_connect_urls"] = own["leafnode_urls"]
        else:
            own |= tls_info(self.connection)
        return server_info(self.runtime) | own

    def _violate(self, what: str) -> None:
        self._request.report(f"Permissions Violation for {what}", self.identity.user if self.identity else "")
        self._close(CloseReason.PROTOCOL_VIOLATION, f"Permissions Violation for {what}")

    def _close(self, reason: CloseReason, error: str) -> None:
        self.connection.close(reason, error, encode_error(error))
