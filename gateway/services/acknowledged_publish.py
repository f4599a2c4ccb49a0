"""Publishing with an acknowledgement: a request to `$LEAFGATE.publish.<subject>` publishes on the subject, and is
answered once everything that must survive because of it is on the disk.

    nats request '$LEAFGATE.publish.sensors.1' '21.5' -H Nats-Msg-Id:a1

The answer is `{"seq":7}`; with `"duplicate":true` behind it when the message was published before, by its
`Nats-Msg-Id` (see gateway.storage.published_ids): then it goes to nobody again. Or it was not published:
`{"error":{"code":503,"description":"..."}}`. After 400 and 403 there is no use in trying again, after 429 (too
many ids from this publisher) and 503 there is.
Headers go on with the message. Requests from beyond an uplink are not answered: who is there has a server nearer by.
"""

import msgspec

from gateway.accounts.account import Account
from gateway.dataplane.port import Port, Receiver
from gateway.storage.durability import TOO_SLOW
from gateway.storage.published_ids import WINDOW_SECONDS
from protocols.foreign_text import is_legal_literal
from protocols.message import Message, make_message
from protocols.nats.headers import find_field
from protocols.subjects import RESERVED_SUBJECTS

PREFIX = b"$LEAFGATE.publish."
PUBLISH_FILTER = PREFIX + b">"
MESSAGE_ID = b"Nats-Msg-Id"
LONGEST_ID = 128
# Answers that may wait for the disk at the same time.
MOST_WAITING = 16_384

INVALID, RESERVED, TOO_MANY, UNAVAILABLE = 400, 403, 429, 503
Fault = tuple[int, str]


class AcknowledgedPublish(Receiver):
    """Takes the requests of one account."""

    __slots__ = ("_account", "_waiting")

    def __init__(self, account: Account) -> None:
        super().__init__(Port(None), PUBLISH_FILTER, b"")
        # The hub has a disk of its own, and so have the gateways behind it.
        self.local_only = True
        self._account = account
        self._waiting = 0

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply or source.leaf:
            return False
        subject = message.subject[len(PREFIX) :]
        header = message.header()
        identifier = message_id(header)
        published = make_message(subject, message.payload(), header=header)
        fault = (
            request_fault(subject, identifier)
            or self._storage_fault(published, identifier)
            or self._quota_fault(identifier, source)
        )
        if fault is None:
            self._publish(published, identifier, message.reply, source)
        else:
            self._refuse(message.reply, *fault)
        return True

    def _publish(self, message: Message, identifier: bytes, reply: bytes, source: Port) -> None:
        account = self._account
        ids = account.published_ids
        durability = account.durability
        mark = durability.mark()
        sequence = ids.find(identifier) if identifier else 0
        repeated = sequence > 0
        if not repeated:
            limit = account.limit_for(message, source)
            if limit is not None:
                account.report_refusal(limit)
                self._refuse(reply, UNAVAILABLE, f"retained messages: {limit} is reached")
                return
            account.publish(message, source, whole=True)
            if message.refused:
                self._refuse(reply, UNAVAILABLE, durability.obstacle() or TOO_SLOW)
                return
            sequence = ids.next()
            if identifier:
                ids.note(identifier, sequence, source.publisher())
        told: dict[str, object] = {"seq": sequence, "duplicate": True} if repeated else {"seq": sequence}
        # What is repeated may itself be on its way to the disk still.
        if durability.mark() == mark and not repeated:
            self._answer(reply, told)
            return

        def durable() -> None:
            self._waiting -= 1
            self._answer(reply, told)

        def refused() -> None:
            self._waiting -= 1
            self._answer(reply, {"error": {"code": UNAVAILABLE, "description": "it cannot be stored"}})

        self._waiting += 1
        durability.when_durable(durable, refused)

    def _storage_fault(self, message: Message, identifier: bytes) -> Fault | None:
        """Why nothing can be promised about a message at the moment, if so."""
        reason = self._account.durability.obstacle()
        if reason is None and self._waiting >= MOST_WAITING:
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

    def _refuse(self, reply: bytes, code: int, description: str) -> None:
        self._answer(reply, {"error": {"code": code, "description": description}})

    def _answer(self, reply: bytes, told: dict[str, object]) -> None:
        self._account.publish(make_message(reply, msgspec.json.encode(told)), self.port)


def message_id(header: bytes) -> bytes:
    """What a header block says in `Nats-Msg-Id`; b"" for nothing."""
    return find_field(header, MESSAGE_ID) or b""


def request_fault(subject: bytes, identifier: bytes) -> Fault | None:
    """Why a message may not be published with this id on this subject, if so."""
    if not is_legal_literal(subject):
        return INVALID, "this is no subject to publish on"
    if subject.startswith((b"$", *RESERVED_SUBJECTS)):
        return RESERVED, "the subject is reserved"
    if len(identifier) > LONGEST_ID:
        return INVALID, f"Nats-Msg-Id has {len(identifier)} bytes, more than {LONGEST_ID}"
    return None
