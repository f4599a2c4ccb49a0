"""AccountStreams: the streams of one account, and what they ask of it (Home)."""

import hashlib
import logging
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
from gateway.storage.streams.cursor import Cursor
from gateway.storage.streams.loading import FoundStream
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream
from gateway.streams import consumer as consumers
from gateway.streams import errors
from gateway.streams.consumer import Consumer
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.consumer_state import FOREVER, ConsumerState
from gateway.streams.duplicates import IdRoom
from gateway.streams.errors import ApiError
from gateway.streams.filter_tree import collide
from gateway.streams.hub_overlaps import Domains
from gateway.streams.origins import PREFIX as ORIGIN_PREFIX
from gateway.streams.promises import Promises
from gateway.streams.served_stream import Note, ServedStream
from gateway.streams.staged import StagedRoom
from gateway.streams.stream_config import StreamConfig
from gateway.streams.taking_up import take_up
from gateway.streams.times import SECOND, time_text
from gateway.streams.unopened import HeldDurability, UnopenedStream
from protocols import foreign_json
from protocols.message import Message, make_message

log = logging.getLogger("leafgate.streams")

# What a stream of ours is called in the storage, which has others too; no name of one holds a `/`.
PREFIX = "jetstream/"
# And the places of others than its consumers, who read a stream on their own (gateway.integrations).
INTEGRATION_PREFIX = "integration/"
# How long a slow disk is waited for before an answer of the API says so.
PATIENCE_SECONDS = 5.0
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
HASH_SIZE = 8
ADVISORY, METRIC = "$JS.EVENT.ADVISORY.", "$JS.EVENT.METRIC."
# To so many a run of messages goes at once.
FEW_RECEIVERS = 16


class Stores:
    """Where streams are kept: on the disk, where there is one, and in memory."""

    def __init__(self, file: StreamStore | None, memory: StreamStore) -> None:
        self.file = file
        self.memory = memory

    def of(self, config: StreamConfig) -> StreamStore:
        """Raises ApiError."""
        if config.storage == "memory":
            return self.memory
        if self.file is None:
            raise ApiError(errors.NO_STORAGE)
        return self.file


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
        """Open what an earlier run has left on the disk; what is large is opened later (`open_the_rest`)."""
        self.account.router.watch(self)
        file = self._stores.file
        if file is None:
            return
        for stored in file.streams(self.account.name):
            note = self._note_of(stored)
            if note is not None and note.is_partial:
                file.remove(stored)
            elif note is not None:
                await self._open(note.config, note.created, stored)
        for found in file.unloaded(self.account.name):
            note = self._note_of(found)
            if note is not None and note.is_partial:
                file.remove_unloaded(found)
            elif note is not None:
                unopened = UnopenedStream(self, note.config, note.created, found)
                self.unopened[unopened.name] = unopened
                for receiver in unopened.receivers:
                    self.subscribe(receiver)

    def _note_of(self, stored: Stream | FoundStream) -> Note | None:
        """What is kept with a stream, if that is one of those here and can be read."""
        if not is_served(stored.name):
            return None
        try:
            note = foreign_json.decode(stored.note, Note)
        except msgspec.DecodeError as error:
            self._say_unreadable(stored, str(error))
            return None
        if note.is_partial:
            log.warning("event=partial-stream-removed account=%s stream=%s", stored.account, note.config.name)
        return note

    def _say_unreadable(self, stored: Stream | FoundStream, reason: str) -> None:
        log.error("event=stream-unreadable account=%s stream=%s reason=%r", stored.account, stored.name, reason)
        self.unreadable.append(stored.name.removeprefix(PREFIX))

    async def open_the_rest(self) -> None:
        """Open the large ones, while everybody else is served."""
        for unopened in [*self.unopened.values()]:
            await guarded(partial(self._open_late, unopened))

    async def _open_late(self, unopened: UnopenedStream) -> None:
        file, begun = self._stores.file, trio.current_time()
        assert file is not None
        stream = None
        try:
            stored = await file.load(unopened.found)
            stream = await self._open(unopened.config, unopened.created, stored)
        except StorageError as error:
            self._say_unreadable(unopened.found, str(error))
            return
        finally:
            # Also where the gateway ends first: nobody waits longer for it then.
            del self.unopened[unopened.name]
            for receiver in unopened.receivers:
                self.unsubscribe(receiver)
            if stream is None:
                unopened.fail()
        unopened.open(stream)
        seconds = trio.current_time() - begun
        text = "event=stream-opened account=%s stream=%s messages=%d seconds=%.2f"
        log.info(text, self.account.name, stream.name, stream.stored.messages, seconds)

    def refuse_held(self, config: StreamConfig, message: Message, source: Port) -> None:
        if message.reply and not config.no_ack:
            told = {"error": errors.NOT_YET.told(), "stream": config.name, "seq": 0}
            self.answer(message.reply, msgspec.json.encode(told), source)

    async def _open(self, config: StreamConfig, created: int, stored: Stream) -> ServedStream:
        """Nothing is done between the last step, from which on it is served, and the return."""
        stream = ServedStream(self, config, created, stored, self._promises_of(self._stores.of(config)))
        await take_up(stream)
        for cursor in [*stored.cursors.values()]:
            if cursor.name.startswith((ORIGIN_PREFIX, INTEGRATION_PREFIX)):
                continue
            try:
                self._make_consumer(stream, cursor)
            except msgspec.DecodeError as error:
                log.error(
                    "event=consumer-unreadable stream=%s consumer=%s reason=%r", stream.name, cursor.name, str(error)
                )
        for consumer in stream.consumers.values():
            await consumer.restore()
            await consumer.reader.recount()
        self.streams[config.name] = stream
        for consumer in [*stream.consumers.values()]:
            consumer.open()
        stream.open()
        return stream

    def _make_consumer(self, stream: ServedStream, cursor: Cursor) -> None:
        note = foreign_json.decode(cursor.note, consumers.Note)
        state = ConsumerState(1)
        # Where damage has cost the newest messages, their numbers are given out again.
        note.state.next = min(note.state.next, stream.stored.committed + 1)
        wait = FOREVER if note.config.is_confirmed_by_flow else note.config.ack_wait / SECOND
        state.load(note.state, trio.current_time() + wait)
        consumer = Consumer(stream, note.config, note.created, state, cursor)
        stream.consumers[consumer.name] = consumer

    def _promises_of(self, store: StreamStore) -> Promises:
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
        stream = ServedStream(self, config, created, stored, self._promises_of(store))
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


def is_served(name: str) -> bool:
    """Whether a stream of the storage is one of ours."""
    return name.startswith(PREFIX)


def hash_of(account: str) -> str:
    """What an account is called in the second version of reply subjects, as nats-server makes it."""
    digest = hashlib.sha256(account.encode()).digest()
    return "".join(DIGITS[byte % len(DIGITS)] for byte in digest[:HASH_SIZE])


async def guarded(task: Callable[[], Awaitable[None]]) -> None:
    """A fault of one must not end the others."""
    try:
        await task()
    except Exception:
        log.exception("event=stream-task-failed")
