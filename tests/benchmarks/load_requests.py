"""Request/reply latency: one requester, one responder, one request in flight, each with a fresh inbox subject."""

import socket
import struct
import time

from load_nats import NatsClient
from machine import LoadError
from server_process import Address

PAYLOAD = b"x" * 16
_END = PAYLOAD + b"\r\n"
_WARM_UP = 200
_FEWEST = 200
_ANSWER_SECONDS = 30


def blocking_reads(connection: socket.socket) -> None:
    """Let reads wait in the kernel with a time limit; Python's own timeout would add a poll() to each."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _ANSWER_SECONDS, 0))


class Exchange:
    """A requester and a responder on one server."""

    def __init__(self, address: Address) -> None:
        self._requester = NatsClient.over_tcp(address)
        self._responder = NatsClient.over_tcp(address)
        self._requester.subscribe("_INBOX.bench.*")
        self._responder.subscribe("rpc.bench")
        for client in (self._requester, self._responder):
            blocking_reads(client.stream.socket)
        self._count = 0

    def close(self) -> None:
        self._requester.stream.close()
        self._responder.stream.close()

    def round_trip(self) -> float:
        """One request and its reply; seconds."""
        self._count += 1
        inbox = f"_INBOX.bench.{self._count:08d}"
        request = self._requester.publication("rpc.bench", PAYLOAD, reply=inbox)
        reply = self._responder.publication(inbox, PAYLOAD)
        begin = time.perf_counter()
        self._requester.stream.socket.sendall(request)
        _await_delivery(self._responder.stream.socket)
        self._responder.stream.socket.sendall(reply)
        _await_delivery(self._requester.stream.socket)
        return time.perf_counter() - begin


def round_trips(address: Address, seconds: float) -> list[float]:
    """Latencies in seconds, sorted, of as many round trips as fit (at least 200)."""
    exchange = Exchange(address)
    try:
        for _ in range(min(_WARM_UP, _FEWEST)):
            exchange.round_trip()
        latencies: list[float] = []
        end = time.perf_counter() + seconds
        while len(latencies) < _FEWEST or time.perf_counter() < end:
            latencies.append(exchange.round_trip())
        return sorted(latencies)
    finally:
        exchange.close()


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _await_delivery(connection: socket.socket) -> None:
    data = connection.recv(65536)
    # A server's PING may come before it and behind it, and the delivery in pieces.
    while _END not in data:
        more = connection.recv(65536)
        if not more:
            raise LoadError("the server closed the connection")
        data += more
