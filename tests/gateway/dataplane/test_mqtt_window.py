"""The window of an MQTT client: which messages may be sent at once, and what becomes of them."""

from collections import deque

import pytest

from gateway.dataplane.mqtt_window import Window, make_queued
from protocols.message import Message, make_message


class Store:
    """Notes what it is told; takes `room` messages."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.told: list[tuple[object, ...]] = []

    def enqueue(
        self,
        key: int,
        sequence: int,
        message: Message,
        qos: int,
        retain: bool,
        identifiers: tuple[int, ...],
        expires_at: float,
    ) -> bool:
        self.room -= 1
        if self.room >= 0:
            self.told.append(("enqueue", key, sequence, message.payload(), qos, retain, identifiers, expires_at))
        return self.room >= 0

    def dequeue(self, key: int, sequence: int, message: Message | None) -> None:
        self.told.append(("dequeue", key, sequence, message is not None))

    def release(self, key: int, sequence: int, message: Message) -> None:
        self.told.append(("release", key, sequence, message.payload()))


def window(size: int = 10, store: Store | None = None) -> Window:
    made = Window()
    made.window = size
    made.store = store
    made.key = 7
    return made


def message(payload: bytes = b"") -> Message:
    return make_message(b"a.b", payload)


def test_messages_are_admitted_up_to_the_size_and_again_once_they_are_acknowledged():
    sending = window(2)
    assert [sending.admit(message(), b"a/b", 1) for _ in range(3)] == [1, 2, 0]
    assert sending.acknowledge(1, 1)
    assert sending.admit(message(), b"a/b", 1) == 3
    assert [(publish.sequence, publish.topic) for publish in sending.sent.values()] == [(2, b"a/b"), (3, b"a/b")]


def test_nothing_passes_what_waits():
    sending = window()
    sending.behind = 1
    assert sending.admit(message(), b"a/b", 1) == 0
    sending.behind = 0
    sending.waiting = deque((make_queued(1, message(), None, 1, False, (), 0.0),))
    assert sending.admit(message(), b"a/b", 1) == 0
    sending.waiting.clear()
    assert sending.admit(message(), b"a/b", 1) == 1


def test_identifier_that_an_old_message_still_holds_is_not_given_out():
    sending = window(65_535)
    assert sending.admit(message(), b"a/b", 1) == 1
    sending.sequence = 65_534
    assert sending.admit(message(), b"a/b", 1) == 65_535
    assert sending.admit(message(), b"a/b", 1) == 0
    sending.acknowledge(1, 1)
    assert sending.admit(message(), b"a/b", 1) == 1


def test_stored_messages_of_quality_of_service_1_are_noted_and_those_of_2_wait_for_the_disk():
    store = Store(room=1)
    sending = window(store=store)
    assert sending.admit(message(b"2"), b"a/b", 2) == 0
    assert sending.admit(message(b"1"), b"a/b", 1) == 1
    assert sending.admit(message(b"3"), b"a/b", 1) == 0
    assert store.told == [("enqueue", 7, 1, b"1", 1, False, (), 0.0)]
    assert sending.sequence == 1
    sending.acknowledge_all([1, 1, 5], 1)
    assert store.told[1:] == [("dequeue", 7, 1, True)]


@pytest.mark.parametrize("stored", [False, True])
def test_release_keeps_the_place_and_names_what_was_not_sent(stored: bool):
    sending = window()
    for _ in range(3):
        sending.admit(message(b"x"), b"a/b", 2)
    sending.admit(message(), b"a/b", 1)
    store = Store(room=0)
    if stored:
        sending.store = store
    assert sending.release_all([3, 4, 1, 9, 1]) == [4, 9]
    assert [publish.message is None for publish in sending.sent.values()] == [True, False, True, False]
    sending.acknowledge_all([1, 2, 3], 2)
    assert list(sending.sent) == [4]
    assert store.told == (
        [
            ("release", 7, 3, b"x"),
            ("release", 7, 1, b"x"),
            ("dequeue", 7, 1, False),
            ("dequeue", 7, 2, True),
            ("dequeue", 7, 3, False),
        ]
        if stored
        else []
    )
