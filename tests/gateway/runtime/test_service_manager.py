"""What the environment says of a service manager, right or wrong."""

import os

import pytest

from gateway.runtime.service_manager import find_service_manager


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"NOTIFY_SOCKET": "not/absolute"}, 0.0),
    ],
)
def test_watchdog_is_for_this_process_alone(variables, seconds):
    environment = dict(variables) | {"PATH": "/bin"}
    manager = find_service_manager(environment)
    assert manager.watchdog_seconds == seconds
    assert environment == {"PATH": "/bin"}
    manager.ready("nobody hears it")
