"""A reconnect storm: thousands of persistent sessions return for their queues, two others go on talking meanwhile.

The storm runs in a process of its own that gives way to the two: what they wait for is the server, not the load.
"""

import multiprocessing
import os
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import mqtt_packets as packets
from load_mqtt import MqttClient, WindowedPublisher
from load_requests import blocking_reads, percentile
from load_sessions import PAYLOAD_BYTES, acknowledgement, make_away, payload
from machine import LoadError
from server_process import Address

_IN_FLIGHT = 100
# Connections without a CONNACK; below the shortest listen backlog (mosquitto: 100), past which the kernel drops a
# handshake and tries again a second later.
_GREETING_AT_MOST = 90
_SILENCE_SECONDS = 20.0
_STORM_SECONDS_AT_MOST = 300.0
_WARM_UP = 300
# Leaves the load's core to the storm between two round trips.
_PACE_SECONDS = 0.0005


@dataclass(frozen=True)
class StormCost:
    """Seconds until every session has its messages; round trips of the two others, in seconds, meanwhile and before.

    `load_busy` is the share of its core that the storm's side used; near 1 it was the limit.
    """

    seconds: float
    load_busy: float
    p50: float
    p99: float
    calm_p50: float
    calm_p99: float


def storm_cost(address: Address, sessions: int, messages: int) -> StormCost:
    names = [f"storm-{number:05d}" for number in range(sessions)]
    make_away(address, [(name, f"{name}/command") for name in names])
    publisher = WindowedPublisher(address, _IN_FLIGHT)
    try:
        publisher.publish((f"{name}/command", payload(turn)) for turn in range(messages) for name in names)
    finally:
        publisher.close()
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    storm = multiprocessing.get_context("fork").Process(
        target=_storm, args=(theirs, address, names, messages), daemon=True
    )
    storm.start()
    theirs.close()
    talk = _Talk(address)
    try:
        calm = sorted(talk.round_trip() for _ in range(_WARM_UP))
        ours.send("go")
        meanwhile = sorted(_until_answered(ours, talk))
        try:
            told = ours.recv()
        except EOFError:
            raise LoadError("the storm ended without a word") from None
        if isinstance(told, str):
            raise LoadError(told)
        seconds, load_busy = told
        return StormCost(
            seconds,
            load_busy,
            percentile(meanwhile, 0.5),
            percentile(meanwhile, 0.99),
            percentile(calm, 0.5),
            percentile(calm, 0.99),
        )
    finally:
        talk.close()
        storm.terminate()
        storm.join(10)


def _until_answered(pipe: Connection, talk: "_Talk") -> Iterator[float]:
    give_up = time.monotonic() + _STORM_SECONDS_AT_MOST
    while True:
        yield talk.round_trip()
        if pipe.poll(_PACE_SECONDS):
            return
        if time.monotonic() > give_up:
            raise LoadError(f"the sessions have not drained within {_STORM_SECONDS_AT_MOST:.0f} s")


class _Talk:
    """Two clients with clean sessions: a QoS 0 message from one to the other, and one back."""

    def __init__(self, address: Address) -> None:
        self._asking, self._answering = MqttClient.over_tcp(address), MqttClient.over_tcp(address)
        self._asking.subscribe("talk.answer")
        self._answering.subscribe("talk.question")
        self._question = self._asking.publication("talk.question", b"x" * PAYLOAD_BYTES)
        self._answer = self._asking.publication("talk.answer", b"x" * PAYLOAD_BYTES)
        for client in (self._asking, self._answering):
            blocking_reads(client.stream.socket)

    def round_trip(self) -> float:
        asking, answering = self._asking.stream.socket, self._answering.stream.socket
        begin = time.perf_counter()
        asking.sendall(self._question)
        _receive(answering, self._question)
        answering.sendall(self._answer)
        _receive(asking, self._answer)
        return time.perf_counter() - begin

    def close(self) -> None:
        self._asking.stream.close()
        self._answering.stream.close()


def _receive(connection: socket.socket, delivery: bytes) -> None:
    data = b""
    while len(data) < len(delivery):
        try:
            more = connection.recv(4096)
        except BlockingIOError:
            raise LoadError("a round trip took more than 10 s during the storm") from None
        if not more:
            raise LoadError("the server closed a connection that is no part of the storm")
        data += more
    if data != delivery:
        raise LoadError(f"not the message that was due: {data[:60]!r}")


def _storm(pipe: Connection, address: Address, names: list[str], messages: int) -> None:
    """The other process: answers with what `_return_all` returns, or with what went wrong."""
    os.nice(19)
    pipe.recv()
    returning: dict[int, _Returning] = {}
    try:
        pipe.send(_return_all(address, names, messages, returning))
    except (LoadError, OSError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
    # The connections stay until the last round trip is over.
    pipe.recv()


class _Returning:
    """A session on its way back."""

    def __init__(self, address: Address, name: str) -> None:
        self.socket = socket.create_connection(address, timeout=_SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(packets.connect(name, clean=False))
        self.name = name
        self.greeted = False
        self.taken = 0
        self._rest = b""

    def read(self) -> None:
        """Take and acknowledge what has come."""
        data = self.socket.recv(65536)
        if not data:
            raise LoadError(f"the server closed {self.name} after {self.taken} messages")
        found, self._rest = packets.split(self._rest + data)
        if found and not self.greeted:
            if not packets.session_present(found.pop(0), packets.V311):
                raise LoadError(f"the session of {self.name} is gone")
            self.greeted = True
        for packet in found:
            came = packet[-PAYLOAD_BYTES:]
            if packet[0] & 0xF0 == packets.PUBLISH_TYPE and came == payload(self.taken):
                self.taken += 1
            # A server may send again what has waited long for its PUBACK, and then says so (3.1.1 3.3.1.1).
            elif not (packet[0] & packets.REPEATED_PUBLISH == packets.REPEATED_PUBLISH and came < payload(self.taken)):
                raise LoadError(f"{self.name}: message {self.taken} was due, {packet[:60]!r} came")
        if found:
            self.socket.sendall(b"".join(acknowledgement(packet) for packet in found))


def _return_all(
    address: Address, names: list[str], messages: int, returning: dict[int, _Returning]
) -> tuple[float, float]:
    """All come back as fast as they are greeted, and stay.

    Returns the seconds until the last has its last message, and the share of a core that this took here.
    """
    coming = iter(names)
    cpu, begin = time.process_time(), time.perf_counter()
    greeted = drained = 0
    with select.epoll() as epoll:
        while drained < len(names):
            while len(returning) < len(names) and len(returning) - greeted < _GREETING_AT_MOST:
                session = _Returning(address, next(coming))
                returning[session.socket.fileno()] = session
                epoll.register(session.socket.fileno(), select.EPOLLIN)
            events = epoll.poll(_SILENCE_SECONDS)
            if not events:
                raise LoadError(f"the storm stands still: {greeted} greeted, {drained} of {len(names)} drained")
            for fd, _ in events:
                session = returning[fd]
                was_greeted, was_drained = session.greeted, session.taken == messages
                session.read()
                greeted += session.greeted and not was_greeted
                drained += session.taken == messages and not was_drained
    elapsed = time.perf_counter() - begin
    return elapsed, (time.process_time() - cpu) / elapsed
