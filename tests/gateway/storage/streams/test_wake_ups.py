"""How often the writing thread is woken: each time costs more than a small message does."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import trio

from gateway.storage.streams import commits
from gateway.storage.worker import Worker
from tests.gateway.storage.streams.running_store import durable, opened


class CountedWorker(Worker[Any]):
    """One that counts its orders."""

    orders = 0

    def do(self, job: Any, over: Any) -> None:
        self.orders += 1
        super().do(job, over)

    def pause(self, seconds: float, over: Any) -> None:
        self.orders += 1
        super().pause(seconds, over)


async def test_a_commit_is_one_order(tmp_path: Path) -> None:
    with patch.object(commits, "Worker", CountedWorker):
        async with opened(tmp_path) as store:
            stream = store.create("A", "S")
            await durable(store)
            worker = store.commits._thread
            assert isinstance(worker, CountedWorker)
            before, commits_before = worker.orders, store.commits.commits
            for _ in range(20):
                stream.append(b"a", b"", b"b")
                await durable(store)
            assert store.commits.commits - commits_before == 20
            assert worker.orders - before == 20


async def test_what_the_database_takes_is_measured_soon_behind_the_last_commit(tmp_path: Path) -> None:
    with patch.object(commits, "LOOK_SECONDS", 0.01), patch.object(commits, "MEASURE_SECONDS", 3600.0):
        async with opened(tmp_path) as store:
            stream = store.create("A", "S")
            await durable(store)
            with patch.object(store.commits, "used_bytes", 0):
                stream.append(b"a", b"", b"b" * 100_000)
                await durable(store)
                # Nothing but what the commit was told to write.
                assert store.commits.used_bytes < 110_000
                with patch.object(commits, "MEASURE_SECONDS", 0.0), trio.fail_after(20):
                    while store.commits.used_bytes < 110_000:  # noqa: ASYNC110 -- nobody is told
                        await trio.sleep(0.01)
