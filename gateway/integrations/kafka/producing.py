"""Producing: batches of an outlet that become records. A batch is over once each of its records is, one way or another.

librdkafka's producer is idempotent: what it sends again after an outage is there once, and nothing of a partition
overtakes anything. So it alone retries; only when it gives up, fatally, another one begins with what is not done.
"""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from gateway.integrations.kafka.records import Router, UnroutableError, record_headers
from gateway.integrations.kafka.worker import Reports, Worker
from gateway.integrations.outlet import Batch

# How long the thread waits for work where nothing is on its way, and for reports where something is.
IDLE_SECONDS, BUSY_SECONDS = 0.5, 0.005
FULL_SECONDS = 0.1
FLUSH_SECONDS = 1.0
MILLISECOND = 1_000_000


class Sent:
    """A batch on its way. `refused` counts messages that are no records, and records that were not taken, by what was
    said: (code, sentence).
    """

    __slots__ = ("batch", "left", "over", "refused")

    def __init__(self, batch: Batch, over: Callable[["Sent"], None]) -> None:
        self.batch = batch
        self.left = len(batch)
        self.refused: dict[tuple[int, str], int] = {}
        self.over = over

    def delivered(self, error: Any, record: Any) -> None:
        """librdkafka's report on a record."""
        self.left -= 1
        if error is not None:
            topic = record.topic() if record is not None else ""
            self.refuse(error.code(), f"topic {topic}: {error.str()}")
        if not self.left:
            self.over(self)

    def refuse(self, code: int, sentence: str) -> None:
        self.refused[code, sentence] = self.refused.get((code, sentence), 0) + 1


class ProducerThread(Worker):
    """`make` makes a producer with the callback for errors; `finished` hears, in trio's thread, of batches that are
    over.
    """

    def __init__(
        self,
        make: Callable[[Callable[[Any], None]], Any],
        router: Router,
        finished: Callable[[list[Sent]], None],
        reports: Reports,
    ) -> None:
        super().__init__(reports)
        self._make = make
        self._router = router
        self._finished = finished
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self._over: list[Sent] = []
        self._in_flight = 0

    def send(self, batch: Batch) -> None:
        self._queue.put(batch)

    def wake(self) -> None:
        self._queue.put(None)

    def serve_callbacks(self, client: Any) -> None:
        client.poll(0)

    def work(self) -> None:
        producer = self._make(self.heard)
        try:
            while not self.stopping:
                if self.is_doubtful:
                    self.look(producer)
                batch = self._next()
                if batch is not None:
                    self._in_flight += 1
                    self._produce(producer, Sent(batch, self._note_over))
                producer.poll(0 if self._queue.qsize() or not self._in_flight else BUSY_SECONDS)
                self._report()
            producer.flush(FLUSH_SECONDS)
            self._report()
        finally:
            producer.purge()

    def _next(self) -> Batch | None:
        try:
            if self._in_flight or self.is_doubtful:
                return self._queue.get_nowait()
            return self._queue.get(timeout=IDLE_SECONDS)
        except Empty:
            return None

    def _produce(self, producer: Any, sent: Sent) -> None:
        from confluent_kafka import KafkaException

        known, produce, delivered = self._router.known, producer.produce, sent.delivered
        for message in sent.batch.messages:
            _, time_ns, subject, header, payload = message
            try:
                topic, key, partition = known.get(subject) or self._router.route(message)
            except UnroutableError as error:
                sent.refuse(0, str(error))
                sent.left -= 1
                continue
            headers = record_headers(header) if header else None
            when = time_ns // MILLISECOND
            while not self.stopping:
                try:
                    produce(topic, payload, key, partition, delivered, None, when, headers)
                except BufferError:  # It has as much as it may have.
                    producer.poll(FULL_SECONDS)
                    self._report()
                    if self.is_doubtful:
                        self.look(producer)
                    continue
                except KafkaException as error:
                    sent.refuse(code_of(error.args[0]), f"topic {topic}: {error.args[0].str()}")
                    sent.left -= 1
                break
        if not sent.left:
            self._note_over(sent)

    def _note_over(self, sent: Sent) -> None:
        self._in_flight -= 1
        self._over.append(sent)

    def _report(self) -> None:
        if self._over:
            over, self._over = self._over, []
            self.tell(self._finished, over)


def code_of(error: Any) -> int:
    """What librdkafka says of a record at once is said of that one, and not of a batch that it would be in."""
    from confluent_kafka import KafkaError

    code: int = error.code()
    return KafkaError.INVALID_MSG_SIZE if code == KafkaError.MSG_SIZE_TOO_LARGE else code
