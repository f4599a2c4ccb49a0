"""The clock that things expire by counts running time, and time switched off only where that is known."""

from pathlib import Path

import pytest

from gateway.storage.database import SESSIONS, Database
from gateway.storage.running_clock import SAVE_SECONDS, RunningClock, is_synchronised
from gateway.storage.schema import MIGRATIONS
from gateway.storage.storage import Storage
from tests.gateway.storage.running_journal import commit

DAY = 86_400.0


class Machine:
    """A machine's clocks. `off` is time that passes while it is switched off."""

    def __init__(self, wall: float = 1_700_000_000.0, synchronised: bool = False) -> None:
        self.wall = wall
        self.monotonic = 10.0
        self.synchronised = synchronised

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def restart(self, off: float) -> None:
        self.wall += off
        self.monotonic = 10.0

    def clock(self, storage: Storage | None) -> RunningClock:
        journal = storage.journal if storage is not None else None
        clock = RunningClock(journal, lambda: self.synchronised, lambda: self.wall, lambda: self.monotonic)
        if storage is not None:
            clock.load()
        return clock


def opened(directory: Path) -> Storage:
    return Storage(directory, 10, 1000)


def after_restart(machine: Machine, directory: Path, off: float) -> float:
    """What the clock says that a run has counted when the next one begins, one hour after it was begun."""
    storage = opened(directory)
    clock = machine.clock(storage)
    begun = clock.now()
    machine.run(3600.0)
    clock.save()
    commit(storage.journal)
    storage.close()
    machine.restart(off)
    storage = opened(directory)
    counted = machine.clock(storage).now() - begun
    storage.close()
    return counted


@pytest.mark.parametrize("jump", [-50 * 365 * DAY, 40 * DAY])
def test_wall_clock_that_is_set_while_the_gateway_runs_changes_nothing(jump: float):
    machine = Machine()
    clock = machine.clock(None)
    before = clock.now()
    machine.wall += jump
    machine.run(5.0)
    assert clock.now() == before + 5.0


@pytest.mark.parametrize("off", [-40 * DAY, 0.0, 40 * DAY])
def test_time_switched_off_does_not_count_where_nobody_keeps_the_clock_right(tmp_path: Path, off: float):
    assert after_restart(Machine(), tmp_path, off) == pytest.approx(3600.0)


def test_time_switched_off_counts_where_the_clock_is_right_at_both_ends(tmp_path: Path):
    assert after_restart(Machine(synchronised=True), tmp_path, 2 * DAY) == pytest.approx(3600.0 + 2 * DAY)


def test_clock_that_was_wrong_when_the_run_ended_tells_nothing_of_the_time_since(tmp_path: Path):
    machine = Machine()
    after_restart(machine, tmp_path, 0.0)
    machine.synchronised = True
    machine.wall += 40 * DAY
    storage = opened(tmp_path)
    assert machine.clock(storage).now() < machine.wall - 39 * DAY
    storage.close()


def test_time_switched_off_counts_once_the_clock_is_right_and_only_once(tmp_path: Path):
    machine = Machine(synchronised=True)
    storage = opened(tmp_path)
    clock = machine.clock(storage)
    clock.save()
    ended = clock.now()
    commit(storage.journal)
    storage.close()
    machine.restart(100.0)
    machine.synchronised = False
    right, machine.wall = machine.wall, 0.0  # No clock of its own.
    storage = opened(tmp_path)
    clock = machine.clock(storage)
    machine.run(50.0)
    clock.tick()
    assert clock.now() == pytest.approx(ended + 50.0)
    machine.wall, machine.synchronised = right + 50.0, True
    for _ in range(3):
        machine.run(SAVE_SECONDS)
        clock.tick()
    assert clock.now() == pytest.approx(ended + 150.0 + 3 * SAVE_SECONDS)
    storage.close()


def test_time_is_saved_now_and_then_and_a_crash_costs_no_more_than_that(tmp_path: Path):
    machine = Machine()
    storage = opened(tmp_path)
    clock = machine.clock(storage)
    begun = clock.now()
    for _ in range(100):
        machine.run(5.0)
        clock.tick()
    commit(storage.journal)
    storage.close()
    machine.restart(0.0)
    storage = opened(tmp_path)
    assert 500.0 - SAVE_SECONDS <= machine.clock(storage).now() - begun <= 500.0
    storage.close()


@pytest.mark.parametrize(("synchronised", "jump", "age"), [(True, 5 * DAY, 5 * DAY), (False, 40 * DAY, 0.0)])
def test_file_without_such_a_clock_ends_nothing_early(tmp_path: Path, synchronised: bool, jump: float, age: float):
    machine = Machine(synchronised=synchronised)
    left_at = machine.wall
    database = Database(tmp_path, SESSIONS._replace(migrations=MIGRATIONS[:2]))
    row = (1, b"c", 5, 3600, left_at, *(None,) * 9)
    database.connection.execute(f"INSERT INTO session VALUES ({', '.join('?' * len(row))})", row)
    database.close()
    machine.wall += jump
    storage = opened(tmp_path)
    assert machine.clock(storage).now() - left_at == pytest.approx(age)
    storage.close()


def test_kernel_tells_whether_its_clock_is_kept_right():
    assert is_synchronised() in (True, False)
