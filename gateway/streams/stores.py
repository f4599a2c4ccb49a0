"""Stores: where streams are kept, and what they and their readers are called there."""

from gateway.storage.streams.store import StreamStore
from gateway.streams import errors
from gateway.streams.errors import ApiError
from gateway.streams.stream_config import StreamConfig

# What a stream of ours is called in the storage, which has others too; no name of one holds a `/`.
PREFIX = "jetstream/"
# And the places of others than its consumers, who read a stream on their own (gateway.integrations).
INTEGRATION_PREFIX = "integration/"


class Stores:
    """Where streams are kept: on the disk, where there is one, and in memory."""

    def __init__(self, file: StreamStore | None, memory: StreamStore) -> None:
        self.file = file
        self.memory = memory

    def of(self, config: StreamConfig) -> StreamStore:
        """Raises ApiError."""
        if config.storage == "memory":
            return self.memory
        if self.file is None:
            raise ApiError(errors.NO_STORAGE)
        return self.file


def is_served(name: str) -> bool:
    """Whether a stream of the storage is one of ours."""
    return name.startswith(PREFIX)
