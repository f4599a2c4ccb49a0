"""Consuming: records of the topics of a group, in batches, and the offsets that are committed behind our own commit.

While we take nothing, nothing is fetched; the partitions are paused, so that the group does not part with us.
"""

import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from gateway.integrations.kafka.records import Reader
from gateway.integrations.kafka.worker import Reports, Worker, log, short, words_of
from protocols.message import Message

RECORDS_AT_ONCE = 1000
# So many batches may be with us.
MOST_HANDED = 3
WAIT_SECONDS = 0.2
# Longer than that without taking anything, partitions are paused.
PATIENCE_SECONDS = 5.0
# How soon offsets whose commit failed are committed again.
COMMIT_RETRY_SECONDS = 1.0

# The next offset of a partition of a topic.
Offsets = dict[tuple[str, int], int]


class Received:
    """A batch of messages, and where the group is behind them. `stray` records have no entry."""

    __slots__ = ("messages", "offsets", "stray")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.offsets: Offsets = {}
        self.stray = 0


class ConsumerThread(Worker):
    """`make` makes a consumer with callbacks for errors and commits; `came` hears of batches, `topic_fault` of what is
    wrong with a topic ("" when it is not any more), both in trio's thread.
    """

    def __init__(
        self,
        make: Callable[[Callable[[Any], None], Callable[[Any, Any], None]], Any],
        topics: list[str],
        reader: Reader,
        came: Callable[[Received], None],
        topic_fault: Callable[[str, str], None],
        reports: Reports,
    ) -> None:
        super().__init__(reports)
        self._make = make
        self._topics = topics
        self._reader = reader
        self._came = came
        self._topic_fault = topic_fault
        self._done: SimpleQueue[Offsets | None] = SimpleQueue()
        self._handed = 0
        self._to_commit: Offsets = {}
        self._committing: Offsets = {}
        self._commit_at = 0.0
        self._paused: list[Any] = []
        self._held: deque[Any] = deque()
        self._full_since = 0.0

    def commit(self, offsets: Offsets) -> None:
        """A batch is on the disk."""
        self._done.put(offsets)

    def wake(self) -> None:
        self._done.put(None)

    def serve_callbacks(self, client: Any) -> None:
        record = client.poll(0)
        if record is not None:
            self._held.append(record)

    def work(self) -> None:
        from confluent_kafka import KafkaException

        consumer = self._make(self.heard, self._on_commit)
        try:
            consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke)
            while not self.stopping:
                if self.is_doubtful:
                    self.look(consumer)
                self._settle(self._handed >= MOST_HANDED)
                self._commit(consumer)
                if self._handed < MOST_HANDED:
                    self._resume(consumer)
                    self._consume(consumer)
                elif time.monotonic() - self._full_since > PATIENCE_SECONDS:
                    self._pause(consumer)
            self._settle(False)
            if self._to_commit:
                consumer.commit(offsets=self._positions(self._to_commit), asynchronous=False)
        except KafkaException:
            if not self.stopping:
                raise
        finally:
            consumer.close()

    def _settle(self, waits: bool) -> None:
        """Take up what is on the disk now."""
        try:
            while True:
                offsets = self._done.get(timeout=WAIT_SECONDS) if waits else self._done.get_nowait()
                waits = False
                if offsets is not None:
                    self._handed -= 1
                    self._to_commit |= offsets
        except Empty:
            pass

    def _consume(self, consumer: Any) -> None:
        first = self._held.popleft() if self._held else consumer.poll(WAIT_SECONDS)
        if first is None:
            return
        received = Received()
        for record in (first, *self._held, *consumer.consume(RECORDS_AT_ONCE - 1, 0)):
            error = record.error()
            if error is not None:
                self._note_error(record, error)
                continue
            message = self._reader.read(record)
            if message is None:
                received.stray += 1
            else:
                received.messages.append(message)
            received.offsets[record.topic(), record.partition()] = record.offset() + 1
        self._held.clear()
        if received.offsets:
            self._handed += 1
            self._full_since = time.monotonic()
            self.tell(self._came, received)

    def _note_error(self, record: Any, error: Any) -> None:
        from confluent_kafka import KafkaError

        topical = (
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.TOPIC_EXCEPTION,
        )
        if error.fatal() or error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            self.fail(short(error.str()), lasting=True)
        elif error.code() in topical:
            self.tell(self._topic_fault, record.topic() or "", short(error.str()))
        elif error.code() != KafkaError._PARTITION_EOF:
            self.reason = short(error.str())

    # Offsets.

    def _commit(self, consumer: Any) -> None:
        now = time.monotonic()
        if self._to_commit and not self._committing and now >= self._commit_at:
            ours = {(one.topic, one.partition) for one in consumer.assignment()}
            # Who has a partition next has its own say of it.
            self._committing = {place: offset for place, offset in self._to_commit.items() if place in ours}
            self._to_commit = {}
            if self._committing:
                consumer.commit(offsets=self._positions(self._committing), asynchronous=True)

    def _positions(self, offsets: Offsets) -> list[Any]:
        from confluent_kafka import TopicPartition

        return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]

    def _on_commit(self, error: Any, partitions: Any) -> None:
        """What went wrong because somebody else has the partition now is nothing wrong; the rest is done again."""
        from confluent_kafka import KafkaError

        committing, self._committing = self._committing, {}
        lost = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS)
        if error is not None and error.code() not in lost:
            self._to_commit = committing | self._to_commit
            self._commit_at = time.monotonic() + COMMIT_RETRY_SECONDS

    # Partitions.

    def _on_assign(self, consumer: Any, partitions: Any) -> None:
        for topic in {one.topic for one in partitions}:
            self.tell(self._topic_fault, topic, "")
        self._paused = []

    def _on_revoke(self, consumer: Any, partitions: Any) -> None:
        """What is with us of them comes again to whoever has them next, but for what is on the disk already."""
        from confluent_kafka import KafkaException

        self._settle(False)
        gone = {(one.topic, one.partition) for one in partitions}
        done = {place: offset for place, offset in (self._committing | self._to_commit).items() if place in gone}
        self._to_commit = {place: offset for place, offset in self._to_commit.items() if place not in gone}
        self._paused = []
        if done:
            try:
                consumer.commit(offsets=self._positions(done), asynchronous=False)
            except KafkaException as error:
                log.debug("event=not-committed reason=%r", words_of(error))

    def _pause(self, consumer: Any) -> None:
        """Keep the group, without taking anything."""
        if not self._paused:
            self._paused = consumer.assignment()
            if self._paused:
                consumer.pause(self._paused)
        self.serve_callbacks(consumer)

    def _resume(self, consumer: Any) -> None:
        if self._paused:
            paused, self._paused = self._paused, []
            consumer.resume(paused)
