"""What all tests share: the profile of property tests, the order of the files, that SIGINT is heard, that what is large
does not stay, nor what clients leave open.
"""

import asyncio
import signal
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.patience import make_clients_patient

# Hypothesis measures no time here: a busy machine is slow, not wrong.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

make_clients_patient()

# A shell lets what it starts in the background ignore SIGINT, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def close_with_ends(loop: Any, close: Any = BaseSelectorEventLoop.close) -> None:
    """Clients on asyncio that end while they connect leave sockets open. The collector would find them in whichever
    test runs then, so they end with their loop.
    """
    if not loop.is_closed() and not loop.is_running():
        for transport in list(loop._transports.values()):
            transport.abort()
        # What is aborted says so once, to TLS and then to whoever is on it.
        for _ in range(2):
            loop.run_until_complete(asyncio.sleep(0))
    close(loop)


BaseSelectorEventLoop.close = close_with_ends  # type: ignore[method-assign]

TESTS = Path(__file__).parent
# Rooms without servers of their own, whose files take a second or two each.
QUICK = (TESTS / "gateway", TESTS / "protocols")


# Rooms of what is neither compiled nor depends on it: tools, packages, pages, boards. So do single files by the marker.
ONE_FORM = tuple(
    TESTS / room
    for room in (
        "benchmarks",
        "firmware",
        "gateway/command",
        "gateway/integrations",
        "gateway/operator",
        "guide",
        "kubernetes",
        "micropython",
    )
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: `make test` hands out whole files, so the last ones should be small."""
    items.sort(key=lambda item: any(map(item.path.is_relative_to, QUICK)))
    for item in items:
        if any(map(item.path.is_relative_to, ONE_FORM)):
            item.add_marker(pytest.mark.one_form)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Leave no reserves of data directories behind: 64 MiB each, 20 GB for the whole suite."""
    place = getattr(item, "funcargs", {}).get("tmp_path")
    yield
    if place is not None:
        with suppress(OSError):
            for reserve in list(place.rglob("*.reserve")):
                reserve.unlink(missing_ok=True)
