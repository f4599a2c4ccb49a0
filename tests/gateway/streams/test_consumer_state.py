"""What a consumer knows of its deliveries, against a plain model of them."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.streams.consumer_state import FOREVER, ConsumerState, StoredState, Sweep

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


@given(STEPS, st.lists(st.integers(0, 60), max_size=20))
def test_what_was_on_its_way_is_on_its_way_when_it_was_stored(steps: list[int], repeated: list[int]) -> None:
    state = ConsumerState(1)
    for step in steps:
        waiting = list(state.pending)
        if step == 0 or not waiting:
            deliver(state, state.next + step % 2)
        else:
            state.settle(waiting[(step - 1) % len(waiting)])
    for sequence in repeated:
        if sequence in state.pending:
            state.deliver_again(sequence, 1.0, b"s", 1)
    again = ConsumerState(1)
    again.load(state.stored(), 7.0)
    assert [(sequence, one.number) for sequence, one in again.pending.items()] == [
        (sequence, one.number) for sequence, one in state.pending.items()
    ]
    assert again.deliveries == state.deliveries
    assert (again.floor, again.delivered, again.next) == (state.floor, state.delivered, state.next)


def test_very_many_messages_on_their_way_that_follow_one_another_are_stored_in_little_room() -> None:
    state = ConsumerState(1)
    for sequence in range(1, 65_537):
        deliver(state, sequence)
    for sequence in range(1, 65_537):
        state.deliver_again(sequence, 1.0, b"s", 1)
    state.settle(30_000)
    stored = state.stored()
    assert (len(stored.runs), len(stored.repeats)) == (2, 2)
    again = ConsumerState(1)
    again.load(stored, 7.0)
    assert len(again.pending) == len(again.deliveries) == 65_535


def test_a_state_as_it_was_stored_one_by_one_is_understood() -> None:
    state = ConsumerState(1)
    state.load(StoredState((4, 3), (0, 0), 4, [(1, 1), (3, 3)], {1: 2}), 7.0)
    assert [(sequence, one.number) for sequence, one in state.pending.items()] == [(1, 1), (3, 3)]
    assert state.deliveries == {1: 2}


def test_a_sweep_finds_what_is_due_some_in_a_go_and_when_the_next_is() -> None:
    state = ConsumerState(1)
    for sequence in range(1, 11):
        state.expect(sequence, float(sequence % 5), b"s", 1)
    state.again[5] = None
    sweep = Sweep(state, 2.0)
    assert sweep.look(state, 4) == [1, 2]
    state.settle(6)
    state.expect(11, 0.0, b"s", 1)
    assert sweep.look(state, 100) == [7, 10]
    assert sweep.is_over
    assert sweep.next_at == 3.0
    nothing = Sweep(ConsumerState(1), 2.0)
    assert nothing.is_over
    assert nothing.next_at == FOREVER


def test_what_is_in_front_of_a_sequence_is_found_some_at_a_time() -> None:
    state = ConsumerState(1)
    for sequence in range(1, 11):
        deliver(state, sequence)
    assert state.front(8, 3) == [1, 2, 3]
    assert state.front(3, 10) == [1, 2]


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
