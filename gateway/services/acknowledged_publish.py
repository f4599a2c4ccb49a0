"""Publishing with an acknowledgement: a request to `$LEAFGATE.publish.<subject>` publishes on the subject, and is
answered once everything that must survive because of it is on the disk.

    nats request '$LEAFGATE.publish.sensors.1' '21.5' -H Nats-Msg-Id:a1

The answer is `{"seq":7}`; with `"duplicate":true` behind it when the same user published the message before, by its
`Nats-Msg-Id` (see gateway.storage.published_ids): then it goes to nobody again. Or it was not published:
`{"error":{"code":503,"description":"..."}}`. After 400 and 403 there is no use in trying again, after 429 (too
many ids from this publisher) and 503 there is.
Headers go on with the message. Requests from beyond an uplink are not answered: who is there has a server nearer by.
"""

import msgspec

from gateway.accounts.account import Account
from gateway.accounts.identity import Identity
from gateway.accounts.permissions import PUBLISH_PREFIX as PREFIX
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.services.durable_answers import DurableAnswers
from gateway.storage.durability import TOO_SLOW
from gateway.storage.published_ids import WINDOW_SECONDS
from protocols.foreign_text import is_legal_literal
from protocols.message import Message, make_message
from protocols.nats.headers import find_field
from protocols.subjects import RESERVED_SUBJECTS

PUBLISH_FILTER = PREFIX + b">"
MESSAGE_ID = b"Nats-Msg-Id"
LONGEST_ID = 128
# Answers that may wait for the disk at the same time.
MOST_WAITING = 16_384
# Messages that may wait until those before them have gone to all who want them.
MOST_BEGUN_BYTES = 16 << 20
# What is kept of each beside its message.
REQUEST_OVERHEAD = 500

INVALID, FORBIDDEN, TOO_MANY, UNAVAILABLE = 400, 403, 429, 503
Fault = tuple[int, str]


class Request:
    """What somebody wants published. `events` holds the message, or what stands in its place, once it has begun; `mark`
    is where the promise of the answer begins.
    """

    __slots__ = ("events", "identifier", "mark", "message", "reply", "source")

    def __init__(self, message: Message, identifier: bytes, reply: bytes, source: Port) -> None:
        self.message = message
        self.identifier = identifier
        self.reply = reply
        self.source = source
        self.events: list[object] = []
        self.mark = 0


class AcknowledgedPublish(Receiver):
    """Takes the requests of one account, and publishes those of each user in order, in turns where that is long."""

    __slots__ = ("_account", "_answers", "_begun_bytes")

    def __init__(self, account: Account) -> None:
        super().__init__(Port(None), PUBLISH_FILTER, b"")
        self.dear = SERVICE
        # The hub has a disk of its own, and so have the gateways behind it.
        self.local_only = True
        self._account = account
        self._begun_bytes = 0
        self._answers = DurableAnswers(account, self.port, error_body(UNAVAILABLE, "it cannot be stored"))

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply or source.leaf:
            return False
        subject = message.subject[len(PREFIX) :]
        header = message.header()
        identifier = message_id(header)
        published = make_message(subject, message.payload(), header=header)
        fault = request_fault(subject, identifier) or permission_fault(subject, source)
        identifier = owned_by(source, identifier)
        fault = fault or self._storage_fault(published, identifier) or self._quota_fault(identifier, source)
        if fault is None and self._begun_bytes and self._begun_bytes + message.size > MOST_BEGUN_BYTES:
            fault = UNAVAILABLE, "too much is being published"
        if fault is not None:
            self._refuse(message.reply, source, *fault)
            return True
        request = Request(published, identifier, message.reply, source)
        size = published.size + REQUEST_OVERHEAD
        self._begun_bytes += size

        def go_on() -> bool:
            done = True
            try:
                done = self._publish(request)
            finally:
                if done:
                    self._begun_bytes -= size
            return not done

        # A user's ids are looked up behind what he has published before.
        self._account.in_order((self, user_of(source)), size, go_on)
        return True

    def _publish(self, request: Request) -> bool:
        """Publish for a share of work; whether it is done, and answered or about to be."""
        account, source, reply = self._account, request.source, request.reply
        ids, durability = account.published_ids, account.durability
        identifier = request.identifier
        if not request.events:
            sequence = ids.find(identifier) if identifier else 0
            request.mark = durability.mark()
            if sequence:
                self._promise(request, {"seq": sequence, "duplicate": True}, True)
                return True
            limit = account.refuses(request.message, source)
            if limit is not None:
                self._refuse(reply, source, UNAVAILABLE, f"retained messages: {limit} is reached")
                return True
            request.events.append(request.message)
        if not account.router.forward(request.events, 0, source, True, True):
            left = request.events[0]
            if isinstance(left, Message) and left.refused:
                self._refuse(reply, source, UNAVAILABLE, account.obstacle() or TOO_SLOW)
                return True
            return False
        sequence = ids.next()
        if identifier:
            routed = request.events[0]  # It may stand on another subject now.
            assert isinstance(routed, Message)
            ids.note(identifier, sequence, source.publisher(), durability.identities(routed.subject))
        self._promise(request, {"seq": sequence}, False)
        return True

    def _promise(self, request: Request, told: dict[str, object], repeated: bool) -> None:
        """Answer once everything that must survive is on the disk."""
        durability, reply, source = self._account.durability, request.reply, request.source
        # What is repeated may itself be on its way to the disk still.
        if durability.mark() == request.mark and not repeated:
            self._account.answer(make_message(reply, msgspec.json.encode(told)), source, self.port)
            return
        self._answers.give(reply, source, msgspec.json.encode(told))

    def _storage_fault(self, message: Message, identifier: bytes) -> Fault | None:
        """Why nothing can be promised about a message at the moment, if so."""
        reason = self._account.obstacle_to(message)
        if reason is None and self._answers.waiting >= MOST_WAITING:
            reason = TOO_SLOW
        if reason is None or not (identifier or self._account.must_store(message)):
            return None
        return UNAVAILABLE, reason

    def _quota_fault(self, identifier: bytes, source: Port) -> Fault | None:
        """Why this publisher may not use a further id at the moment, if so."""
        ids = self._account.published_ids
        if not identifier or ids.has_room(source.publisher()) or ids.find(identifier):
            return None
        return TOO_MANY, f"too many ids in {WINDOW_SECONDS:.0f} seconds"

    def _refuse(self, reply: bytes, source: Port, code: int, description: str) -> None:
        self._account.answer(make_message(reply, error_body(code, description)), source, self.port)


def error_body(code: int, description: str) -> bytes:
    """An answer that says why something was not published."""
    return msgspec.json.encode({"error": {"code": code, "description": description}})


def message_id(header: bytes) -> bytes:
    """What a header block says in `Nats-Msg-Id`; b"" for nothing."""
    return find_field(header, MESSAGE_ID) or b""


def user_of(source: Port) -> bytes:
    """Who publishes, as far as that is asked; b"" for everybody else, all together."""
    identity = getattr(source, "identity", None)
    return identity.user.encode("utf-8", "surrogatepass") if isinstance(identity, Identity) else b""


def owned_by(source: Port, identifier: bytes) -> bytes:
    """An id among those of all users: nobody makes a repeat of what another one publishes."""
    user = user_of(source)
    return b"%b\0%b" % (user, identifier) if identifier and user else identifier


def request_fault(subject: bytes, identifier: bytes) -> Fault | None:
    """Why a message may not be published with this id on this subject, if so."""
    if not is_legal_literal(subject):
        return INVALID, "this is no subject to publish on"
    if subject.startswith((b"$", *RESERVED_SUBJECTS)):
        return FORBIDDEN, "the subject is reserved"
    if len(identifier) > LONGEST_ID:
        return INVALID, f"Nats-Msg-Id has {len(identifier)} bytes, more than {LONGEST_ID}"
    return None


def permission_fault(subject: bytes, source: Port) -> Fault | None:
    """Why its publisher may not publish on this subject, if so."""
    return None if source.allows_now(subject) else (FORBIDDEN, "the subject may not be published to")
