"""Buffer: takes the messages on some subjects of an account, whatever door they came by, into a stream on the disk.

It is a receiver in the subject tree like any other; whoever waits for an acknowledgement waits for the commit that
holds the message (gateway.storage.joint_durability). A NATS client that asks for an answer, as one does that publishes
to JetStream, is answered by the buffer in the words of a stream, behind that commit.
"""

import logging
from collections.abc import Callable

from gateway.accounts.account import Account, nobody_answers
from gateway.accounts.identity import Identity
from gateway.dataplane.nats_receivers import LeafPort
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.forwarding.message_headers import stored_header
from gateway.nats.client import NatsClientSession
from gateway.runtime.drops import Drops, example_of
from gateway.runtime.runtime import Runtime
from gateway.services.acknowledged_publish import LONGEST_ID, UNAVAILABLE, error_body, message_id, owned_by
from gateway.services.durable_answers import DurableAnswers
from gateway.settings.store_and_forward import StoreAndForward
from gateway.storage.streams.limits import NO_LIMIT, Discard, Limits, Refusal, RefusedError
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream
from protocols.message import Message, make_message
from protocols.subjects import is_meant

log = logging.getLogger("leafgate.forwarding")

# What the streams of buffers are called begins so; no stream that a client makes can be called that.
STREAM_PREFIX = "$forward."
CURSOR = "hub"
FULL_REASONS = {
    Refusal.MESSAGES: "the buffer has max-messages, and the newest is dropped",
    Refusal.BYTES: "the buffer has max-bytes, and the newest is dropped",
    Refusal.TOO_LARGE: "the message is larger than the whole buffer",
}
OLDEST_DROPPED = "the buffer has reached max-bytes, max-messages or max-age-seconds, and the oldest is dropped"
DAMAGED = "a part of the database was damaged"


class Buffer:
    """One buffer. `stream` holds what waits, and `cursor` how far the hub has acknowledged it. `others_answer` tells
    whether another buffer that stores what is published on a subject answers its publisher.
    """

    def __init__(
        self, runtime: Runtime, account: Account, store: StreamStore, name: str, config: StoreAndForward
    ) -> None:
        self.name = name
        self._told_name = name.encode()
        self.account = account
        self.config = config
        self.store = store
        self.others_answer: Callable[[bytes], bool] = nobody_answers
        self.port = Port(None)
        self.drops = Drops(runtime.deadlines, log, f"buffer={name}")
        limits = limits_of(config)
        stream = store.get(account.name, STREAM_PREFIX + name)
        if stream is None:
            stream = store.create(account.name, STREAM_PREFIX + name, limits)
        else:
            stream.set_limits(limits)
        self.stream: Stream = stream
        self.cursor = stream.cursor(CURSOR)
        # What was counted of what the stream has let go by itself.
        self._discarded = stream.discarded
        self._lost = stream.lost
        self._answers = DurableAnswers(account, self.port, error_body(UNAVAILABLE, "it cannot be stored"))
        self._receivers: list[BufferedSubjects] = []
        self._subscribe()

    def change(self, config: StoreAndForward) -> None:
        """Be configured so from now on; what waits stays."""
        subjects = self.config.subjects
        self.config = config
        self.stream.set_limits(limits_of(config))
        if subjects != config.subjects:
            self._unsubscribe()
            self._subscribe()

    def close(self) -> None:
        """Take nothing any more; what waits stays where it is."""
        self._unsubscribe()
        self.drops.close()

    def look(self) -> None:
        """Count what the stream has let go since the last look; to be called about every second."""
        stream = self.stream
        if stream.discarded > self._discarded:
            self.drops.count(OLDEST_DROPPED, stream.discarded - self._discarded)
            self._discarded = stream.discarded
        if stream.lost > self._lost:
            self.drops.count(DAMAGED, stream.lost - self._lost)
            self._lost = stream.lost

    def take(self, message: Message, source: Port) -> bool:
        """Store a message; False where it is not for the hub, or refused."""
        if isinstance(source, LeafPort) and source.uplink:
            return False  # What comes from a hub goes to no hub.
        if message.refused:
            return False
        asks = bool(message.reply) and (source.leaf or isinstance(source, NatsClientSession))
        identifier = b""
        if asks:
            found = message_id(message.header())
            if found and len(found) <= LONGEST_ID:
                # Each buffer knows by itself what it has: another one's message is not this one's.
                identifier = b"\0%b\0%b" % (self._told_name, owned_by(source, found))
                ids = self.account.published_ids
                known = ids.find(identifier)
                if known:
                    self._answer(message, source, known, True)
                    return True
                if not ids.has_room(source.publisher()):
                    identifier = b""
        header = stored_header(message.header() if message.header_size else b"", user_of(source))
        try:
            sequence = self.stream.append(message.subject, header, message.payload())
        except RefusedError as error:
            reason = FULL_REASONS.get(error.refusal)
            if reason is not None:
                self.drops.count(reason, example=example_of(message.subject))
                return True
            message.refused = True
            self.drops.count(error.refusal.value, example=example_of(message.subject))
            if asks and self._is_to_answer(message.subject):
                refusal = make_message(message.reply, error_body(UNAVAILABLE, error.refusal.value))
                self.account.answer(refusal, source, self.port)
            return asks
        if asks:
            if identifier:
                identities = None if self.config.memory else self.store.identities
                self.account.published_ids.note(identifier, sequence, source.publisher(), identities)
            self._answer(message, source, sequence, False)
        return True

    def _is_to_answer(self, subject: bytes) -> bool:
        """A publisher is answered once: by a stream of the gateway's own, else by the first buffer that has it."""
        return not (self.account.acknowledges(subject) or self.others_answer(subject))

    def _answer(self, message: Message, source: Port, sequence: int, duplicate: bool) -> None:
        """Answer as a stream does (PubAck), once everybody who stores the message has it on the disk."""
        if self._is_to_answer(message.subject):
            told = self._told_name, sequence, b',"duplicate":true' if duplicate else b""
            self._answers.give(message.reply, source, b'{"stream":"%b","seq":%d%b}' % told)

    def _subscribe(self) -> None:
        for subject in self.config.subjects:
            receiver = BufferedSubjects(self, subject.encode())
            self._receivers.append(receiver)
            self.account.router.subscribe(receiver)

    def _unsubscribe(self) -> None:
        for receiver in self._receivers:
            self.account.router.unsubscribe(receiver)
        self._receivers.clear()


class BufferedSubjects(Receiver):
    """What one filter of a buffer matches."""

    __slots__ = ("_buffer",)

    def __init__(self, buffer: Buffer, subject: bytes) -> None:
        super().__init__(buffer.port, subject, b"")
        self.dear = SERVICE
        self.untold = True
        self.filtered = subject[:1] in (b"*", b">")
        self._buffer = buffer

    def leads(self, subject: bytes) -> bool:
        return is_meant(self.subject, subject)

    def is_durable(self) -> bool:
        return not self._buffer.config.memory

    def deliver(self, message: Message, source: Port) -> bool:
        return self._buffer.take(message, source)


def limits_of(config: StoreAndForward) -> Limits:
    """Of what is too much the stream knows only to drop the oldest or the newest; thinning comes before that."""
    return Limits(
        max_messages=config.max_messages or NO_LIMIT,
        max_bytes=config.max_bytes,
        max_age=config.max_age_seconds,
        discard=Discard.NEW if config.when_full == "drop-newest" else Discard.OLD,
        keep_acknowledged=False,
        subjects=False,
    )


def user_of(source: Port) -> str:
    """Whom a message's publisher was admitted as; "" for nobody."""
    identity = getattr(source, "identity", None)
    if isinstance(identity, Identity):
        return identity.user
    user = getattr(source, "user", "")
    return user if isinstance(user, str) and not isinstance(source, NatsClientSession) else ""
