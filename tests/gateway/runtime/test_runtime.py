"""What a runtime runs, and what it does not when all is over."""

import pytest
import trio

from gateway.runtime.identity import Names
from gateway.runtime.runtime import Runtime
from gateway.settings.live import Settings
from gateway.settings.schema import Config


def runtime() -> Runtime:
    return Runtime(Settings(Config()), Names("id", "name", b"gateway"))


async def test_what_is_asked_for_behind_the_end_is_not_done() -> None:
    run = runtime()
    done: list[str] = []

    async def work() -> None:
        done.append("done")

    async with trio.open_nursery() as nursery:
        run.nursery = nursery
        run.spawn(work)
        run.stopping.set()
    run.spawn(work)
    assert done == ["done"]


async def test_a_nursery_that_ends_too_early_is_told() -> None:
    run = runtime()
    with pytest.raises(RuntimeError):
        run.spawn(trio.sleep_forever)
    async with trio.open_nursery() as nursery:
        run.nursery = nursery
    with pytest.raises(RuntimeError):
        run.spawn(trio.sleep_forever)
