"""TLS handshake: what stands in the place of a connection's session until TLS is agreed on.

Its steps are taken in a lane of turns (gateway.runtime.lane), one a round, so that many peers that come at once hold
nobody up; those with a key that takes long, in threads. Until it is done the connection carries plain bytes: what the
handshake writes, and a greeting before it where the protocol has one.
"""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import trio

from gateway.dataplane.port import Port
from gateway.runtime.budget import HANDSHAKE_BYTES, TLS_BYTES
from gateway.runtime.deadlines import Deadline
from gateway.transport.connection import Connection
from gateway.transport.session import Session
from gateway.transport.snapshot import PeerSnapshot
from gateway.transport.tls_contexts import TlsTerms, is_by_shared_key
from gateway.transport.tls_files import UNREADABLE, describe
from gateway.transport.tls_session import TlsSession
from gateway.transport.tls_transport import TlsTransport
from gateway.transport.tls_words import reason_of
from gateway.transport.transport import SocketTransport
from protocols.close_reason import CloseReason

log = logging.getLogger("leafgate.tls")

HANDSHAKE_RECORD = b"\x16"
# How many handshakes whose key takes long are computed at a time.
THREADS = trio.CapacityLimiter(1)

# "more", "done", or what is wrong.
State = str


@dataclass(frozen=True, slots=True)
class PlainWords:
    """What a peer is told without TLS: a `greeting` at first, that TLS is `required` where it speaks none or comes too
    late, and that too many come where it is `throttled`.
    """

    greeting: bytes = b""
    required: bytes = b""
    throttled: bytes = b""


NO_WORDS = PlainWords()


class TlsHandshake:
    """A handshake on `terms`; then `session` goes on, which begins with `begin`.

    `words` are the session's for those who speak no TLS; where `plain_allowed` these go on without it. `began` is
    whether the session took part before, and has to hear of the end.
    """

    has_more = False
    port: Port | None = None

    __slots__ = (
        "_began",
        "_begin",
        "_changed",
        "_connection",
        "_deadline",
        "_engine",
        "_identity",
        "_incoming",
        "_outgoing",
        "_plain_allowed",
        "_session",
        "_started",
        "_terms",
        "_words",
        "is_client",
        "kind",
    )

    def __init__(
        self,
        connection: Connection,
        terms: TlsTerms,
        session: Session,
        begin: Callable[[], None],
        *,
        words: PlainWords = NO_WORDS,
        plain_allowed: bool = False,
        began: bool = False,
    ) -> None:
        self.kind = session.kind
        self.is_client = session.is_client
        self._connection = connection
        self._terms = terms
        self._session = session
        self._begin = begin
        self._began = began
        self._words = words
        self._plain_allowed = plain_allowed
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._engine: ssl.SSLObject | None = None
        self._deadline: Deadline | None = None
        self._changed = False
        self._identity = ""
        # Whether the peer has said anything.
        self._started = False

    def opened(self) -> None:
        connection = self._connection
        if self._words.greeting:
            connection.outbox.write(self._words.greeting)
        when = trio.current_time() + self._terms.seconds
        self._deadline = connection.runtime.deadlines.call_at(when, self._give_up)
        if not self._terms.is_server:
            self._started = True
            self._advance()

    def receive(self, data: bytes) -> None:
        if not self._started:
            self._started = True
            if data[:1] != HANDSHAKE_RECORD:
                self._go_on_plain(data)
                return
            if not self._terms.admits(trio.current_time()):
                self._fail("too many handshakes a second (max-handshakes-per-second)", self._words.throttled)
                return
            if not self._connection.runtime.budget.grants(0, HANDSHAKE_BYTES):
                self._fail("no memory for a handshake (max-memory-bytes)", self._words.throttled)
                return
        self._incoming.write(data)
        self._advance()

    def unfinished_bytes(self) -> int:
        return self._incoming.pending

    def refuse_input(self, detail: str) -> None:
        self._fail(detail)

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return b""

    def closed(self, reason: CloseReason) -> None:
        self._connection.runtime.deadlines.cancel(self._deadline)
        if self._began:
            self._session.closed(reason)

    def announce_lame_duck(self) -> None:
        """A peer that cannot read yet is told nothing."""

    def settings_changed(self) -> None:
        self._changed = True

    def describe(self) -> PeerSnapshot:
        return self._session.describe()

    # The steps.

    def _advance(self) -> None:
        """Take a step; nothing is read meanwhile."""
        connection = self._connection
        if self._engine is None:
            connection.hold_for_tls(HANDSHAKE_BYTES)
        if self._terms.takes_long:
            connection.wait_for(trio.to_thread.run_sync(self._step, limiter=THREADS), self._act)
            return
        connection.pause()
        connection.runtime.handshakes.add(connection.transport.peer[0], self._take_turn)

    def _take_turn(self) -> None:
        connection = self._connection
        if connection.close_reason is None:
            state = self._step()
            connection.resume()
            connection.guard(lambda: self._act(state))

    def _step(self) -> State:
        """How far it is, or what is wrong. May run in a thread."""
        try:
            if self._engine is None:
                self._engine = self._terms.engine(self._incoming, self._outgoing)
            try:
                self._engine.do_handshake()
            finally:
                self._identity = self._terms.asked_identity() or self._identity
        except ssl.SSLWantReadError:
            return "more"
        except ssl.SSLError as error:
            return reason_of(error)
        except (OSError, ValueError) as error:
            return str(error) or type(error).__name__
        return "done"

    def _act(self, state: State) -> None:
        connection = self._connection
        said = self._outgoing.read()
        if said:
            connection.outbox.write(said)
        if state == "done":
            self._finish()
        elif state != "more":
            self._fail(state)

    def _finish(self) -> None:
        assert self._engine is not None
        connection = self._connection
        engine = self._engine
        certificate = engine.getpeercert(binary_form=True) or b""
        try:
            complaint = self._terms.complaint(engine, certificate, self._identity)
            told = describe(certificate) if certificate else None
        except UNREADABLE:
            complaint, told = "the peer's certificate: it cannot be read", None
        if complaint:
            self._fail(complaint)
            return
        connection.outbox.flush()
        if connection.outbox.pending():
            self._fail("the peer takes nothing")
            return
        cipher = engine.cipher()
        proved = self._identity if is_by_shared_key(engine) else ""
        connection.hold_for_tls(TLS_BYTES)
        connection.registry.handshakes += 1
        connection.tls = TlsSession(engine.version() or "", cipher[0] if cipher else "", certificate, proved, told)
        below = connection.transport
        assert isinstance(below, SocketTransport)
        transport = TlsTransport(below, engine, self._incoming, self._outgoing)
        connection.transport = transport
        self._hand_over()
        if connection.close_reason is None and self._incoming.pending:
            first = transport.first()
            if first is not None:
                connection.take(first)

    def _go_on_plain(self, data: bytes) -> None:
        if self._plain_allowed:
            self._hand_over()
            self._connection.take(data)
        else:
            self._fail("the peer does not speak TLS", self._words.required)

    def _hand_over(self) -> None:
        connection = self._connection
        connection.runtime.deadlines.cancel(self._deadline)
        connection.session = self._session
        self._begin()
        if self._changed and connection.close_reason is None:
            self._session.settings_changed()

    def _give_up(self, now: float) -> None:
        self._fail("no handshake in time", self._words.required if not self._started else b"")

    def _fail(self, reason: str, farewell: bytes = b"") -> None:
        connection = self._connection
        host = connection.transport.peer[0]
        text = "cid=%d event=tls-failed kind=%s peer=%s reason=%r"
        arguments = (connection.cid, self.kind, host, reason)
        if self.is_client:  # Who opened a link tells itself what became of it.
            connection.runtime.repeats.log(log, logging.WARNING, ("tls", host, reason), text, *arguments)
        connection.close(CloseReason.TLS_HANDSHAKE_FAILURE, reason, farewell)
