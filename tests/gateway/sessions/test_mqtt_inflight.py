"""The window of unacknowledged messages and the queue behind it."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.sessions.mqtt_inflight import LAST_PACKET_ID, Delivery, Inflight


def delivery(number: int) -> Delivery:
    return Delivery(b"topic", b"%d" % number)


def test_messages_get_ids_until_the_window_is_full():
    inflight = Inflight(2, 10, 100)
    assert [inflight.add(delivery(number)) for number in range(4)] == [1, 2, 0, 0]


def test_acknowledgement_makes_room_for_the_one_that_waited_longest():
    inflight = Inflight(1, 10, 100)
    for number in range(3):
        inflight.add(delivery(number))
    assert inflight.acknowledge(1) == [(2, delivery(1))]
    assert inflight.acknowledge(2) == [(3, delivery(2))]
    assert inflight.acknowledge(3) == []


def test_acknowledgement_of_something_else_makes_no_room():
    inflight = Inflight(1, 10, 100)
    inflight.add(delivery(0))
    inflight.add(delivery(1))
    assert inflight.acknowledge(7) == []
    assert inflight.acknowledge(0) == []


def test_new_message_does_not_pass_those_that_wait():
    inflight = Inflight(1, 2, 100)
    inflight.add(delivery(0))
    inflight.add(delivery(1))
    inflight.add(delivery(2))
    assert inflight.acknowledge(1) == [(2, delivery(1))]
    assert inflight.add(delivery(3)) == 0
    assert inflight.acknowledge(2) == [(3, delivery(2))]


def test_full_queue_refuses():
    inflight = Inflight(1, 2, 100)
    assert [inflight.add(delivery(number)) for number in range(4)] == [1, 0, 0, None]
    inflight.acknowledge(1)
    assert inflight.add(delivery(4)) == 0


def test_no_queue_at_all_refuses_behind_the_window():
    inflight = Inflight(1, 0, 100)
    assert [inflight.add(delivery(number)) for number in range(2)] == [1, None]
    inflight.acknowledge(1)
    assert inflight.add(delivery(2)) == 2


def test_queue_is_bounded_in_bytes():
    inflight = Inflight(1, 10, 5)
    inflight.add(Delivery(b"t", b"sent at once"))
    assert inflight.add(Delivery(b"t", b"123")) == 0
    assert inflight.add(Delivery(b"t", b"456")) is None
    assert inflight.add(Delivery(b"t", b"45")) == 0
    inflight.acknowledge(1)
    assert inflight.add(Delivery(b"t", b"678")) == 0


def test_ids_wrap_around_and_leave_out_those_in_use():
    inflight = Inflight(2, 0, 0)
    assert inflight.add(delivery(0)) == 1
    for packet_id in range(2, LAST_PACKET_ID + 1):
        assert inflight.add(delivery(0)) == packet_id
        inflight.acknowledge(packet_id)
    assert inflight.add(delivery(0)) == 2


def test_widest_window_uses_every_id():
    inflight = Inflight(LAST_PACKET_ID, 1, 100)
    assert {inflight.add(delivery(0)) for _ in range(LAST_PACKET_ID)} == set(range(1, LAST_PACKET_ID + 1))
    assert inflight.add(delivery(1)) == 0
    assert inflight.acknowledge(4711) == [(4711, delivery(1))]


@given(st.integers(1, 4), st.integers(0, 5), st.lists(st.integers(0, 9), max_size=60))
def test_whatever_is_taken_is_sent_once_and_in_order(window: int, max_queued: int, steps: list[int]):
    """A step acknowledges the n-th of the unacknowledged; where there is none, it publishes."""
    inflight = Inflight(window, max_queued, 10_000)
    taken: list[Delivery] = []
    sent: list[Delivery] = []
    open_ids: list[int] = []
    for number, step in enumerate(steps):
        if step < len(open_ids):
            ready = inflight.acknowledge(open_ids.pop(step))
            sent += [one for _, one in ready]
            open_ids += [packet_id for packet_id, _ in ready]
        else:
            packet_id = inflight.add(delivery(number))
            if packet_id is not None:
                taken.append(delivery(number))
            if packet_id:
                sent.append(delivery(number))
                open_ids.append(packet_id)
        assert len(open_ids) == len(set(open_ids)) <= window
    while open_ids:
        ready = inflight.acknowledge(open_ids.pop())
        sent += [one for _, one in ready]
        open_ids += [packet_id for packet_id, _ in ready]
    assert sent == taken
