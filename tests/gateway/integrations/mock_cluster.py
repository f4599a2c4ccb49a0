"""librdkafka's own mock cluster, which fails as it is told. Its functions are C's: the Python module has none."""

import ctypes
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.patience import PATIENCE_SECONDS

PRODUCE, FETCH, OFFSET_COMMIT, INIT_PRODUCER_ID = 0, 1, 8, 22
# Where the C object of a client has its handle: behind what every Python object begins with.
HANDLE_AT = 16
BROKER = 1


def library() -> ctypes.CDLL:
    """That which the module itself has loaded."""
    beside = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    (path,) = beside.glob("librdkafka-*.so*")
    found = ctypes.CDLL(str(path))
    found.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
    found.rd_kafka_handle_mock_cluster.argtypes = [ctypes.c_void_p]
    found.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    found.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    return found


class MockCluster:
    """One broker."""

    def __init__(self) -> None:
        self._library = library()
        self._owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0})
        handle = ctypes.c_void_p.from_address(id(self._owner) + HANDLE_AT).value
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_handle_mock_cluster(handle))
        self.servers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create(self, topic: str, partitions: int = 1) -> None:
        assert not self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)

    def fail(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind with errors, one each."""
        codes = [ctypes.c_int(error) for error in errors]
        self._library.rd_kafka_mock_push_request_errors(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), *codes
        )

    def set_topic_error(self, topic: str, error: int) -> None:
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), ctypes.c_int(error))

    def down(self) -> None:
        self._library.rd_kafka_mock_broker_set_down(self._cluster, ctypes.c_int32(BROKER))

    def up(self) -> None:
        self._library.rd_kafka_mock_broker_set_up(self._cluster, ctypes.c_int32(BROKER))

    def read(self, topic: str) -> list[bytes]:
        """The values of the only partition that the topic has, as far as they are there now."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "reader", "log_level": 0})
        try:
            place = TopicPartition(topic, 0, 0)
            _, end = consumer.get_watermark_offsets(place, timeout=PATIENCE_SECONDS)
            consumer.assign([place])
            found: list[bytes] = []
            while len(found) < end:
                found += [
                    _value(record) for record in consumer.consume(end - len(found), 0.2) if record.error() is None
                ]
            return found
        finally:
            consumer.close()

    def write(self, topic: str, *values: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.servers, "log_level": 0})
        for value in values:
            producer.produce(topic, value, partition=0)
        assert not producer.flush(30)

    def committed(self, group: str, topic: str) -> int:
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": group, "log_level": 0})
        try:
            (place,) = consumer.committed([TopicPartition(topic, 0)], timeout=PATIENCE_SECONDS)
            return int(place.offset)
        finally:
            consumer.close()


def _value(record: Any) -> bytes:
    value = record.value()
    assert isinstance(value, bytes)
    return value
