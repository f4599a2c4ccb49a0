"""The measurements of TLS: what an idle connection takes, and what others see of many handshakes a second."""

import contextlib
import multiprocessing
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

from byte_streams import ANSWER_SECONDS
from load_requests import PAYLOAD, blocking_reads, percentile
from machine import LoadError
from measures import Client, Effort, Outcome, Site, connect
from mixed_messages import ALL, mixed_messages
from rehearsal import Rehearsal
from server_process import ServerProcess
from traffic import Flow, Publisher

_SETTLE_SECONDS = 3.0
_QUICK_SETTLE_SECONDS = 0.1
_HANDSHAKES_A_SECOND = 200
_BEGUN_AT_A_TIME = 100
_WARM_UP = 100
_FEWEST = 200
_LONGEST_SECONDS = 15.0


@dataclass(frozen=True)
class IdleTls:
    """Bytes for each idle connection inside TLS with one subscription of its own."""

    protocol: str

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        before = site.server.resident_bytes()
        clients: list[Client] = []
        try:
            for number in range(effort.idle_connections):
                clients.append(connect(site.server, self.protocol))
                clients[-1].subscribe(f"idle.{number}")
            time.sleep(_SETTLE_SECONDS if effort.idle_connections >= 1000 else _QUICK_SETTLE_SECONDS)
            return Outcome({"memory": (site.server.resident_bytes() - before) / effort.idle_connections / 1024})
        finally:
            for client in clients:
                client.stream.close()


Others = Callable[[Connection, ServerProcess, Effort], None]


@dataclass(frozen=True)
class TalkMeanwhile:
    """Round trips of two clients inside TLS while `others` do something, of which there is so much a second.

    Those others are a process of its own that gives way to the two: what they wait for is the server, not the load.
    """

    others: Others
    what: str

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        talk = _Talk(site.server)
        ours, theirs = multiprocessing.get_context("fork").Pipe()
        others = multiprocessing.get_context("fork").Process(
            target=self.others, args=(theirs, site.server, effort), daemon=True
        )
        try:
            calm = sorted(talk.round_trips(effort.seconds / 4))
            others.start()
            theirs.close()
            ours.recv()
            meanwhile = sorted(talk.round_trips(effort.seconds))
            ours.send("stop")
            told = ours.recv()
        except EOFError:
            raise LoadError("the others ended without a word") from None
        finally:
            talk.close()
            if others.pid:
                others.terminate()
                others.join(10)
        if isinstance(told, str):
            raise LoadError(told)
        p50, p99 = percentile(meanwhile, 0.5) * 1e6, percentile(meanwhile, 0.99) * 1e6
        remark = (
            f"{told:.0f} {self.what} a second; without the others the median is "
            f"{percentile(calm, 0.5) * 1e6:.0f} µs and p99 {percentile(calm, 0.99) * 1e6:.0f} µs"
        )
        return Outcome({"p50": p50, "p99": p99}, remark=remark)


class _Talk:
    """A message from one to the other, and one back."""

    def __init__(self, server: ServerProcess) -> None:
        self._asking, self._answering = connect(server, "nats"), connect(server, "nats")
        self._asking.subscribe("talk.answer")
        self._answering.subscribe("talk.question")
        self._question = self._asking.publication("talk.question", PAYLOAD)
        self._answer = self._answering.publication("talk.answer", PAYLOAD)
        for client in (self._asking, self._answering):
            blocking_reads(client.stream.socket)
        for _ in range(_WARM_UP):
            self._round_trip()

    def round_trips(self, seconds: float) -> Iterator[float]:
        begin, count = time.perf_counter(), 0
        # Where a round trip takes very long there are few of them, but the row comes to an end.
        while (passed := time.perf_counter() - begin) < seconds or (count < _FEWEST and passed < _LONGEST_SECONDS):
            yield self._round_trip()
            count += 1
            time.sleep(0.0005)

    def _round_trip(self) -> float:
        begin = time.perf_counter()
        self._asking.stream.socket.sendall(self._question)
        _await(self._answering)
        self._answering.stream.socket.sendall(self._answer)
        _await(self._asking)
        return time.perf_counter() - begin

    def close(self) -> None:
        self._asking.stream.close()
        self._answering.stream.close()


def _await(client: Client) -> None:
    data = b""
    while PAYLOAD + b"\r\n" not in data:
        more = client.stream.socket.recv(1 << 16)
        if not more:
            raise LoadError("the server closed a connection that talks")
        data += more


def come_and_go(pipe: Connection, server: ServerProcess, effort: Effort) -> None:
    """Others that come and go while mixed traffic flows: a handshake and 64 KiB of mixed messages every five
    milliseconds; answers with how many handshakes a second it came to, or with what went wrong.
    """
    os.nice(19)
    try:
        receiver, publisher = connect(server, "nats"), connect(server, "nats")
        receiver.subscribe(ALL)
        chunks = Rehearsal(publisher, [[receiver]]).chunks(mixed_messages(min(effort.mixed_messages, 2000)))
        count = 0
        begin = due = time.perf_counter()
        pipe.send("ready")
        while not pipe.poll():
            connect(server, "nats").stream.close()
            count += 1
            flow = Flow([Publisher(publisher.stream, iter([chunks[count % len(chunks)]]))], [receiver.stream], 1 << 20)
            flow.run(1.0)
            flow.close()
            due = max(due + 1 / _HANDSHAKES_A_SECOND, time.perf_counter() - 0.1)
            time.sleep(max(due - time.perf_counter(), 0))
        pipe.send(count / (time.perf_counter() - begin))
    except (LoadError, OSError) as error:
        pipe.send("ready")
        pipe.send(f"{type(error).__name__}: {error}")


def begin_handshakes(pipe: Connection, server: ServerProcess, _effort: Effort) -> None:
    """Others that begin handshakes as fast as they can and end none; answers with how many they began a second, or
    with what went wrong.
    """
    os.nice(19)
    hello = _client_hello(server)
    waiting: deque[socket.socket] = deque()
    begun = 0
    try:
        pipe.send("ready")
        begin = time.perf_counter()
        while not pipe.poll():
            waiting.append(socket.create_connection(server.addresses["nats"], timeout=ANSWER_SECONDS))
            waiting[-1].sendall(hello)
            begun += 1
            if len(waiting) > _BEGUN_AT_A_TIME:
                waiting.popleft().close()
        pipe.send(begun / (time.perf_counter() - begin))
    except OSError as error:
        pipe.send(f"{type(error).__name__}: {error}")
    finally:
        for one in waiting:
            one.close()


def _client_hello(server: ServerProcess) -> bytes:
    """The first that a client says in its handshake."""
    assert server.trust is not None
    outgoing = ssl.MemoryBIO()
    engine = server.trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        engine.do_handshake()
    return outgoing.read()
