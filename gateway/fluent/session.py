"""Fluent session: events of one peer, published, and acknowledged once what must survive of them is on the disk."""

import logging
from functools import partial

from gateway.accounts.account import Account
from gateway.accounts.admission import Admission, AdmissionRequest
from gateway.accounts.identity import Decision, Identity, Refusal
from gateway.dataplane.port import Port
from gateway.dataplane.verdicts import Denied
from gateway.fluent.events import Shaping
from gateway.fluent.login import NOT_LET_IN, WRONG_KEY, FluentLogin
from gateway.runtime.deadlines import Deadline
from gateway.runtime.logs import shown
from gateway.runtime.turns import TURN_SECONDS
from gateway.settings.listener import Listener
from gateway.storage.durability import TOO_SLOW
from gateway.storage.published_ids import name_publisher
from gateway.transport.connection import Connection, expect_introduction
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.fluent.chunk import BadChunkError, Chunk, encode_acknowledgement, read_chunk
from protocols.fluent.frames import FrameReader
from protocols.fluent.handshake import read_ping
from protocols.message import Message

log = logging.getLogger("leafgate.fluent")

# Events that are made into messages between two looks at the clock.
AT_ONCE = 64
# Acknowledgements that wait for the disk: with more of them nothing is read.
MOST_OWED = 256
# What comes before the login is done is its PING.
LONGEST_PING = 4096
LONGEST_HOSTNAME = 255
UNREADABLE = "an event that is none"
NO_LOGIN = "this listener has no shared-key, by which a login begins"
NOT_PERMITTED = "the user may not publish there"


class FluentSession(Port):
    """One peer. Without a shared key, and where nobody has to say who he is, it is in from the beginning.

    `_chunk` is what is being read, and `_events` are the messages of it that are on their way.
    """

    kind = "fluent"
    is_client = True

    __slots__ = (
        "_account",
        "_chunk",
        "_deadline",
        "_events",
        "_hostname",
        "_index",
        "_is_full",
        "_listener",
        "_login",
        "_owed",
        "_reader",
        "_request",
        "_shaping",
        "_subject",
        "connection",
        "dropped_events",
        "has_more",
        "identity",
        "runtime",
    )

    def __init__(self, connection: Connection, admission: Admission, listener: Listener) -> None:
        super().__init__(None)
        config = listener.fluent
        self.connection = connection
        self.runtime = connection.runtime
        self.identity: Identity | None = None
        self.has_more = False
        # Events that were dropped, by reason.
        self.dropped_events: dict[str, int] = {}
        self._account: Account | None = None
        self._listener = listener
        self._request = AdmissionRequest(connection, admission)
        self._login: FluentLogin | None = None
        self._shaping = Shaping(config.subject, config.time_field, config.payload_field)
        self._deadline: Deadline | None = None
        self._hostname = ""
        self._reader = FrameReader(LONGEST_PING)
        self._chunk: Chunk | None = None
        self._subject = b""
        self._events: list[object] = []
        self._index = 0
        self._owed = 0
        self._is_full = False

    @property
    def port(self) -> Port:
        return self

    def publisher(self) -> bytes:
        user = self.identity.user if self.identity is not None else ""
        return name_publisher(self.kind, str(self.connection.address[0]), user)

    def opened(self) -> None:
        config = self._listener.fluent
        somebody = self._request.admission.anonymous(self.kind, self._listener)
        if config.shared_key is None:
            if somebody is None:
                self._request.report(NO_LOGIN)
            self._decided(somebody or Refusal(NO_LOGIN), [])
            return
        self._login = FluentLogin(config, self.runtime.names.server_name, somebody is None)
        self.connection.outbox.write(self._login.helo())
        self._deadline = expect_introduction(self.connection, None, self._has_not_logged_in)

    def _has_not_logged_in(self, now: float) -> None:
        self._request.report("it did not say who it is in time")
        self.connection.close(CloseReason.AUTHENTICATION_TIMEOUT)

    # What comes.

    def receive(self, data: bytes) -> None:
        if data:
            self._reader.feed(data)
        self._work()
        self.has_more = self._reader.has_more or self._chunk is not None

    def _work(self) -> None:
        clock = self.runtime.turns.clock
        until = clock() + TURN_SECONDS
        while self.connection.close_reason is None and self._request.held is None and not self._is_full:
            if self._chunk is not None:
                self._read_on(self._chunk)
            else:
                frame = self._reader.next()
                if frame is None:
                    return
                self._take(frame)
            if clock() > until:
                return

    def _take(self, frame: bytes | PeerViolation) -> None:
        if isinstance(frame, PeerViolation):
            self.connection.close(frame.reason, frame.detail)
        elif self._account is None:
            self._log_in(frame)
        else:
            try:
                self._chunk = read_chunk(frame, self._listener.fluent.max_chunk_bytes)
            except BadChunkError as error:
                self.connection.close(CloseReason.PARSE_ERROR, str(error))
                return
            if self._chunk is not None:
                self._subject = self._shaping.subject_of(self._chunk.tag)

    def _read_on(self, chunk: Chunk) -> None:
        """A share of a chunk: what is ready goes out first, then the next events are looked at."""
        if self._index < len(self._events):
            self._publish()
            return
        try:
            found = chunk.take(AT_ONCE)
        except BadChunkError as error:
            self.connection.close(CloseReason.PARSE_ERROR, str(error))
            return
        if chunk.is_over:
            self._chunk = None
            if chunk.unreadable:
                self._drop(UNREADABLE, chunk.unreadable)
            if chunk.id is not None:
                self._answer(chunk.id)
            return
        if not self._subject:
            self._drop(self._shaping.fault, len(found))
            return
        assert self.identity is not None
        most = self.identity.limits.payload_bytes(self.runtime.settings.limits.max_payload_bytes)
        self._events, self._index = [], 0
        for event in found:
            message = self._shaping.message_of(self._subject, event, most)
            if isinstance(message, str):
                self._drop(message)
            else:
                self._events.append(message)

    def _publish(self) -> None:
        assert self._account is not None
        events = self._events
        index = self._index = self._account.router.forward(events, self._index, self, True)
        if index == len(events):
            return
        left = events[index]
        if isinstance(left, Denied):
            self._drop(NOT_PERMITTED)
            self._index += 1
        elif isinstance(left, Message) and left.refused:
            # Nothing of the chunk is acknowledged: whoever sent it sends it again.
            self.connection.close(CloseReason.STORAGE_FAILURE, self._account.obstacle() or TOO_SLOW)

    def _drop(self, reason: str, count: int = 1) -> None:
        """An event that can never be published. It is acknowledged like the others, or it would come for ever."""
        if not count:
            return
        self.dropped_events[reason] = total = self.dropped_events.get(reason, 0) + count
        text = "cid=%d event=events-dropped tag=%s count=%d total=%d reason=%r"
        tag = shown(self._chunk.tag) if self._chunk is not None else ""
        arguments = (self.connection.cid, tag, count, total, reason)
        self.runtime.repeats.log(
            log, logging.WARNING, ("fluent-dropped", self.connection.cid, reason), text, *arguments
        )

    # What is answered.

    def _answer(self, chunk: bytes) -> None:
        assert self._account is not None
        self._owed += 1
        self._account.durability.when_durable(partial(self._acknowledge, chunk), self._cannot_store)
        if self._owed >= MOST_OWED and not self._is_full:
            self._is_full = True
            self.connection.pause()

    def _acknowledge(self, chunk: bytes) -> None:
        if self.connection.close_reason is not None:
            return
        self._owed -= 1
        self.connection.outbox.write(encode_acknowledgement(chunk))
        if self._is_full and self._owed < MOST_OWED // 2:
            self._is_full = False
            self.connection.resume()

    def _cannot_store(self) -> None:
        if self.connection.close_reason is None:
            self.connection.close(CloseReason.STORAGE_FAILURE, "something can never be stored")

    # Who it is.

    def _log_in(self, frame: bytes) -> None:
        ping, login = read_ping(frame), self._login
        assert login is not None
        if ping is None:
            self._request.report("a chunk before the login, so no shared_key is configured where it comes from")
            self.connection.close(CloseReason.PROTOCOL_VIOLATION, "a chunk before the login")
            return
        self._hostname = ping.hostname[:LONGEST_HOSTNAME].decode("utf-8", "replace")
        if not login.has_key(ping):
            self._request.report("another shared key", ping.user.decode("utf-8", "replace"))
            self._refuse(WRONG_KEY)
            return
        somebody = self._request.admission.anonymous(self.kind, self._listener)
        if somebody is not None and not ping.user:
            self._decided(somebody, [])
        else:
            self._request.ask(login.credentials(ping, self.connection), self._decided)

    def _decided(self, decision: Decision, held: list[object]) -> None:
        if isinstance(decision, Refusal):
            self._refuse(NOT_LET_IN)
            return
        if not decision.account.enter():
            self.connection.close(CloseReason.MAXIMUM_ACCOUNT_CONNECTIONS, "", self._said_no("too many connections"))
            return
        self.runtime.deadlines.cancel(self._deadline)
        self._deadline = None
        self._account = decision.account
        self._reader.limit(self._listener.fluent.max_chunk_bytes)
        self._take_identity(decision)
        self.connection.introduce()
        if self._login is not None:
            self.connection.outbox.write(self._login.welcome())

    def _take_identity(self, identity: Identity) -> None:
        self.identity = identity
        self.may_publish = identity.permissions.publishing
        self._request.expire(identity, self._expired)

    def _refuse(self, reason: str) -> None:
        self.connection.close(CloseReason.AUTHENTICATION_FAILURE, reason, self._said_no(reason))

    def _said_no(self, reason: str) -> bytes:
        return self._login.refusal(reason) if self._login is not None else b""

    def _expired(self) -> None:
        self.connection.close(CloseReason.AUTHENTICATION_EXPIRED)

    def identity_changed(self, identity: Identity) -> None:
        """See gateway.accounts.identity.Member."""
        if identity.account is self._account:
            self._take_identity(identity)
        else:
            self.connection.close(CloseReason.CREDENTIALS_REVOKED, "the user belongs to another account")

    def identity_lost(self, refusal: Refusal) -> None:
        """See gateway.accounts.identity.Member."""
        self.connection.close(CloseReason.CREDENTIALS_REVOKED, refusal.reason)

    # The rest of what a connection asks (gateway.transport.session.Session).

    def unfinished_bytes(self) -> int:
        return self._reader.unfinished_bytes()

    def refuse_input(self, detail: str) -> None:
        self.connection.close(CloseReason.MAXIMUM_MEMORY_EXCEEDED, detail)

    def announce_lame_duck(self) -> None:
        """The protocol has no words for it."""

    def settings_changed(self) -> None:
        if self._account is None and self._login is not None:
            self._deadline = expect_introduction(self.connection, self._deadline, self._has_not_logged_in)

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        self.runtime.deadlines.cancel(self._deadline)
        self._request.end()
        self._events.clear()
        self._chunk = None
        if self._account is not None:
            self._account.leave()

    def describe(self) -> PeerSnapshot:
        if self._account is None or self.identity is None:
            return PeerSnapshot(type="fluent")
        account, user = self._account.name, self.identity.user
        return PeerSnapshot(type="fluent", account=account, user=user, name=self._hostname)
