import pytest

from gateway.system.load_averages import LoadAverages


def test_steady_rate_is_what_all_averages_come_to():
    loads = LoadAverages(0.0)
    for second in range(10, 7200, 10):
        loads.update(float(second), {"x": second * 2.0})
    assert [minutes for minutes, _ in loads.of("x")] == [1, 5, 15]
    assert [average for _, average in loads.of("x")] == pytest.approx([120.0] * 3, rel=1e-3)
    assert loads.of("y") == ((1, 0.0), (5, 0.0), (15, 0.0))


def test_burst_is_forgotten_sooner_by_the_shorter_average():
    loads = LoadAverages(0.0)
    loads.update(10.0, {"x": 100.0})
    loads.update(10.0, {"x": 500.0})  # No time has passed: nothing can be said of a rate.
    for second in range(20, 1210, 10):
        loads.update(float(second), {"x": 100.0})
    one, five, fifteen = [average for _, average in loads.of("x")]
    assert one < five < fifteen
