"""Pull requests without end: what concerns all that wait is done for some at a time."""

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.dataplane.port import Port
from gateway.streams.consumer_config import ConsumerConfig
from gateway.streams.pull_requests import AT_ONCE, LOOKED_FOR_AT_ONCE, PullRequests

ASKER = Port(None)
MANY = 20 * AT_ONCE


class Consumer:
    """As much of a consumer and of its home as requests know."""

    def __init__(self, max_waiting: int = MANY) -> None:
        self.config = ConsumerConfig(max_waiting=max_waiting)
        self.home = self
        self.there = 1_000_000
        self.answers: list[tuple[bytes, bytes]] = []
        self.absent: set[bytes] = set()
        self.looked = 0

    def answer(self, subject: bytes, payload: bytes, asker: Port, header: bytes = b"") -> None:
        self.answers.append((subject, header.partition(b"\r\n")[0]))

    def has_interest(self, subject: bytes, queue: bytes) -> bool:
        self.looked += 1
        return subject not in self.absent

    def available(self) -> int:
        return self.there

    def heartbeat(self) -> bytes:
        return b"NATS/1.0 100 Idle Heartbeat\r\n\r\n"


def waiting(consumer: Consumer, count: int, **asked: Any) -> PullRequests:
    pulls = PullRequests(consumer)  # type: ignore[arg-type]
    payload = msgspec.json.encode({"batch": 1} | asked)
    for number in range(count):
        pulls.ask(payload, b"inbox.%d" % number, ASKER, 0.0)
    return pulls


def steps(step: Callable[[], bool], consumer: Consumer) -> int:
    """How many steps it takes until nothing is left; in none of them many are answered."""
    count, more = 0, True
    while more:
        before = len(consumer.answers)
        more = step()
        count += 1
        assert len(consumer.answers) - before <= AT_ONCE
    return count


def test_requests_whose_time_is_over_together_end_in_steps():
    consumer = Consumer()
    pulls = waiting(consumer, MANY, expires=1_000_000_000)
    assert pulls.next_at() == 1.0
    assert not pulls.expire(0.5)
    assert steps(lambda: pulls.expire(1.0), consumer) >= MANY // AT_ONCE
    assert len(pulls) == 0
    assert {header for _, header in consumer.answers} == {b"NATS/1.0 408 Request Timeout"}
    assert pulls.next_at() == float("inf")


def test_heartbeats_that_are_due_together_come_in_steps():
    consumer = Consumer()
    pulls = waiting(consumer, MANY, expires=10_000_000_000, idle_heartbeat=1_000_000_000)
    assert steps(lambda: pulls.expire(1.0), consumer) >= MANY // AT_ONCE
    assert len(consumer.answers) == len(pulls) == MANY
    assert pulls.next_at() == 2.0


def test_requests_that_do_not_wait_end_in_steps_when_there_is_no_more():
    consumer = Consumer()
    pulls = waiting(consumer, MANY, no_wait=True)
    assert steps(pulls.exhausted, consumer) >= MANY // AT_ONCE
    assert len(pulls) == 0
    assert {header for _, header in consumer.answers} == {b"NATS/1.0 404 No Messages"}


def test_requests_of_a_consumer_that_is_deleted_end_in_steps():
    consumer = Consumer()
    pulls = waiting(consumer, MANY, expires=1_000_000_000)
    assert steps(lambda: pulls.end_some("409 Consumer Deleted"), consumer) >= MANY // AT_ONCE
    assert len(consumer.answers) == MANY


def test_room_is_looked_for_among_some_of_those_that_wait():
    """Each further request would look for the askers of all of them."""
    consumer = Consumer(max_waiting=4 * LOOKED_FOR_AT_ONCE)
    pulls = waiting(consumer, 4 * LOOKED_FOR_AT_ONCE, expires=1_000_000_000)
    pulls.ask(b'{"batch":1,"expires":1000000000}', b"more", ASKER, 0.0)
    assert consumer.looked == LOOKED_FOR_AT_ONCE
    assert consumer.answers == [(b"more", b"NATS/1.0 409 Exceeded MaxWaiting")]
    consumer.absent = {b"inbox.%d" % number for number in range(LOOKED_FOR_AT_ONCE)}
    pulls.ask(b'{"batch":1,"expires":1000000000}', b"more", ASKER, 0.0)
    assert len(consumer.answers) == 1
    assert len(pulls) == 3 * LOOKED_FOR_AT_ONCE + 1


def test_requests_that_are_over_are_not_held_until_the_time_that_they_had_asked_for():
    consumer = Consumer(max_waiting=10)
    pulls = waiting(consumer, 0)
    for number in range(100 * AT_ONCE):
        pulls.ask(b'{"batch":1,"expires":60000000000}', b"%d" % number, ASKER, 0.0)
        pulls.served(1, 1, 0.0)
    assert len(pulls) == 0
    assert len(pulls._due) <= 2 * AT_ONCE


def test_whose_turn_it_is_gets_as_much_as_all_ask_for_who_hear_it_in_one_place():
    pulls = PullRequests(Consumer())  # type: ignore[arg-type]
    for _ in range(3):
        pulls.ask(b'{"batch":2,"expires":1000000000}', b"inbox", ASKER, 0.0)
    assert pulls.share(0.0).messages == 6
    pulls.served(3, 0, 0.0)
    assert pulls.share(0.0).messages == 3
    pulls.ask(b'{"batch":2,"expires":1000000000}', b"other", ASKER, 0.0)
    assert pulls.share(0.0).messages == 1
    pulls.end_some("409 Consumer Deleted")
    pulls.ask(b'{"batch":5,"max_bytes":100,"expires":1000000000}', b"inbox", ASKER, 0.0)
    pulls.ask(b'{"batch":5,"expires":1000000000}', b"inbox", ASKER, 0.0)
    assert pulls.share(0.0).messages == 1
    pulls.too_large()
    assert pulls.share(0.0).messages == 5
