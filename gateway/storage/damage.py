"""Damage of a database file: what tells of it, be it an error or a look at what the file holds."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

# https://www.sqlite.org/fileformat2.html#the_database_header
MAGIC = b"SQLite format 3\0"
HEADER_SIZE = 100
FORMATS_AT = slice(18, 20)
MOST_FORMAT = 2
SCHEMA_FORMAT_AT = slice(44, 48)
MOST_SCHEMA_FORMAT = 4
VERSION_AT = slice(60, 64)

# Of these tables only some are in a file that is too large to look at the whole of it.
SMALL_TABLES = ("session", "subscription", "received")
# What SQLite takes for sound and nobody here has written: a bit that flips within a row changes no structure. These
# are the values that readers rely on, beside those of the columns' types.
SOUND = {
    "session": "sent_through >= -1"
    " AND expiry_seconds BETWEEN 0 AND 4294967295 AND coalesce(will_qos, 0) BETWEEN 0 AND 2"
    " AND coalesce(will_header_size, 0) BETWEEN 0 AND coalesce(length(will_body), 0)",
    "subscription": "qos BETWEEN 0 AND 2",
    "received": "packet_id BETWEEN 1 AND 65535",
    "message": "qos BETWEEN 0 AND 2 AND header_size BETWEEN 0 AND length(body)",
    # What is behind a NUL, GLOB does not see.
    "queue": "flags & 3 BETWEEN 1 AND 2 AND coalesce("
    "identifiers NOT GLOB '*[^0-9 ]*' AND length(identifiers) = length(CAST(identifiers AS BLOB)), TRUE)",
    "retained": "qos BETWEEN 0 AND 2 AND header_size BETWEEN 0 AND length(body)",
}


class DamagedError(Exception):
    """The file is no database or a damaged one."""


def is_damage(error: BaseException | None) -> bool:
    """Whether an error tells of a damaged file, which no retry repairs."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE
    return isinstance(error, DamagedError)


@contextmanager
def reading() -> Iterator[None]:
    """Around statements that are known to work, and what takes their rows apart: where the disk gives the bytes and yet
    that fails, it is for what they hold. Raises DamagedError, and sqlite3.Error for the disk.
    """
    try:
        yield
    except sqlite3.Error as error:
        # Without a code it is no error of SQLite's: a text that is none.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
            raise
        raise DamagedError(one_line(error)) from error
    except (DamagedError, MemoryError):
        raise
    except Exception as error:
        raise DamagedError(f"{type(error).__name__}: {one_line(error)}") from error


def read_row(connection: sqlite3.Connection, statement: str, key: int) -> tuple[Any, ...]:
    """One row of which everything must be readable. Raises DamagedError, and sqlite3.Error for the disk."""
    try:
        found: tuple[Any, ...] | None = connection.execute(statement, (key,)).fetchone()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        raise DamagedError(str(error)) from error
    if found is None:
        raise DamagedError(f"row {key} is not there")
    return found


def check_header(header: bytes) -> None:
    """Look at what SQLite takes for a file that is read-only or of a later SQLite. Raises DamagedError."""
    if len(header) < HEADER_SIZE or not header.startswith(MAGIC):
        return  # SQLite says so itself.
    if not all(1 <= written <= MOST_FORMAT for written in header[FORMATS_AT]):
        raise DamagedError("header: file format out of range")
    if int.from_bytes(header[SCHEMA_FORMAT_AT], "big") > MOST_SCHEMA_FORMAT:
        raise DamagedError("header: schema format out of range")
    if version_of(header) < 0:
        raise DamagedError("header: schema version out of range")


def version_of(header: bytes) -> int:
    """The schema version that the header of a file tells; 0 for no database."""
    return int.from_bytes(header[VERSION_AT], "big", signed=True) if header.startswith(MAGIC) else 0


def check(
    connection: sqlite3.Connection, expected: sqlite3.Connection, sound: Mapping[str, str], only: Sequence[str] | None
) -> None:
    """Look for damage in a database that should have the tables of another, in all of them or in `only` some; `sound`
    tells what their rows hold. Raises DamagedError and sqlite3.Error.
    """
    with reading():
        if not tables(expected) <= tables(connection):
            raise DamagedError("the tables are not those that were made")
        # A quick_check does not compare an index with its table; there is but one index, and it is small.
        for looked_at in ("1",) if only is None else only:
            found = connection.execute(f"PRAGMA integrity_check({looked_at})").fetchone()[0]
            if found != "ok":
                raise DamagedError(one_line(found))
        for table in sound if only is None else only:
            if connection.execute(unsound(connection, table, sound[table])).fetchone():
                raise DamagedError(f"table {table} holds what was never written")


def tables(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """The tables of a database, by name and by the statement that makes them."""
    return set(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'"))


def unsound(connection: sqlite3.Connection, table: str, sound: str) -> str:
    """The statement that finds a row with a value that is not of its column's type, or else not sound."""
    rules = [sound]
    for _, name, kind, required, _, is_key in connection.execute(f"PRAGMA table_info({table})"):
        kinds = f"'{kind.lower()}'" if required or is_key else f"'{kind.lower()}', 'null'"
        rules.append(f"typeof({name}) IN ({kinds})")
    return f"SELECT 1 FROM {table} WHERE NOT ({' AND '.join(rules)}) LIMIT 1"  # noqa: S608 -- of names of our own


def one_line(text: object) -> str:
    return " ".join(str(text).split())
