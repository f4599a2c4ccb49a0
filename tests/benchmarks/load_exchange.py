"""QoS 1 and QoS 2 from one publisher to one subscriber: a fixed window, every answer given at once and checked."""

import contextlib
import itertools
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import mqtt_packets as packets
from load_mqtt import MqttClient
from machine import LoadError
from server_process import ServerProcess

_SUBJECT = "bench.a"
_READ_BYTES = 65536
_GIVE_UP_SECONDS = 5.0
# How far publishing may run ahead of the subscriber: below every server's queue (mosquitto's default: 1,000).
_LEAD = 500
_ANSWER = packets.ACKNOWLEDGEMENT_BYTES


@dataclass(frozen=True)
class ExchangeRate:
    """Deliveries per second, and the shares of their cores that the server and this load were busy."""

    rate: float
    server_busy: float
    load_busy: float


def exchange_rate(
    server: ServerProcess, qos: int, payload_size: int, in_flight: int, seconds: float, persistent: bool
) -> ExchangeRate:
    """Both ends acknowledge; `persistent` gives the subscriber a session that outlives its connection."""
    address = server.addresses["mqtt"]
    with contextlib.ExitStack() as opened:
        publisher = MqttClient.over_tcp(address)
        opened.callback(publisher.stream.close)
        subscriber = MqttClient.over_tcp(address, "bench-subscriber", clean=not persistent)
        opened.callback(subscriber.stream.close)
        subscriber.subscribe(_SUBJECT, qos=qos)
        exchange = _Exchange(publisher, subscriber, qos, payload_size, in_flight)
        exchange.run(seconds / 4)
        cpu, begin = server.cpu_seconds(), time.perf_counter()
        rate = exchange.run(seconds)
        elapsed = time.perf_counter() - begin
        return ExchangeRate(rate, (server.cpu_seconds() - cpu) / elapsed, exchange.busy_seconds / elapsed)


class _Circle:
    """A byte sequence that repeats, of which the next part is expected or to be sent."""

    def __init__(self, period: bytes) -> None:
        self._bytes = period * (_READ_BYTES // len(period) + 2)
        self._period = len(period)
        self._at = 0

    def take(self, size: int) -> bytes:
        begin = self._at
        self._at = (begin + size) % self._period
        return self._bytes[begin : begin + size]

    def expect(self, data: bytes) -> None:
        expected = self.take(len(data))
        if data != expected:
            raise LoadError(f"lost, repeated or out of order: {data[:24]!r} came, {expected[:24]!r} was due")


class _Exchange:
    """Keeps `in_flight` messages unacknowledged, answers every delivery, and checks each one and every answer.

    A message's last payload byte and its packet id are its place in a ring twice as long as the window, so that a
    packet id is free again long before it is used again.
    """

    def __init__(
        self, publisher: MqttClient, subscriber: MqttClient, qos: int, payload_size: int, in_flight: int
    ) -> None:
        self._publisher = publisher.stream.socket
        self._subscriber = subscriber.stream.socket
        self._in_flight = in_flight
        places = range(in_flight * 2)
        pad = b"x" * (payload_size - 1)
        ring = [publisher.publication(_SUBJECT, pad + bytes((place,)), place + 1, qos) for place in places]
        self._ring = itertools.cycle(ring)
        self._size = len(ring[0])
        self._id_at = self._size - payload_size - 2
        self._payloads = _Circle(bytes(places))

        def answers(kind: int) -> _Circle:
            return _Circle(b"".join(struct.pack("!BBH", kind, 2, place + 1) for place in places))

        self._pubacks, self._pubrecs = answers(packets.PUBACK_TYPE), answers(packets.PUBREC_TYPE)
        self._pubrels, self._pubcomps = answers(packets.PUBREL_TYPE), answers(packets.PUBCOMP_TYPE)
        # Each takes what came and returns how many messages it completes.
        self._on_answers: Callable[[bytes], int] = self._take_pubacks if qos == 1 else self._take_pubrecs_and_pubcomps
        self._on_deliveries: Callable[[bytes], int] = self._acknowledge if qos == 1 else self._acknowledge_twice
        self._answers_left = self._deliveries_left = b""
        self.busy_seconds = 0.0
        for connection in (self._publisher, self._subscriber):
            connection.setblocking(False)

    def run(self, seconds: float) -> float:
        """Exchange for that long, then let everything arrive; returns deliveries per second."""
        published = acknowledged = delivered = 0
        self.busy_seconds = 0.0
        begin = last = now = time.perf_counter()
        end = begin + seconds
        publishing = True
        while publishing or acknowledged < published or delivered < published:
            room = min(self._in_flight - published + acknowledged, _LEAD - published + delivered) if publishing else 0
            if room > 0:
                self._publisher.sendall(b"".join(itertools.islice(self._ring, room)))
                published += room
            answered, arrived = self._read_answers(), self._read_deliveries()
            acknowledged += answered
            delivered += arrived
            before, now = now, time.perf_counter()
            if answered or arrived or room > 0:
                self.busy_seconds += now - before
                last = now
            elif now - last > _GIVE_UP_SECONDS:
                raise LoadError(
                    f"stands still: {published} published, {acknowledged} acknowledged, {delivered} arrived"
                )
            publishing = publishing and now < end
        return delivered / (last - begin)

    def _read_answers(self) -> int:
        try:
            data = self._publisher.recv(_READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            raise LoadError("the server closed the publisher")
        data = self._answers_left + data
        whole = len(data) - len(data) % _ANSWER
        self._answers_left = data[whole:]
        return self._on_answers(data[:whole])

    def _read_deliveries(self) -> int:
        try:
            data = self._subscriber.recv(_READ_BYTES - self._size)
        except BlockingIOError:
            return 0
        if not data:
            raise LoadError("the server closed the subscriber")
        return self._on_deliveries(self._deliveries_left + data)

    def _take_pubacks(self, data: bytes) -> int:
        self._pubacks.expect(data)
        return len(data) // _ANSWER

    def _take_pubrecs_and_pubcomps(self, data: bytes) -> int:
        """Release what was received; a message is done with its PUBCOMP."""
        answers = [data[at : at + _ANSWER] for at in range(0, len(data), _ANSWER)]
        received = b"".join([answer for answer in answers if answer[0] == packets.PUBREC_TYPE])
        completed = b"".join([answer for answer in answers if answer[0] != packets.PUBREC_TYPE])
        self._pubrecs.expect(received)
        self._pubcomps.expect(completed)
        if received:
            self._publisher.sendall(self._pubrels.take(len(received)))
        return len(completed) // _ANSWER

    def _acknowledge(self, data: bytes) -> int:
        count = len(data) // self._size
        whole = count * self._size
        self._payloads.expect(data[self._size - 1 : whole : self._size])
        answers = bytearray(bytes((packets.PUBACK_TYPE, 2, 0, 0)) * count)
        answers[2::4] = data[self._id_at : whole : self._size]
        answers[3::4] = data[self._id_at + 1 : whole : self._size]
        self._subscriber.sendall(answers)
        self._deliveries_left = data[whole:]
        return count

    def _acknowledge_twice(self, data: bytes) -> int:
        """PUBREC for every PUBLISH, PUBCOMP for every PUBREL; a message is done with its PUBREL."""
        size, id_at = self._size, self._id_at
        answers = []
        places = bytearray()
        at = released = 0
        while at + _ANSWER <= len(data):
            if data[at] == packets.PUBREL_TYPE:
                answers.append(b"\x70" + data[at + 1 : at + _ANSWER])
                released += 1
                at += _ANSWER
                continue
            if at + size > len(data):
                break
            answers.append(b"\x50\x02" + data[at + id_at : at + id_at + 2])
            at += size
            places.append(data[at - 1])
        self._payloads.expect(bytes(places))
        self._deliveries_left = data[at:]
        if answers:
            self._subscriber.sendall(b"".join(answers))
        return released
