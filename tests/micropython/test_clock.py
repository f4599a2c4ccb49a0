"""The clock of a real MicroPython, set from the gateway."""

import ast
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.peers import gateway, nats_server
from tests.micropython.unix_port import board

NEAR = timedelta(seconds=20)


@pytest.mark.parametrize("epoch", [1970, 2000])
def test_clock_is_that_of_the_gateway_whatever_year_the_port_counts_from(tmp_path: Path, epoch: int):
    with gateway(tmp_path) as edge, board("clock.py", edge.url(), epoch) as device:
        seconds, micros = map(int, device.until("now ").split()[1:])
        assert abs(seconds - time.time()) < NEAR.total_seconds()
        assert 0 <= micros < 1_000_000
        fields = ast.literal_eval(device.until("clock ").removeprefix("clock "))
        year, month, day, weekday, hour, minute, second, rest = fields
        told = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        assert abs(told - datetime.now(UTC)) < NEAR
        assert weekday == told.weekday()
        assert rest == 0
        device.finished()


def test_server_that_does_not_tell_the_time_is_no_clock(tmp_path: Path):
    with nats_server(tmp_path) as server, board("clock.py", server.url(), 1970) as device:
        device.until("nobody")
