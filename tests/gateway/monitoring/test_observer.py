"""What monitoring sees of a running gateway."""

from pathlib import Path

from gateway.monitoring.observer import Observer
from gateway.monitoring.sources import Sources
from gateway.storage.storage import Storage
from tests.gateway.memory_connection import running_gateway


async def test_changes_that_can_never_be_written_are_told(tmp_path: Path):
    storage = Storage(tmp_path, 10, 1000)
    async with running_gateway() as gateway:
        sources = Sources(
            runtime=gateway.runtime, registry=gateway.registry, accounts=gateway.accounts, storage=storage
        )
        observer = Observer(sources, [], lambda: "127.0.0.1:8222")
        assert observer.degradations() == {}
        storage.journal.set_apart = 2
        storage.journal.refused = 3
        assert observer.degradations() == {"storage": "changes that can never be written: 2"}
        told = observer.server(await observer.census()).storage
        assert told is not None
        assert (told.set_apart, told.refused) == (2, 3)
        assert observer.health() is None
    storage.close()
