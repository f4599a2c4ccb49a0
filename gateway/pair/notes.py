"""Notes: what a gateway has to remember of sessions while the other one of the pair is away: which were the other
one's, and which a client has come to since. They are in the database of sessions.
"""

from typing import NamedTuple

import msgspec

from gateway.storage.journal import Journal
from protocols import foreign_json

PREFIX = "pair/"
SAVED = "SELECT name, value FROM meta WHERE name >= ? AND name < ?"
NEVER = -1


class Note(NamedTuple):
    """`through` is the last place in a session's queue that both gateways had, NEVER where it was not the other one's;
    `used` when a client came to it (unix time, 0.0: none has).
    """

    through: int = NEVER
    used: float = 0.0


class Notes:
    """Those of the sessions of one account."""

    def __init__(self, journal: Journal, account: str) -> None:
        self._journal = journal
        self._prefix = f"{PREFIX}{account}/"
        self._notes: dict[bytes, Note] = {}

    def load(self) -> None:
        """What an earlier run has left; to be called before the journal is started. Raises sqlite3.Error."""
        connection = self._journal.database.connection
        for name, value in connection.execute(SAVED, (self._prefix, self._prefix[:-1] + chr(ord("/") + 1))):
            try:
                self._notes[bytes.fromhex(name.removeprefix(self._prefix))] = foreign_json.decode(value, Note)
            except (ValueError, msgspec.DecodeError):
                continue

    def of(self, client_id: bytes) -> Note:
        return self._notes.get(client_id, Note())

    def set(self, client_id: bytes, note: Note) -> None:
        self._notes[client_id] = note
        name = self._prefix + client_id.hex()
        self._journal.batch.meta.put(name, (name, msgspec.json.encode(note).decode()))
        self._journal.note()

    def clear(self) -> None:
        """The two know of each other again."""
        for client_id in self._notes:
            self._journal.batch.meta.remove(self._prefix + client_id.hex())
        if self._notes:
            self._notes.clear()
            self._journal.note()
