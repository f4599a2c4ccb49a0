"""Opening: what an earlier run has left on the disk becomes streams that are served: small ones before anybody asks,
large ones while everybody else is served.
"""

import logging
from functools import partial
from typing import Protocol

import msgspec
import trio

from gateway.errors import StorageError
from gateway.storage.streams.cursor import Cursor
from gateway.storage.streams.loading import FoundStream
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream
from gateway.streams import consumer as consumers
from gateway.streams.consumer import Consumer
from gateway.streams.consumer_state import FOREVER, ConsumerState
from gateway.streams.guarding import guarded
from gateway.streams.origins import PREFIX as ORIGIN_PREFIX
from gateway.streams.promises import Promises
from gateway.streams.roles import Home
from gateway.streams.served_stream import Note, ServedStream
from gateway.streams.stores import INTEGRATION_PREFIX, PREFIX, Stores, is_served
from gateway.streams.stream_config import StreamConfig
from gateway.streams.taking_up import take_up
from gateway.streams.times import SECOND
from gateway.streams.unopened import Surroundings, UnopenedStream
from protocols import foreign_json

log = logging.getLogger("leafgate.streams")


class Opened(Home, Surroundings, Protocol):
    """The streams of an account, as they are opened."""

    unopened: dict[str, UnopenedStream]
    unreadable: list[str]

    @property
    def streams(self) -> dict[str, ServedStream]: ...

    def promises_of(self, store: StreamStore) -> Promises: ...


class Opening:
    """That of one account."""

    def __init__(self, home: Opened, stores: Stores) -> None:
        self._home = home
        self._stores = stores

    async def restore(self) -> None:
        """Open what is small; what is large is opened later (`open_the_rest`)."""
        home = self._home
        file = self._stores.file
        if file is None:
            return
        for stored in file.streams(home.account.name):
            note = self._note_of(stored)
            if note is not None and note.is_partial:
                file.remove(stored)
            elif note is not None:
                await self._open(note.config, note.created, stored)
        for found in file.unloaded(home.account.name):
            note = self._note_of(found)
            if note is not None and note.is_partial:
                file.remove_unloaded(found)
            elif note is not None:
                unopened = UnopenedStream(home, note.config, note.created, found)
                home.unopened[unopened.name] = unopened
                for receiver in unopened.receivers:
                    home.subscribe(receiver)

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
        self._home.unreadable.append(stored.name.removeprefix(PREFIX))

    async def open_the_rest(self) -> None:
        """Open the large ones, while everybody else is served."""
        for unopened in [*self._home.unopened.values()]:
            await guarded(partial(self._open_late, unopened))

    async def _open_late(self, unopened: UnopenedStream) -> None:
        home, file, begun = self._home, self._stores.file, trio.current_time()
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
            del home.unopened[unopened.name]
            for receiver in unopened.receivers:
                home.unsubscribe(receiver)
            if stream is None:
                unopened.fail()
        unopened.open(stream)
        seconds = trio.current_time() - begun
        text = "event=stream-opened account=%s stream=%s messages=%d seconds=%.2f"
        log.info(text, home.account.name, stream.name, stream.stored.messages, seconds)

    async def _open(self, config: StreamConfig, created: int, stored: Stream) -> ServedStream:
        """Nothing is done between the last step, from which on it is served, and the return."""
        stream = ServedStream(self._home, config, created, stored, self._home.promises_of(self._stores.of(config)))
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
        self._home.streams[config.name] = stream
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
