"""QoS 1 and QoS 2 from one publisher to one subscriber: a fixed window, every answer given at once and checked."""

import bisect
import contextlib
import itertools
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mqtt_packets as packets
from load_mqtt import MqttClient
from machine import LoadError
from mixed_messages import ALL, Message
from server_process import ServerProcess

_READ_BYTES = 65536
_GIVE_UP_SECONDS = 30.0
# How far publishing may run ahead of the subscriber: below every server's queue (mosquitto's default: 1,000).
_LEAD = 500
_ANSWER = packets.ACKNOWLEDGEMENT_BYTES


@dataclass(frozen=True)
class ExchangeRate:
    """Deliveries per second, and the shares of their cores that the server and this load were busy."""

    rate: float
    server_busy: float
    load_busy: float


def repeated_message(payload_size: int, in_flight: int) -> Sequence[Message]:
    """One message over and over: only the last byte of its payload counts. Twice as many as the window."""
    pad = b"x" * (payload_size - 1)
    return [Message("plant.a", pad + bytes((place,)), 0) for place in range(in_flight * 2)]


def exchange_rate(
    server: ServerProcess, qos: int, messages: Sequence[Message], in_flight: int, seconds: float, persistent: bool
) -> ExchangeRate:
    """Both ends acknowledge; `persistent` gives the subscriber a session that outlives its connection.

    The messages, at least twice as many as the window, go round and round.
    """
    address = server.addresses["mqtt"]
    with contextlib.ExitStack() as opened:
        publisher = MqttClient.over_tcp(address)
        opened.callback(publisher.stream.close)
        subscriber = MqttClient.over_tcp(address, "bench-subscriber", clean=not persistent)
        opened.callback(subscriber.stream.close)
        subscriber.subscribe(ALL, qos=qos)
        exchange = _Exchange(publisher, subscriber, qos, messages, in_flight)
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

    A message's place in the round is its packet id, which is free again long before it is used again, and the last
    byte of its payload. Deliveries are as long as publications, so that the place of each is known beforehand.
    """

    def __init__(
        self, publisher: MqttClient, subscriber: MqttClient, qos: int, messages: Sequence[Message], in_flight: int
    ) -> None:
        self._publisher = publisher.stream.socket
        self._subscriber = subscriber.stream.socket
        self._in_flight = in_flight
        ids = range(1, len(messages) + 1)
        publications = [
            publisher.publication(message.subject, message.payload, packet_id, qos)
            for packet_id, message in zip(ids, messages, strict=True)
        ]
        sizes = [len(publication) for publication in publications]
        # Short rounds are repeated until a read fits well into what is due.
        rounds = 1 + 4 * _READ_BYTES // sum(sizes)
        self._round = memoryview(b"".join(publications) * rounds)
        self._begins = list(itertools.accumulate(sizes * rounds, initial=0))
        self._count = len(self._begins) - 1
        bodies = [len(message.payload) + 2 for message in messages] * rounds
        self._ids = [slice(end - body, end - body + 2) for end, body in zip(self._begins[1:], bodies, strict=True)]
        self._last_bytes = bytes(message.payload[-1] for message in messages) * rounds
        self._unsent = self._round[:0]
        self._next_sent = self._next_due = 0
        # Deliveries stand where their publications stand in the round.
        self._image = bytearray(len(self._round))
        self._image_end = 0

        def answers(kind: int) -> _Circle:
            return _Circle(b"".join(struct.pack("!BBH", kind, 2, packet_id) for packet_id in ids))

        self._pubacks, self._pubrecs = answers(packets.PUBACK_TYPE), answers(packets.PUBREC_TYPE)
        self._pubrels, self._pubcomps = answers(packets.PUBREL_TYPE), answers(packets.PUBCOMP_TYPE)
        # Each takes what came and returns how many messages it completes.
        self._on_answers: Callable[[bytes], int] = self._take_pubacks if qos == 1 else self._take_pubrecs_and_pubcomps
        self._read_deliveries: Callable[[], int] = self._acknowledge if qos == 1 else self._acknowledge_twice
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
            sent = self._publish(room)
            published += sent
            answered, arrived = self._read_answers(), self._read_deliveries()
            acknowledged += answered
            delivered += arrived
            before, now = now, time.perf_counter()
            if answered or arrived or sent:
                self.busy_seconds += now - before
                last = now
            elif now - last > _GIVE_UP_SECONDS:
                raise LoadError(
                    f"stands still: {published} published, {acknowledged} acknowledged, {delivered} arrived"
                )
            publishing = publishing and now < end
        return delivered / (last - begin)

    def _publish(self, room: int) -> int:
        """Send what is left of the messages before, or up to so many new ones; returns how many are new."""
        begin = self._next_sent
        if self._unsent or room <= 0:
            end = begin
        else:
            end = min(begin + room, self._count)
            self._unsent = self._round[self._begins[begin] : self._begins[end]]
            self._next_sent = end % self._count
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self._publisher.send(self._unsent) :]
        return end - begin

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

    def _acknowledge(self) -> int:
        """PUBACK for every PUBLISH; reads each delivery into its place of the round."""
        image, at = self._image, self._image_end
        try:
            count = self._subscriber.recv_into(memoryview(image)[at : at + _READ_BYTES])
        except BlockingIOError:
            return 0
        if not count:
            raise LoadError("the server closed the subscriber")
        first = self._next_due
        behind = bisect.bisect_right(self._begins, at + count, first) - 1
        if behind > first:
            last_bytes = bytes([image[begin - 1] for begin in self._begins[first + 1 : behind + 1]])
            self._check(last_bytes, first)
            ids = map(image.__getitem__, self._ids[first:behind])
            self._subscriber.sendall(b"\x40\x02" + b"\x40\x02".join(ids))
        self._image_end = (at + count) % len(image)
        self._next_due = behind % self._count
        return behind - first

    def _acknowledge_twice(self) -> int:
        """PUBREC for every PUBLISH, PUBCOMP for every PUBREL; a message is done with its PUBREL."""
        try:
            data = self._subscriber.recv(_READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            raise LoadError("the server closed the subscriber")
        data = self._deliveries_left + data
        begins, due, total = self._begins, self._next_due, self._count
        answers = []
        at = released = 0
        while at + _ANSWER <= len(data):
            if data[at] == packets.PUBREL_TYPE:
                answers.append(b"\x70" + data[at + 1 : at + _ANSWER])
                released += 1
                at += _ANSWER
                continue
            size = begins[due + 1] - begins[due]
            if at + size > len(data):
                break
            id_at = at + self._ids[due].start - begins[due]
            answers.append(b"\x50\x02" + data[id_at : id_at + 2])
            at += size
            self._check(data[at - 1 : at], due)
            due = (due + 1) % total
        self._next_due = due
        self._deliveries_left = data[at:]
        if answers:
            self._subscriber.sendall(b"".join(answers))
        return released

    def _check(self, last_bytes: bytes, first: int) -> None:
        expected = self._last_bytes[first : first + len(last_bytes)]
        if last_bytes != expected:
            raise LoadError(f"lost, repeated or out of order: {last_bytes[:24]!r} came, {expected[:24]!r} was due")
