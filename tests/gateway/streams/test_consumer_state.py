"""What a consumer knows of its deliveries, against a plain model of them."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.streams.consumer_state import ConsumerState

# Each step delivers the next message (0) or settles one of those that are on their way.
STEPS = st.lists(st.integers(0, 6), max_size=60)


def deliver(state: ConsumerState, sequence: int) -> None:
    state.expect(sequence, 1.0, b"s", 1)


@given(STEPS)
def test_the_floor_is_in_front_of_the_oldest_message_on_its_way(steps: list[int]) -> None:
    state = ConsumerState(1)
    for step in steps:
        waiting = list(state.pending)
        if step == 0 or not waiting:
            deliver(state, state.next)
        else:
            state.settle(waiting[(step - 1) % len(waiting)])
        oldest = min(state.pending, default=state.next)
        assert state.floor[1] == oldest - 1
        assert state.floor[0] == min((one.number for one in state.pending.values()), default=state.delivered[0] + 1) - 1


def test_a_message_that_comes_again_has_a_new_number_and_counts() -> None:
    state = ConsumerState(1)
    deliver(state, 1)
    deliver(state, 2)
    for count in (2, 3):
        assert state.next_count(1) == count
        state.deliver_again(1, 1.0, b"s", 1)
    assert state.delivered == (4, 2)
    assert state.settle(1) is not None
    assert state.floor == (1, 1)
    assert state.settle(1) is None


def test_all_up_to_a_message_are_settled_at_once() -> None:
    state = ConsumerState(1)
    for sequence in range(1, 6):
        deliver(state, sequence)
    assert [sequence for sequence, _ in state.settle_through(3)] == [1, 2, 3]
    assert state.floor == (3, 3)


def test_a_state_is_the_same_when_it_was_stored() -> None:
    state = ConsumerState(4)
    for sequence in range(4, 8):
        deliver(state, sequence)
    state.deliver_again(5, 1.0, b"s", 1)
    state.settle(4)
    again = ConsumerState(1)
    again.load(state.stored(), 7.0)
    assert again.stored() == state.stored()
    assert {one.deadline for one in again.pending.values()} == {7.0}


def test_what_was_chosen_is_counted_from_where_to_go_on() -> None:
    state = ConsumerState(2)
    state.choose([2, 5, 9], 9)
    assert (state.only, state.count_chosen()) == ({2, 5, 9}, 3)
    deliver(state, 2)
    assert state.count_chosen() == 2
    assert state.stored().only == [5, 9]
    again = ConsumerState(1)
    again.load(state.stored(), 7.0)
    assert again.count_chosen() == 2
