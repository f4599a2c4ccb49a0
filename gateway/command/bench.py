"""`leafgate bench`: what a server does with one publisher and some subscribers, or with requests one after the other.

Publishers and subscribers are processes of their own. Python is slower than a fast server: `make bench` in the sources
has the clients that measure one.
"""

import argparse
import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection

from gateway.command.clients.link import ConnectionLostError, Interest, Outgoing, Target
from gateway.command.clients.opening import new_inbox, open_link
from gateway.errors import ClientError

BATCH = 256
# So long a subscriber waits for the next message before it takes the others for lost.
PATIENCE_SECONDS = 5.0
STEPS = 20


def run(target: Target, options: argparse.Namespace) -> None:
    """Measure, and print what was found. Raises ClientError."""
    if options.requests:
        told = _measure_requests(target, options.subject, options.messages, options.size)
    else:
        told = _measure_messages(target, options)
    if options.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name.replace('_', ' '):<24} {value:>14,}")


def _measure_messages(target: Target, options: argparse.Namespace) -> dict[str, object]:
    context = multiprocessing.get_context("fork")
    pipes, workers = [], []
    try:
        for _ in range(options.subscribers):
            ours, theirs = context.Pipe()
            worker = context.Process(
                target=_count, args=(theirs, target, options.subject, options.messages), daemon=True
            )
            worker.start()
            theirs.close()
            workers.append(worker)
            pipes.append(ours)
        for pipe in pipes:
            _hear(pipe)
        begun = time.perf_counter()
        published = _publish(target, options)
        heard = [_hear(pipe) for pipe in pipes]
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    total = sum(received for received, _ in heard)
    told: dict[str, object] = {
        "messages": options.messages,
        "bytes_a_message": options.size,
        "published_a_second": round(options.messages / published),
    }
    if pipes:
        told |= {
            "received_a_second": round(total / (max(last for _, last in heard) - begun)),
            "lost": options.messages * options.subscribers - total,
        }
    return told


def _publish(target: Target, options: argparse.Namespace) -> float:
    """Publish everything; how many seconds it took until the server had it."""
    bar = _Bar(options.messages)
    batch = [Outgoing(options.subject, bytes(options.size))] * BATCH
    with open_link(target) as link:
        begun = time.perf_counter()
        left = options.messages
        while left:
            count = min(left, BATCH)
            link.publish(batch[:count])
            link.tend()
            left -= count
            bar.show(options.messages - left)
        link.settle()
        return time.perf_counter() - begun


def _count(pipe: Connection, target: Target, name: bytes, count: int) -> None:
    """In a process of its own: says when the subscription stands, then how many messages have come, or what failed."""
    try:
        with open_link(target, [Interest(name, most=count)]) as link:
            pipe.send((0, 0.0))
            received, last = 0, time.perf_counter()
            while received < count and link.next_message(time.monotonic() + PATIENCE_SECONDS) is not None:
                received, last = received + 1, time.perf_counter()
            pipe.send((received, last))
    except (ClientError, KeyboardInterrupt) as error:
        pipe.send(str(error))


def _hear(pipe: Connection) -> tuple[int, float]:
    """How many messages a subscriber has got, and when it got the last one, of time.perf_counter()."""
    try:
        told = pipe.recv()
    except EOFError:
        raise ClientError("a subscriber has ended") from None
    if isinstance(told, str):
        raise ClientError(told)
    received, last = told
    return received, last


def _measure_requests(target: Target, name: bytes, count: int, size: int) -> dict[str, object]:
    """Round trips through the server, in microseconds: the answers are ours, on a connection of their own."""
    bar = _Bar(count)
    inbox = new_inbox(target)
    spent: list[float] = []
    with open_link(target, [Interest(name)]) as answering, open_link(target, [Interest(inbox)]) as asking:
        request = [Outgoing(name, bytes(size), inbox)]
        for number in range(count):
            begun = time.perf_counter()
            asking.publish(request)
            asked = answering.next_message(time.monotonic() + PATIENCE_SECONDS)
            if asked is None:
                raise ConnectionLostError("a request has not come back")
            answering.publish([Outgoing(asked.reply, asked.payload)])
            if asking.next_message(time.monotonic() + PATIENCE_SECONDS) is None:
                raise ConnectionLostError("an answer has not come back")
            spent.append(time.perf_counter() - begun)
            bar.show(number + 1)
    spent.sort()
    places = {"median_us": 0.5, "p99_us": 0.99, "most_us": 1.0}
    told: dict[str, object] = {"requests": count, "bytes_a_message": size}
    return told | {key: round(spent[min(int(count * place), count - 1)] * 1e6) for key, place in places.items()}


class _Bar:
    """How far it is, on a terminal alone."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._shown = 0 if sys.stderr.isatty() else STEPS

    def show(self, done: int) -> None:
        step = STEPS * done // self._whole
        if step > self._shown:
            self._shown = step
            end = "\n" if step == STEPS else ""
            print(f"\r[{'#' * step}{'.' * (STEPS - step)}]", end=end, file=sys.stderr, flush=True)
