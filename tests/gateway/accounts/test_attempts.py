"""Failed logins: who has to wait, who is refused, and who is not concerned."""

import pytest

from gateway.accounts.attempts import (
    FIRST_INTERVAL_SECONDS,
    FORGIVEN_AFTER_SECONDS,
    FREE_FAILURES,
    LONGEST_INTERVAL_SECONDS,
    MOST_REMEMBERED,
    PATIENCE_SECONDS,
    Attempts,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(clock)


def fail(attempts: Attempts, address: str, user: str, times: int) -> None:
    for _ in range(times):
        attempts.failed(address, user)


def test_a_few_failures_cost_nothing(attempts: Attempts):
    fail(attempts, "10.0.0.1", "anna", FREE_FAILURES - 1)
    assert attempts.wait("10.0.0.1", "anna") == 0


def test_more_are_spread_over_time_and_those_far_off_refused(attempts: Attempts, clock: Clock):
    fail(attempts, "10.0.0.1", "anna", FREE_FAILURES)
    assert attempts.wait("10.0.0.1", "") == 0
    waits = []
    while (seconds := attempts.wait("10.0.0.1", "")) is not None:
        waits.append(seconds)
    assert waits == [FIRST_INTERVAL_SECONDS * n for n in range(1, round(PATIENCE_SECONDS / FIRST_INTERVAL_SECONDS) + 1)]
    clock.now += 60
    assert attempts.wait("10.0.0.1", "") == 0


@pytest.mark.parametrize(("address", "user"), [("10.0.0.1", "ben"), ("10.0.0.2", "anna")])
def test_address_and_user_count_each_for_itself(attempts: Attempts, clock: Clock, address: str, user: str):
    fail(attempts, "10.0.0.1", "anna", FREE_FAILURES + 20)
    assert attempts.wait(address, user) == 0
    assert attempts.wait(address, user) is None
    clock.now += LONGEST_INTERVAL_SECONDS
    assert attempts.wait(address, user) == 0


def test_nobody_else_waits(attempts: Attempts):
    fail(attempts, "10.0.0.1", "anna", 100)
    assert [attempts.wait("10.0.0.2", "ben") for _ in range(100)] == [0.0] * 100


def test_success_makes_all_forgotten(attempts: Attempts):
    fail(attempts, "10.0.0.1", "anna", 100)
    attempts.succeeded("10.0.0.1", "anna")
    assert [attempts.wait("10.0.0.1", "ben"), attempts.wait("10.0.0.2", "anna")] == [0.0, 0.0]
    fail(attempts, "10.0.0.1", "ben", FREE_FAILURES - 1)
    assert attempts.wait("10.0.0.1", "ben") == 0


def test_time_does_too(attempts: Attempts, clock: Clock):
    fail(attempts, "10.0.0.1", "anna", 100)
    clock.now += FORGIVEN_AFTER_SECONDS + 1
    assert [attempts.wait("10.0.0.1", "anna") for _ in range(9)] == [0.0] * 9


def test_who_came_in_lately_is_kept_out_by_nobody_elses_guesses(attempts: Attempts):
    attempts.succeeded("10.0.0.1", "anna")
    fail(attempts, "10.0.0.66", "anna", 100)
    fail(attempts, "10.0.0.1", "ben", 100)
    assert [attempts.wait("10.0.0.1", "anna") for _ in range(9)] == [0.0] * 9
    assert attempts.wait("10.0.0.2", "anna") == 0
    assert attempts.wait("10.0.0.2", "anna") is None


def test_but_may_not_guess_either(attempts: Attempts):
    attempts.succeeded("10.0.0.1", "anna")
    fail(attempts, "10.0.0.1", "anna", 2 * FREE_FAILURES)
    attempts.wait("10.0.0.1", "anna")
    assert attempts.wait("10.0.0.1", "anna") is not None
    fail(attempts, "10.0.0.1", "anna", 20)
    attempts.wait("10.0.0.1", "anna")
    assert attempts.wait("10.0.0.1", "anna") is None


def test_addresses_of_one_site_count_together(attempts: Attempts):
    for number in range(FREE_FAILURES + 20):
        attempts.failed(f"2001:db8:0:7::{number + 1:x}", "")
    attempts.wait("2001:db8:0:7::ffff", "")
    assert attempts.wait("2001:db8:0:7:1::1", "") is None
    assert attempts.wait("2001:db8:0:8::1", "") == 0


def test_mapped_address_is_the_one_it_maps(attempts: Attempts):
    fail(attempts, "::ffff:10.0.0.1", "", FREE_FAILURES + 20)
    attempts.wait("10.0.0.1", "")
    assert attempts.wait("10.0.0.1", "") is None


def test_what_is_remembered_is_bounded_however_many_fail(attempts: Attempts):
    for number in range(MOST_REMEMBERED + 500):
        attempts.failed("10.0.0.1", "x" * 100_000 + str(number))
        attempts.failed("10.0.0.1", f"user-{number}")
        attempts.succeeded("10.0.0.2", f"user-{number}")
    assert len(attempts._failures) <= MOST_REMEMBERED
    assert len(attempts._welcome) <= MOST_REMEMBERED
    assert max(len(name) for _, name in attempts._failures) < 200
    attempts.wait("10.0.0.1", "")
    assert attempts.wait("10.0.0.1", "") is None  # Floods do not drive out the one who floods.
