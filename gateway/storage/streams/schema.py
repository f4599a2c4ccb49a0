"""The tables of `streams.db`."""

import sqlite3

from gateway.storage.database import Layout

# Migration n, counted from 1, takes a database from version n - 1 to version n. What has been released stays as it is;
# changes are added behind. `stream` has a row for each stream, without a name where it was removed and chunks of it are
# left; `gone` the bitmaps of what is missing in a chunk, and `deletion` what was deleted since those were written
# (deletions.py); `epoch` from which sequence on which epoch holds.
# `identity` has what tells repeats of messages (identities.py), `keepsake` what streams and cursors are once more,
# `summary` what is known of many chunks (summaries.py), `departed` ids of deleted messages (departed_ids.py).
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE stream (
            id INTEGER PRIMARY KEY, account TEXT NOT NULL, name TEXT, first INTEGER NOT NULL, last INTEGER NOT NULL,
            last_ns INTEGER NOT NULL, limits TEXT NOT NULL, note TEXT NOT NULL, seal INTEGER NOT NULL)""",
        """CREATE TABLE chunk (
            key INTEGER PRIMARY KEY, last INTEGER NOT NULL, messages INTEGER NOT NULL, aged INTEGER NOT NULL,
            last_ns INTEGER NOT NULL, crc INTEGER NOT NULL, offsets BLOB NOT NULL, body BLOB NOT NULL)""",
        "CREATE TABLE gone (key INTEGER PRIMARY KEY, bits BLOB NOT NULL, size INTEGER NOT NULL, seal INTEGER NOT NULL)",
        """CREATE TABLE cursor (
            stream INTEGER NOT NULL, name TEXT NOT NULL, floor INTEGER NOT NULL, runs BLOB NOT NULL, note TEXT NOT NULL,
            seal INTEGER NOT NULL, PRIMARY KEY (stream, name)) WITHOUT ROWID""",
        """CREATE TABLE epoch (
            stream INTEGER NOT NULL, first INTEGER NOT NULL, epoch INTEGER NOT NULL,
            PRIMARY KEY (stream, first)) WITHOUT ROWID""",
    ),
    ("CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID",),
    (
        """CREATE TABLE keepsake (
            stream INTEGER NOT NULL, cursor TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL,
            limits TEXT NOT NULL, note TEXT NOT NULL, seal INTEGER NOT NULL,
            PRIMARY KEY (stream, cursor)) WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE summary (
            key INTEGER PRIMARY KEY, last INTEGER NOT NULL, chunks BLOB NOT NULL, subjects BLOB,
            seal INTEGER NOT NULL)""",
    ),
    ("CREATE TABLE departed (key INTEGER PRIMARY KEY, ids BLOB NOT NULL, seal INTEGER NOT NULL)",),
    ("CREATE TABLE deletion (key INTEGER PRIMARY KEY, deleted BLOB NOT NULL, seal INTEGER NOT NULL)",),
)
FILE_NAME = "streams.db"
RESERVE_NAME = "streams.reserve"
SOUND = {
    "meta": "TRUE",
    "stream": "id BETWEEN 1 AND 32767 AND first >= 1 AND last >= 0",
    "gone": "key >= 0 AND size >= 0",
    "cursor": "floor >= 0 AND length(runs) % 16 = 0",
    "epoch": "first >= 1",
    "identity": "length(name) > 0",
    "keepsake": "stream BETWEEN 1 AND 32767",
    "departed": "key >= 0",
    "deletion": "key >= 0 AND length(deleted) % 16 = 0",
}


def nothing(connection: sqlite3.Connection) -> None:
    """A connection needs nothing of its own."""


LAYOUT = Layout(FILE_NAME, RESERVE_NAME, MIGRATIONS, nothing, SOUND, tuple(SOUND), has_lock=False)
