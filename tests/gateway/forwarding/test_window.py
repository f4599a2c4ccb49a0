"""What is under way is bounded, and known by its number."""

from gateway.forwarding.hub_streams import HubStream
from gateway.forwarding.window import MOST_BYTES, MOST_MESSAGES, Sent, Window

HUB = HubStream("S", ["a.>"])


def sent(sequence: int, size: int = 1, at: float = 0.0) -> Sent:
    return Sent(sequence, sequence, b"a.b", size, HUB, at)


def test_window_is_bounded_in_messages_and_in_bytes():
    window = Window()
    for number in range(MOST_MESSAGES):
        assert window.has_room
        window.add(sent(number))
    assert not window.has_room
    assert window.room() == (0, MOST_BYTES - MOST_MESSAGES)
    window.take(7)
    assert window.has_room
    window.add(sent(MOST_MESSAGES, MOST_BYTES))
    assert not window.has_room


def test_the_oldest_tells_how_long_the_hub_is_silent():
    window = Window()
    assert window.oldest_at() is None
    for number in (1, 2, 3):
        window.add(sent(number, at=float(number)))
    assert window.oldest_at() == 1.0
    assert window.take(1) is not None
    assert window.take(1) is None
    assert window.oldest_at() == 2.0
    window.clear()
    assert (len(window), window.bytes, window.oldest_at()) == (0, 0, None)
