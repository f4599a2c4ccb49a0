"""StoredIdentities: what tells repeats of messages that streams have taken, on the disk with one commit as the message.

In the database of the sessions it would be there with another commit: a gateway that ends between the two would take
the message twice, or answer for one that it does not have.
"""

import logging
import sqlite3
from urllib.parse import quote, quote_from_bytes, unquote, unquote_to_bytes

import msgspec

from gateway.storage.identities import Identities, PublishedId
from gateway.storage.streams.changes import Changes
from gateway.storage.streams.commits import Commits
from gateway.storage.streams.row_seal import is_sealed, sealed

log = logging.getLogger("leafgate.storage")

PUT = """INSERT OR REPLACE INTO identity
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)"""
REMOVE = "DELETE FROM identity WHERE name IN (SELECT value FROM json_each(?))"
STORED = "SELECT name, value, seal FROM identity"
# What a name begins with: a packet id of QoS 2 that awaits its PUBREL, or an id that a message was published with.
RECEIVED, PUBLISHED = "received", "published"


class StoredIdentities(Identities):
    """A source of changes. What there is of it is bounded by those who ask for it (sessions, PublishedIds)."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._values: dict[str, str] = {}
        self._sessions: dict[int, set[int]] = {}
        # What the next commit brings to the disk; None for what goes.
        self._changed: dict[str, str | None] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """What is damaged is passed over: a repeat is then taken for a new message, and none is lost. Raises
        sqlite3.Error.
        """
        for row in connection.execute(STORED):
            name, value, _ = row
            if not is_sealed(row):
                log.error("event=row-damaged what=%r reason=%r", name, "a repeat of its message may be taken once more")
                continue
            self._values[name] = value
            kind, *parts = name.split(" ")
            if kind == RECEIVED:
                self._sessions.setdefault(int(parts[0]), set()).add(int(parts[1]))

    # QoS 2.

    def received(self) -> dict[int, set[int]]:
        return self._sessions

    def remember_received(self, key: int, packet_id: int) -> None:
        self._sessions.setdefault(key, set()).add(packet_id)
        self._put(f"{RECEIVED} {key} {packet_id}", "")

    def forget_received(self, key: int, packet_id: int) -> bool:
        packet_ids = self._sessions.get(key)
        if packet_ids is None or packet_id not in packet_ids:
            return False
        packet_ids.discard(packet_id)
        if not packet_ids:
            del self._sessions[key]
        self._remove(f"{RECEIVED} {key} {packet_id}")
        return True

    def forget_session(self, key: int) -> None:
        for packet_id in list(self._sessions.get(key, ())):
            self.forget_received(key, packet_id)

    # Ids of messages.

    def published(self) -> list[PublishedId]:
        found = []
        for name, value in self._values.items():
            kind, *parts = name.split(" ")
            if kind == PUBLISHED:
                sequence, publisher = value.split(" ")
                whose = unquote_to_bytes(publisher)
                found.append(PublishedId(unquote(parts[0]), unquote_to_bytes(parts[1]), int(sequence), whose))
        return found

    def remember_published(self, one: PublishedId) -> None:
        self._put(name_of(one.account, one.identifier), f"{one.sequence} {quote_from_bytes(one.publisher)}")

    def forget_published(self, account: str, identifier: bytes) -> bool:
        name = name_of(account, identifier)
        if name not in self._values:
            return False
        self._remove(name)
        return True

    # What commits ask.

    def collect(self, changes: Changes) -> None:
        changed, self._changed = self._changed, {}
        put = [sealed(name, value) for name, value in changed.items() if value is not None]
        removed = [name for name, value in changed.items() if value is None]
        if put:
            changes.change(PUT, (msgspec.json.encode(put).decode(),))
        if removed:
            changes.change(REMOVE, (msgspec.json.encode(removed).decode(),))

    def settle(self, changes: Changes) -> None:
        """Nothing was kept for that."""

    def _put(self, name: str, value: str) -> None:
        self._values[name] = self._changed[name] = value
        self._commits.note(self, True)

    def _remove(self, name: str) -> None:
        del self._values[name]
        self._changed[name] = None
        self._commits.note(self, False)


def name_of(account: str, identifier: bytes) -> str:
    return f"{PUBLISHED} {quote(account, safe='')} {quote_from_bytes(identifier)}"
