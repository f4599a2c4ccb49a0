"""AccountStreams: the streams of one account, and what they ask of it (Home)."""

import hashlib
import string
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.accounts.publication import Publication, nobody_asks
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.subject_tree import Interest
from gateway.dataplane.verdicts import FilterSet
from gateway.errors import StorageError
from gateway.runtime.deadlines import Deadlines
from gateway.runtime.identity import new_token
from gateway.runtime.runtime import Runtime
from gateway.settings.streams import Streams as StreamSettings
from gateway.storage.streams.store import StreamStore
from gateway.streams import errors
from gateway.streams.consumer import Consumer
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.consumer_state import ConsumerState
from gateway.streams.duplicates import IdRoom
from gateway.streams.errors import ApiError
from gateway.streams.filter_tree import collide
from gateway.streams.guarding import guarded
from gateway.streams.hub_overlaps import Domains
from gateway.streams.opening import Opening
from gateway.streams.promises import Promises
from gateway.streams.served_stream import Note, ServedStream
from gateway.streams.staged import StagedRoom
from gateway.streams.stores import PREFIX, Stores
from gateway.streams.stream_config import StreamConfig
from gateway.streams.taking_up import take_up
from gateway.streams.times import time_text
from gateway.streams.unopened import HeldDurability, UnopenedStream
from protocols.message import Message, make_message

# How long a slow disk is waited for before an answer of the API says so.
PATIENCE_SECONDS = 5.0
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
HASH_SIZE = 8
ADVISORY, METRIC = "$JS.EVENT.ADVISORY.", "$JS.EVENT.METRIC."
# To so many a run of messages goes at once.
FEW_RECEIVERS = 16


class AccountStreams:
    """`requests` and `faults` count what the API was asked, and refused."""

    def __init__(
        self, runtime: Runtime, account: Account, settings: StreamSettings, domain: str, stores: Stores, ids: IdRoom
    ) -> None:
        self.runtime = runtime
        self.account = account
        self.settings = settings
        self.domain = domain
        self.hash = hash_of(account.name)
        self.ids = ids
        self.staged = StagedRoom()
        self.domains = Domains()
        self._heeded = account.rules.streams
        self.streams: dict[str, ServedStream] = {}
        # Those on the disk that could not be opened.
        self.unreadable: list[str] = []
        # Those that are still to be opened, and what is held for them.
        self.unopened: dict[str, UnopenedStream] = {}
        self.held = HeldDurability()
        # The copies of streams in databases (gateway.streams.archiving), by the name of the stream.
        self.archives: dict[str, Any] = {}
        self.requests = self.faults = 0
        self.port = account.port
        self._stores = stores
        self._promises: dict[StreamStore, Promises] = {}
        self.opening = Opening(self, stores)
        # The subjects on which publishers are answered; None while that is not known.
        self._acknowledged: FilterSet | None = None
        self._kept: FilterSet | None = None
        self._watched: dict[bytes, list[Callable[[], None]]] = {}

    @property
    def configs(self) -> dict[str, StreamConfig]:
        """How all streams are configured, those too that are still to be opened."""
        served = {name: one.config for name, one in self.streams.items()}
        return served | {name: one.config for name, one in self.unopened.items()}

    @property
    def deadlines(self) -> Deadlines:
        return self.runtime.deadlines

    async def restore(self) -> None:
        """Open what an earlier run has left on the disk; what is large is opened later (`Opening.open_the_rest`)."""
        self.account.router.watch(self)
        await self.opening.restore()

    def refuse_held(self, config: StreamConfig, message: Message, source: Port) -> None:
        if message.reply and not config.no_ack:
            told = {"error": errors.NOT_YET.told(), "stream": config.name, "seq": 0}
            self.answer(message.reply, msgspec.json.encode(told), source)

    def promises_of(self, store: StreamStore) -> Promises:
        found = self._promises.get(store)
        if found is None:
            found = self._promises[store] = Promises(self.account, self.port, store.commits)
        return found

    # Streams.

    def create(self, config: StreamConfig, is_partial: bool = False) -> ServedStream:
        """A partial one is filled before it takes messages (`begin_restored`). Raises ApiError."""
        store = self._stores.of(config)
        if self.settings.max_streams and len(self.configs) >= self.settings.max_streams:
            raise ApiError(errors.TOO_MANY_STREAMS)
        self.check_overlap(config)
        created = store.wall_ns()
        note = msgspec.json.encode(Note(config, created, is_partial)).decode()
        try:
            stored = store.create(self.account.name, PREFIX + config.name, config.limits(), note)
        except StorageError as error:
            raise ApiError(errors.STREAM_CREATE.with_text(error)) from None
        if config.first_seq > 1 and not is_partial:
            stored.begin_with(config.first_seq)
        stream = ServedStream(self, config, created, stored, self.promises_of(store))
        self.streams[config.name] = stream
        if not is_partial:
            stream.open()
        return stream

    async def begin_restored(self, stream: ServedStream) -> None:
        """Everything of a partial stream is here: it is one like others from now on."""
        stream.stored.set_note(stream.note())
        await take_up(stream)
        stream.open()
        for consumer in [*stream.consumers.values()]:
            await consumer.reader.recount()
            consumer.open()

    def readable(self, name: str) -> ServedStream | None:
        """The stream whose messages may be had directly by a name: its own, or that of what it is a mirror of."""
        stream = self.streams.get(name)
        if stream is not None and stream.config.allow_direct:
            return stream
        for one in self.streams.values():
            config = one.config
            if config.mirror_direct and config.mirror is not None and config.mirror.name == name:
                return one
        return None

    def check_overlap(self, config: StreamConfig) -> None:
        """No message is to come into two streams. Raises ApiError."""
        others = [other.filters for name, other in self.configs.items() if name != config.name]
        if collide(config.filters, others):
            raise ApiError(errors.SUBJECTS_OVERLAP)

    def acknowledges(self, subject: bytes) -> bool:
        """Whether one of the streams answers who publishes on a subject."""
        if self._acknowledged is None:
            answering = [one for one in self.configs.values() if not (one.no_ack or one.sealed)]
            self._acknowledged = FilterSet(subject for config in answering for subject in config.filters)
        return self._acknowledged.matches(subject)

    def keeps(self, subject: bytes) -> bool:
        """Whether one of the streams on the disk takes what is published on a subject."""
        if self._kept is None:
            taking = [one for one in self.configs.values() if one.storage == "file"]
            self._kept = FilterSet(subject for config in taking if not config.sealed for subject in config.filters)
        return self._kept.matches(subject)

    def delete(self, stream: ServedStream) -> None:
        stream.close()
        del self.streams[stream.name]
        self._stores.of(stream.config).remove(stream.stored)

    async def settled(self) -> bool:
        """Return once everything that was taken is on the disk; False where that does not come about soon. What is
        there is told in any case.
        """
        for store, promises in [*self._promises.items()]:
            if store.obstacle() is not None:
                return False
            done = trio.Event()
            promises.when_durable(done.set)
            with trio.move_on_after(PATIENCE_SECONDS):
                await done.wait()
            if not done.is_set():
                return False
        return True

    async def kept(self) -> None:
        """The same for what was changed. Raises ApiError where it may not be there after a restart."""
        if not await self.settled():
            raise ApiError(errors.NO_STORAGE)

    def heed_rules(self) -> None:
        """See whether the account may take something else than before."""
        if self.account.rules.streams is not self._heeded:
            self._heeded = self.account.rules.streams
            for stream in self.streams.values():
                stream.set_gate()

    # Consumers.

    def create_consumer(self, stream: ServedStream, config: ConsumerConfig, state: ConsumerState) -> Consumer:
        cursor = None
        if not config.mem_storage and not config.direct:
            cursor = stream.stored.cursor(config.durable_name or config.name, 0)
        consumer = Consumer(stream, config, self._stores.of(stream.config).wall_ns(), state, cursor)
        stream.consumers[consumer.name] = consumer
        return consumer

    def forget_consumer(self, stream: str, consumer: str) -> None:
        served = self.streams[stream]
        served.consumers.pop(consumer).close("Consumer Deleted")
        self.tell_action("consumer", "delete", stream, consumer)
        if served.config.retention == "interest":
            self.spawn(served.retention.let_unwanted_go)

    # What streams and consumers ask.

    def subscribe(self, receiver: Receiver) -> None:
        self._acknowledged = self._kept = None
        self.account.router.subscribe(receiver)

    def unsubscribe(self, receiver: Receiver) -> None:
        self._acknowledged = self._kept = None
        if receiver.slot >= 0:
            self.account.router.unsubscribe(receiver)

    def publish(self, message: Message, retains: bool = True) -> int:
        """Those who listen are very many now and then: then it goes out in turns, and whether they took it is not
        waited for.
        """
        router = self.account.router
        publication = Publication(router, message, self.port, False, nobody_asks, retains=retains)
        self.account.in_order(self.port, message.size, publication.go_on)
        return message.delivered if publication.is_over else 1

    def deliver(self, message: Message, subject: bytes, asker: Port | None) -> int:
        """In the same way."""
        router, owner = self.account.router, (self.port, subject)
        if asker is None or asker.allows(subject):
            publication = Publication(router, message, self.port, False, nobody_asks, subject, False)
            self.account.in_order(owner, message.size, publication.go_on)
            return message.delivered if publication.is_over else 1
        told = router.begin_telling(message, asker, subject)
        is_over = False

        def step() -> bool:
            nonlocal is_over
            is_over = not told.go_on(self.port)
            return not is_over

        self.account.in_order(owner, message.size, step)
        return told.delivered if is_over else 1

    def deliver_run(self, messages: list[Any], subject: bytes, asker: Port | None) -> int:
        if (asker is None or asker.allows(subject)) and self.account.router.reach(subject) <= FEW_RECEIVERS:
            return self.account.router.publish_run(messages, self.port, subject)
        for taken, message in enumerate(messages):
            if not self.deliver(message, subject, asker):
                return taken
        return len(messages)

    def go_on_with(self, left: object, owner: Port, size: int) -> None:
        """Go on in turns with what the router has begun."""
        events, router = [left], self.account.router
        self.account.in_order(owner, size, lambda: not router.forward(events, 0, self.port, False, True))

    def answer(self, subject: bytes, payload: bytes, asker: Port, header: bytes = b"") -> None:
        self.account.answer(make_message(subject, payload, header=header), asker, self.port)

    def is_awaited(self, subject: bytes) -> bool:
        return any(interest.subject == subject for interest in self.account.router.tree.match(subject))

    def has_interest(self, subject: bytes, queue: bytes) -> bool:
        for interest in self.account.router.tree.match(subject):
            if not queue and (interest.plain or (interest.beyond and b"" in interest.beyond)):
                return True
            if (interest.groups and queue in interest.groups) or (interest.beyond and queue in interest.beyond):
                return True
        return False

    def watch(self, subject: bytes, changed: Callable[[], None]) -> None:
        self._watched.setdefault(subject, []).append(changed)

    def unwatch(self, subject: bytes, changed: Callable[[], None]) -> None:
        watching = self._watched.get(subject)
        if watching is not None and changed in watching:
            watching.remove(changed)
            if not watching:
                del self._watched[subject]

    def interest_moved(self, interest: Interest, receiver: Receiver) -> None:
        """What the router tells of each subscription."""
        if receiver.port.leaf:
            self.domains.heed(interest.subject, receiver.slot >= 0)
        watching = self._watched.get(interest.subject)
        if watching is not None:
            for changed in [*watching]:
                changed()

    def tell(self, kind: str, subject: str, **fields: object) -> None:
        self._tell(f"advisory.v1.{kind}", f"{ADVISORY}{subject}", fields)

    def measure(self, kind: str, subject: str, **fields: object) -> None:
        self._tell(f"metric.v1.{kind}", f"{METRIC}{subject}", fields)

    def _tell(self, kind: str, subject: str, fields: dict[str, object]) -> None:
        now = time_text(self._stores.memory.wall_ns())
        told: dict[str, object] = {"type": f"io.nats.jetstream.{kind}", "id": new_token(), "timestamp": now}
        if self.domain:
            fields["domain"] = self.domain
        self.publish(make_message(subject.encode(), msgspec.json.encode(told | fields)))

    def tell_action(self, what: str, action: str, stream: str, consumer: str = "") -> None:
        """That a stream or a consumer was made, changed or deleted."""
        done = {"create": "CREATED", "modify": "UPDATED", "delete": "DELETED"}[action]
        fields = {"stream": stream} | ({"consumer": consumer} if consumer else {}) | {"action": action}
        subject = f"{what.upper()}.{done}.{stream}" + (f".{consumer}" if consumer else "")
        self.tell(f"{what}_action", subject, **fields)

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        self.runtime.spawn(partial(guarded, task))

    def flush(self) -> None:
        self.runtime.switch.flush()


def hash_of(account: str) -> str:
    """What an account is called in the second version of reply subjects, as nats-server makes it."""
    digest = hashlib.sha256(account.encode()).digest()
    return "".join(DIGITS[byte % len(DIGITS)] for byte in digest[:HASH_SIZE])
