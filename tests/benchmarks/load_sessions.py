"""Sessions that are away: made and left with a subscription, filled by a publisher, found complete on their return."""

import itertools
import time
from collections.abc import Iterator, Sequence

import mqtt_packets as packets
from byte_streams import Stream
from load_connections import WAVE, Visitor, leave_all, open_all
from load_mqtt import MqttClient, WindowedPublisher
from machine import LoadError, UnsupportedError
from server_process import Address

PAYLOAD_BYTES = 16
# Keeps the queues of a fast server within memory: 100 sessions hold 20 million of them.
_MESSAGES_AT_MOST = 200_000


def make_away(address: Address, sessions: Sequence[tuple[str, str]]) -> None:
    """A QoS 1 subscription for each client id and filter, in a session whose client has then left."""
    require_sessions(address)
    visitors = [Visitor(client_id, topic_filter, qos=1, clean=False) for client_id, topic_filter in sessions]
    streams = open_all(address, visitors)
    while wave := list(itertools.islice(streams, WAVE)):
        leave_all(wave)


def require_sessions(address: Address) -> None:
    """Raise UnsupportedError where a client that returns finds no session (3.1.1 3.2.2.2)."""
    for _ in range(2):
        client = MqttClient.over_tcp(address, "bench-probe", clean=False)
        client.leave()
    if not client.session_present:
        raise UnsupportedError("keeps no session for a client that is away")


def queued_rate(address: Address, sessions: int, in_flight: int, seconds: float) -> float:
    """Messages queued per second, all sessions together; every publish counts once its PUBACK has come.

    Afterwards one session returns: raises LoadError unless every acknowledged message is there, once and in order.
    """
    names = [f"away-{number:05d}" for number in range(sessions)]
    make_away(address, [(name, "away/#") for name in names])
    publisher = WindowedPublisher(address, in_flight)
    try:
        messages = ((f"away/{number % 10}", payload(number)) for number in range(_MESSAGES_AT_MOST))
        begin = time.perf_counter()
        count = publisher.publish(messages, seconds)
        elapsed = time.perf_counter() - begin
    finally:
        publisher.close()
    check_queue(address, names[sessions // 2], count)
    return count * sessions / elapsed


def payload(number: int) -> bytes:
    return b"%0*d" % (PAYLOAD_BYTES, number)


def check_queue(address: Address, client_id: str, count: int) -> None:
    """Return to a session and take its queue, each message acknowledged at once."""
    client = MqttClient.over_tcp(address, client_id, clean=False)
    try:
        if not client.session_present:
            raise LoadError(f"the session of {client_id} is gone")
        for due, packet in enumerate(_publications(client.stream, client.early, count)):
            if packet[-PAYLOAD_BYTES:] != payload(due):
                raise LoadError(f"{client_id}: message {due} of {count} was due, {packet[-PAYLOAD_BYTES:]!r} came")
        client.flush()
    finally:
        client.stream.close()


def _publications(stream: Stream, early: bytes, count: int) -> Iterator[bytes]:
    """The first `count` QoS 1 deliveries, acknowledged."""
    data = early
    taken = 0
    while taken < count:
        found, rest = packets.split(data)
        publications = [packet for packet in found if packet[0] & 0xF0 == packets.PUBLISH_TYPE]
        if publications:
            stream.send(b"".join(acknowledgement(packet) for packet in publications))
            taken += len(publications)
            yield from publications
        if taken < count:
            try:
                data = rest + stream.receive()
            except TimeoutError:
                raise LoadError(f"only {taken} of {count} queued messages came back") from None


def acknowledgement(publication: bytes) -> bytes:
    return b"\x40\x02" + packets.publication_id(publication)
