"""KafkaIntegration: one cluster; messages go out as records, and records come in as messages, a thread for each way."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from gateway.accounts.account import Account
from gateway.integrations.integration import Integration
from gateway.integrations.kafka.consuming import ConsumerThread, Offsets, Received
from gateway.integrations.kafka.producing import ProducerThread, Sent
from gateway.integrations.kafka.properties import BATCH_BYTES, consuming, producing
from gateway.integrations.kafka.records import Reader, Router, topic_regex
from gateway.integrations.kafka.worker import Reports
from gateway.integrations.site import IntegrationError, Site
from gateway.settings.kafka import Kafka

log = logging.getLogger("leafgate.integration")
library_log = logging.getLogger("leafgate.kafka.library")

MESSAGES_AT_ONCE, BYTES_AT_ONCE = 2000, 256 << 10
# A batch that was too large for a topic may have been so as a whole: then smaller ones, and single records at last.
BATCHES = (BATCH_BYTES, 16 << 10, 1)
OUT, IN = "out", "in"
STRAY = "no entry of in takes its topic"


class KafkaIntegration(Integration):
    """`topic_faults` says what is wrong with topics that records are to come from."""

    config: Kafka

    def __init__(self, site: Site, config: Kafka) -> None:
        super().__init__(site, config)
        self._router = Router(config.out)
        self._reader = Reader(config.in_)
        self._batches = [*BATCHES]
        self._topic_faults: dict[str, str] = {}
        # What was said of topics that are not there, once; they may just be made.
        self._unknown: set[str] = set()
        self._sides: set[str] = set()
        self._up: set[str] = set()
        # Of one time of serving: what ends it, what is on its way, and what came.
        self._trouble: IntegrationError | None = None
        self._scope = trio.CancelScope()
        self._bytes = 0
        self._relieved = trio.Event()
        self._producer: ProducerThread | None = None
        self._consumer: ConsumerThread | None = None

    def begin(self, account: Account) -> None:
        config = self.config
        if config.out:
            self._sides.add(OUT)
            self.make_outlet(account, config.taken)
        if config.in_:
            self._sides.add(IN)
            self.make_inlet(account, config.publish)

    async def serve(self) -> None:
        self._trouble = None
        self._up.clear()
        self._topic_faults.clear()
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                for side, task in ((OUT, self._send), (IN, self._receive)):
                    if side in self._sides:
                        nursery.start_soon(self._guarded, task)
        raise self._trouble or IntegrationError("it ended")

    async def _guarded(self, task: Callable[[], Any]) -> None:
        try:
            await task()
        except IntegrationError as error:
            self._fail(error)

    def _fail(self, error: IntegrationError) -> None:
        self._trouble = self._trouble or error
        self._scope.cancel()

    def _reports(self, side: str) -> Reports:
        return Reports(partial(self._away, side), partial(self._there, side), self._fail)

    def _there(self, side: str) -> None:
        self._up.add(side)
        if self._up == self._sides:
            self.goes()

    def _away(self, side: str, reason: str) -> None:
        self._up.discard(side)
        self.falters(reason)

    # Out.

    async def _send(self) -> None:
        outlet = self.outlet
        assert outlet is not None
        worker = self._producer = ProducerThread(
            self._make_producer,
            self._router,
            self._finished,
            self._reports(OUT),
        )
        self._bytes = 0
        worker.start()
        try:
            while True:
                while self._bytes >= self.config.max_pending_bytes:
                    await self._relieved.wait()
                    self._relieved = trio.Event()
                batch = await outlet.next_batch(MESSAGES_AT_ONCE, BYTES_AT_ONCE)
                self._bytes += batch.size
                worker.send(batch)
        finally:
            await worker.stop()
            self._producer = None

    def _make_producer(self, heard: Callable[[Any], None]) -> Any:
        from confluent_kafka import Producer

        largest = self.site.runtime.settings.limits.max_payload_bytes
        found = producing(self.config, self._client_id, largest, self._batches[0]) | {"error_cb": heard}
        return Producer(found, logger=library_log)

    @property
    def _client_id(self) -> str:
        return f"{self.site.runtime.names.server_name}-{self.config.name}"

    def _finished(self, over: list[Sent]) -> None:
        """In the order in which batches ended."""
        for sent in over:
            self._bytes -= sent.batch.size
            if not sent.refused:
                sent.batch.done()
            elif self._trouble is None:  # Else it comes again.
                self._weigh(sent)
        self._relieved.set()

    def _weigh(self, sent: Sent) -> None:
        """What becomes of a batch of which something was not taken."""
        from confluent_kafka import KafkaError

        for code, sentence in sent.refused:
            if code == KafkaError.MSG_SIZE_TOO_LARGE and len(self._batches) > 1:
                del self._batches[0]
                self._fail(IntegrationError(f"{sentence}; smaller batches are tried"))
                return
            if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC) and sentence not in self._unknown:
                # A broker that makes topics by itself does so when it is asked for one, which is then not there yet.
                self._unknown.add(sentence)
                self._fail(IntegrationError(sentence))
                return
            is_lasting = code in lasting_codes()
            if not is_lasting or (self.config.when_refused == "wait" and code):
                self._fail(IntegrationError(sentence, lasting=is_lasting))
                return
        for (_, sentence), count in sent.refused.items():
            self.drops.count(sentence, count)
        sent.batch.done()

    # In.

    async def _receive(self) -> None:
        inlet = self.inlet
        assert inlet is not None
        sender, receiver = trio.open_memory_channel[Received](8)
        worker = self._consumer = ConsumerThread(
            self._make_consumer,
            [topic_regex(one.topic) for one in self.config.in_],
            self._reader,
            sender.send_nowait,
            self._note_topic,
            self._reports(IN),
        )
        is_refused = False

        def stored(offsets: Offsets) -> None:
            if not is_refused:  # What follows what is not stored comes again, too.
                worker.commit(offsets)

        def refused() -> None:
            nonlocal is_refused
            is_refused = True
            self._fail(IntegrationError("what came cannot be stored", lasting=True))

        worker.start()
        try:
            async for received in receiver:
                if received.stray:
                    self.drops.count(STRAY, received.stray)
                await inlet.publish(received.messages)
                inlet.when_durable(partial(stored, received.offsets), refused)
        finally:
            await worker.stop()
            self._consumer = None

    def _make_consumer(self, heard: Callable[[Any], None], committed: Callable[[Any, Any], None]) -> Any:
        from confluent_kafka import Consumer

        found = consuming(self.config, self._client_id) | {"error_cb": heard, "on_commit": committed}
        return Consumer(found, logger=library_log)

    def _note_topic(self, topic: str, fault: str) -> None:
        if not fault:
            self._topic_faults.pop(topic, None)
        elif self._topic_faults.get(topic) != fault:
            self._topic_faults[topic] = fault
            text = "integration=%s event=topic-refused topic=%s reason=%r"
            self.site.runtime.repeats.log(log, logging.WARNING, (self.label, topic), text, self.label, topic, fault)

    def faults(self) -> tuple[str, ...]:
        topic = next((f"topic {name}: {fault}" for name, fault in self._topic_faults.items()), "")
        return (*super().faults(), topic)


def lasting_codes() -> frozenset[int]:
    """What a broker, or librdkafka, says of a record that it will not take however often it is asked; and 0, for what
    is no record.
    """
    from confluent_kafka import KafkaError

    return frozenset(
        (
            0,
            KafkaError.INVALID_MSG,
            KafkaError.INVALID_MSG_SIZE,
            KafkaError.INVALID_RECORD,
            KafkaError.INVALID_TIMESTAMP,
            KafkaError.MSG_SIZE_TOO_LARGE,
            KafkaError.POLICY_VIOLATION,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.TOPIC_EXCEPTION,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError._UNKNOWN_PARTITION,
            KafkaError._UNKNOWN_TOPIC,
            KafkaError._INVALID_ARG,
        )
    )
