"""What the application does wrong in a function that the serial clients call costs that call alone."""

from tests.micropython.unix_port import board


def test_callback_and_rate_change_that_raise_stop_nothing():
    with board("serial_faults.py") as running:
        said = running.finished()
    assert said.splitlines() == ["raised the application's", "busy False", "rate 115200"]
