"""What librdkafka is configured with, out of our keys."""

from typing import Any

from gateway.settings.addresses import join_address, split_address
from gateway.settings.kafka import Kafka

PORT = 9092
# How often a broker is tried again that is away, at most.
RECONNECT_MAX_MS = 5000
# A batch of records is no larger, unless a single record is: what a topic takes at once is mostly more.
BATCH_BYTES = 256 << 10
# How much more than a payload a record may take: key, headers, what is around them.
RECORD_OVERHEAD = 128 << 10
# librdkafka's own default, below which no limit is set.
LEAST_RECORD_BYTES = 1_000_000
# What may be between an error and the next look whether a topic is there now.
METADATA_MS = 10_000
FEWEST_FETCHED_KB = 64


def common(config: Kafka, client_id: str) -> dict[str, Any]:
    """What producers and consumers share."""
    found: dict[str, Any] = {
        "bootstrap.servers": ",".join(server_address(one) for one in config.servers),
        "client.id": config.client_id or client_id,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        "topic.metadata.refresh.interval.ms": METADATA_MS,
        # What goes wrong is told by us.
        "log_level": 2,
    }
    protocol = "SSL" if config.tls is not None else "PLAINTEXT"
    if config.password is not None:
        protocol = f"SASL_{protocol}"
        found["sasl.mechanism"] = config.mechanism
        found["sasl.username"] = config.user
        found["sasl.password"] = config.password.value
    found["security.protocol"] = protocol
    tls = config.tls
    if tls is not None:
        paths = {"ssl.ca.location": tls.ca, "ssl.certificate.location": tls.certificate, "ssl.key.location": tls.key}
        found |= {name: path for name, path in paths.items() if path}
        found["ssl.endpoint.identification.algorithm"] = "https" if tls.verify_name else "none"
    return found


def producing(config: Kafka, client_id: str, largest_payload: int, batch_bytes: int) -> dict[str, Any]:
    """Every record is written once and in order, however often it is sent, and waits for its brokers for ever."""
    return common(config, client_id) | {
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": 0,
        "linger.ms": 5,
        "batch.size": batch_bytes,
        "message.max.bytes": max(largest_payload + RECORD_OVERHEAD, LEAST_RECORD_BYTES),
        "queue.buffering.max.kbytes": max(config.max_pending_bytes // 1024, 1024),
        "compression.codec": config.compression,
        # As Java's clients have it, so that a key has the same partition wherever it comes from.
        "partitioner": "murmur2_random",
        "topic.metadata.propagation.max.ms": 10_000,
    } | config.properties  # fmt: skip


def consuming(config: Kafka, client_id: str) -> dict[str, Any]:
    """Offsets are committed by us, behind our own commit. What is fetched ahead is bounded."""
    return common(config, client_id) | {
        "group.id": config.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": config.start,
        "queued.max.messages.kbytes": max(config.max_pending_bytes // 4096, FEWEST_FETCHED_KB),
        "fetch.message.max.bytes": max(min(config.max_pending_bytes // 4, 1 << 20), FEWEST_FETCHED_KB << 10),
        "allow.auto.create.topics": False,
    } | config.properties  # fmt: skip


def server_address(text: str) -> str:
    host, port = split_address(text)
    return join_address(host, port or PORT)
