"""Storage: the room as a whole, opened and loaded."""

import sqlite3
from pathlib import Path

from gateway.errors import StorageError
from gateway.runtime.identity import new_token
from gateway.storage.damage import DamagedError, is_damage, reading
from gateway.storage.database import Database
from gateway.storage.journal import Journal
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages
from gateway.storage.session_store import SessionStore
from gateway.storage.stored_session import RestoredSession

# Enough that no two gateways of a cluster share one; it stands in every reply subject.
GATEWAY_ID_LENGTH = 8


class Storage:
    """What a data directory holds, loaded; `directory` None keeps everything in memory. Raises StorageError.

    `gateway_id` names the directory's gateway in reply subjects. `restored` are the MQTT sessions that were found.
    What is noted is written once `journal.start` was called. A database that turns out to be damaged is set aside,
    `database.set_aside` says where, and an empty one takes its place.
    """

    def __init__(self, directory: Path | None, max_retained_messages: int, max_retained_bytes: int) -> None:
        self._limits = (max_retained_messages, max_retained_bytes)
        self.database = Database(directory)
        try:
            try:
                with reading():
                    self._load()
            except (sqlite3.Error, DamagedError) as error:
                if not is_damage(error):
                    raise
                self.database.start_anew(str(error))
                self._load()
        except sqlite3.Error as error:
            self.database.close()
            raise StorageError(f"data-directory: cannot read {self.database.path}: {error}") from None

    def close(self) -> bool:
        """Close everything behind what is being written. False when the disk hangs: then it stays open, and the process
        is to end with `os._exit`.
        """
        if not self.journal.stop():
            return False
        self.database.close()
        return True

    def _load(self) -> None:
        self.gateway_id = self.database.remember("gateway-id", new_token()[:GATEWAY_ID_LENGTH]).encode()
        self.journal = Journal(self.database)
        self.mqtt_sessions = SessionStore(self.journal)
        self.restored: list[RestoredSession] = self.mqtt_sessions.load()
        self.retained = RetainedMessages(*self._limits, self.journal)
        self.retained.load()
        self.published_ids = PublishedIds(self.journal)
        self.published_ids.load()
