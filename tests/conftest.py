"""What all tests share: the profile of property tests, the order of the files, that SIGINT is heard, and that what is
large does not stay.
"""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Hypothesis measures no time here: a busy machine is slow, not wrong.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# A shell lets what it starts in the background ignore SIGINT, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
# Rooms without servers of their own, whose files take a second or two each.
QUICK = (TESTS / "gateway", TESTS / "protocols")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: `make test` hands out whole files, so the last ones should be small."""
    items.sort(key=lambda item: any(map(item.path.is_relative_to, QUICK)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Leave no reserves of data directories behind: 64 MiB each, 20 GB for the whole suite."""
    place = getattr(item, "funcargs", {}).get("tmp_path")
    yield
    if place is not None:
        with suppress(OSError):
            for reserve in list(place.rglob("*.reserve")):
                reserve.unlink(missing_ok=True)
