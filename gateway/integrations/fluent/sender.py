"""FluentSender: messages as tagged events, in chunks that are acknowledged, to the first server that is there."""

import os
from collections import deque

import trio

from gateway.accounts.account import Account
from gateway.integrations.fluent.own_log import OwnLog
from gateway.integrations.fluent.session import FluentLink
from gateway.integrations.integration import Integration
from gateway.integrations.outlet import Batch
from gateway.integrations.remembered import Remembered
from gateway.integrations.site import IntegrationError, Site, first_of
from gateway.runtime.turns import OwnTurn
from gateway.settings.fluent import Fluent
from protocols.fluent.chunk import encode_chunk
from protocols.fluent.values import encode_event, record_of
from protocols.subject_template import SubjectTemplate

# Of what is sent at once, and how many of those wait for their acknowledgements.
BATCH_BYTES = 1 << 20
WINDOW = 4
# Chunks that are handed over together.
AT_ONCE = 64
# How often it is looked whether the oldest of them waits for too long.
LOOK_SECONDS = 1.0
# Tags that are remembered by subject.
MOST_TAGS = 10_000
# Chunks as long as this are compressed in a thread.
LONG_CHUNK = 1 << 16


class Sent:
    """A batch on its way: the ids of its chunks that are not acknowledged yet, and since when it waits."""

    __slots__ = ("batch", "chunks", "since")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.chunks: set[bytes] = set()
        self.since = trio.current_time()


class FluentSender(Integration):
    config: Fluent

    def __init__(self, site: Site, config: Fluent) -> None:
        super().__init__(site, config)
        self._tag = SubjectTemplate(config.tag)
        self._tags: Remembered[bytes, str] = Remembered(MOST_TAGS)
        self._hostname = f"leafgate-{site.runtime.names.server_name}"
        # Of the ids of chunks.
        self._prefix, self._number = os.urandom(8).hex(), 0
        self._sent: deque[Sent] = deque()
        self._room = trio.Semaphore(WINDOW)
        # An earlier server is there again: nothing more is sent to this one.
        self._leaves = False
        self._log: OwnLog | None = None

    def begin(self, account: Account) -> None:
        self.make_outlet(account)
        if self.config.log_subject:
            level = self.config.log_level
            self._log = OwnLog(self.site.runtime, account, self.config.log_subject.encode(), level)
            self._log.open()

    async def finish(self) -> None:
        if self._log is not None:
            self._log.close()

    async def serve(self) -> None:
        while True:
            index, link = await self._connect()
            if self.config.shared_key is not None:
                self.goes()
            try:
                await self._talk(index, link)
            finally:
                await link.close()

    async def _connect(self) -> tuple[int, FluentLink]:
        """The first server that is there. Raises IntegrationError with what the first one that is not says."""
        faults: list[IntegrationError] = []
        for index, url in enumerate(self.config.urls):
            try:
                return index, await FluentLink.open(self.config, url, self._hostname)
            except IntegrationError as error:
                faults.append(error)
        text = "; ".join(map(str, faults))
        raise IntegrationError(text, lasting=all(fault.lasting for fault in faults))

    async def _talk(self, index: int, link: FluentLink) -> None:
        """With one server, until it is gone, or one that stands before it is there again."""
        self._sent.clear()
        self._room = trio.Semaphore(WINDOW)
        self._leaves = False
        assert self.outlet is not None
        self.outlet.rewind()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send, link)
                nursery.start_soon(self._hear, link, nursery.cancel_scope)
                nursery.start_soon(self._watch, link)
                if index:
                    nursery.start_soon(self._look_back, index, nursery.cancel_scope)
        except BaseExceptionGroup as group:
            raise first_of(group) from None

    async def _send(self, link: FluentLink) -> None:
        config, outlet = self.config, self.outlet
        assert outlet is not None
        while True:
            await self._room.acquire()
            batch = await outlet.next_batch(config.batch_max_messages, BATCH_BYTES, config.batch_max_seconds)
            if self._leaves:
                await trio.sleep_forever()
            sent = Sent(batch)
            chunks = await self._encode(batch, sent)
            self._sent.append(sent)
            for index in range(0, len(chunks), AT_ONCE):
                await link.send(b"".join(chunks[index : index + AT_ONCE]))

    async def _encode(self, batch: Batch, sent: Sent) -> list[bytes]:
        """The chunks of a batch, one for each tag."""
        turn = OwnTurn(self.site.runtime.turns)
        field = self.config.subject_field
        by_tag: dict[str, list[bytes]] = {}
        for message in batch.messages:
            record = record_of(message.payload)
            if field:
                record[field] = message.subject.decode("utf-8", "replace")
            tag = self._tags.get(message.subject) or self._make_tag(message.subject)
            by_tag.setdefault(tag, []).append(encode_event(message.time_ns, record))
            if turn.is_over():
                await turn.next()
        chunks: list[bytes] = []
        for tag, events in by_tag.items():
            self._number += 1
            name = f"{self._prefix}{self._number:016x}"
            sent.chunks.add(name.encode())
            if self.config.gzip and sum(map(len, events)) > LONG_CHUNK:
                chunks.append(await trio.to_thread.run_sync(encode_chunk, tag, events, name, True))
            else:
                chunks.append(encode_chunk(tag, events, name, self.config.gzip))
        return chunks

    def _make_tag(self, subject: bytes) -> str:
        tag = self._tag.make(subject.decode("utf-8", "replace")) or "leafgate"
        return self._tags.keep(subject, len(subject), tag)

    async def _hear(self, link: FluentLink, scope: trio.CancelScope) -> None:
        sent = self._sent
        async for chunk in link.acknowledgements():
            for one in sent:
                if chunk in one.chunks:
                    one.chunks.discard(chunk)
                    break
            self.goes()
            while sent and not sent[0].chunks:
                sent.popleft().batch.done()
                self._room.release()
            if sent:
                sent[0].since = trio.current_time()
            elif self._leaves:
                scope.cancel()

    async def _watch(self, link: FluentLink) -> None:
        """Whether it acknowledges in time: nothing else tells of a path that is half closed.

        Where there is nothing to send, it is there once its connection has lasted: a proxy in front of a server that is
        away takes connections, too, but soon ends them.
        """
        seconds = self.config.answer_timeout_seconds
        while True:
            await trio.sleep(min(LOOK_SECONDS, seconds / 4))
            if not self._sent:
                self.goes()
            elif trio.current_time() - self._sent[0].since > seconds:
                raise IntegrationError(f"{link.url} does not acknowledge within {seconds:g} s")

    async def _look_back(self, index: int, scope: trio.CancelScope) -> None:
        """Whether a server is there again that stands before this one."""
        while True:
            await trio.sleep(self.config.fail_back_seconds)
            for url in self.config.urls[:index]:
                try:
                    link = await FluentLink.open(self.config, url, self._hostname)
                except IntegrationError:
                    continue
                await link.close()
                self._leaves = True
                if not self._sent:
                    scope.cancel()
                return
