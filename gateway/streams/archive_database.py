"""The database of an archive: PostgreSQL by psycopg, which is imported when an archive is configured. All of it waits,
so it belongs into a thread.

Every message is a row of one table, parted by its time; `(stream, seq, time)` is unique, so that what comes twice is
there once. What the database has is where the copy goes on: nothing else is remembered.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from gateway.errors import GatewayError
from gateway.storage.streams.stored_message import StoredMessage
from protocols.nats.client import read_header

CONNECT_SECONDS = 10
# What a statement may take: a database that hangs is one that is away.
STATEMENT_MILLISECONDS = 60_000
MICROSECOND = 1000
# What a search has in memory, and looks at before it says how far it got.
ROWS_AT_ONCE = 32
ROW_BYTES = 100
MOST_LOOKED_AT = 16 << 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = "stream, seq, time, subject, headers, payload"
TYPES = ("int4", "int8", "timestamptz", "text", "jsonb", "bytea")


class ArchiveError(GatewayError):
    """The database cannot be reached, or does not do as it is told."""


class Wanted(NamedTuple):
    """Messages from a sequence on, in front of another one, not older than a time, as far as their subject is taken; so
    many at most, and no more behind so many bytes.
    """

    first: int
    end: int
    since_ns: int
    takes: Callable[[bytes], bool]
    most: int
    most_bytes: int


class ArchiveDatabase:
    """One connection. Everything raises ArchiveError; then it is of no more use. Who only reads makes no tables."""

    def __init__(self, conninfo: str, table: str, partition_days: int, writes: bool = True) -> None:
        try:
            import psycopg
            from psycopg.types.json import Jsonb
        except ImportError as error:
            raise ArchiveError(f"psycopg is missing: pip install 'leafgate[archive]' ({error})") from None
        self._psycopg = psycopg
        self._jsonb = Jsonb
        self._table = table
        self._days = partition_days
        self._parts: set[int] = set()
        try:
            options = f"-c statement_timeout={STATEMENT_MILLISECONDS}"
            self._connection = psycopg.connect(conninfo, connect_timeout=CONNECT_SECONDS, options=options)
            if writes:
                self._prepare()
        except psycopg.Error as error:
            raise ArchiveError(one_line(error)) from None

    def close(self) -> None:
        self._connection.close()

    def begin(self, gateway: str, account: str, name: str, created: int) -> tuple[int, int]:
        """The number of a stream in the table, and the last sequence that it has there. One that was made anew is
        another stream.
        """
        table = self._table
        try:
            with self._connection.transaction():
                key = gateway, account, name, created
                self._execute(
                    f"INSERT INTO {table}_streams (gateway, account, name, created) VALUES (%s, %s, %s, %s)"
                    " ON CONFLICT DO NOTHING",
                    key,
                )
                (number,) = self._execute(
                    f"SELECT id FROM {table}_streams WHERE (gateway, account, name, created) = (%s, %s, %s, %s)", key
                ).fetchone()
                (last,) = self._execute(f"SELECT max(seq) FROM {table} WHERE stream = %s", (number,)).fetchone()
                return number, last or 0
        except self._psycopg.Error as error:
            raise ArchiveError(one_line(error)) from None

    def add(self, stream: int, messages: Sequence[StoredMessage]) -> None:
        """They are there once this returns."""
        try:
            with self._connection.transaction():
                for message in messages:
                    self._make_part(time_of(message))
                copy = f"COPY staged_{self._table} ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
                with self._connection.cursor().copy(copy) as rows:
                    rows.set_types(TYPES)
                    for message in messages:
                        rows.write_row(self._row(stream, message))
                self._execute(
                    f"INSERT INTO {self._table} ({COLUMNS}) SELECT {COLUMNS} FROM staged_{self._table}"
                    " ON CONFLICT DO NOTHING"
                )
        except self._psycopg.Error as error:
            raise ArchiveError(one_line(error)) from None

    def find(self, gateway: str, account: str, name: str, created: int) -> int:
        """The number of a stream in the table; 0 where nothing of it is there."""
        try:
            row = self._execute(
                f"SELECT id FROM {self._table}_streams WHERE (gateway, account, name, created) = (%s, %s, %s, %s)",
                (gateway, account, name, created),
            ).fetchone()
            self._connection.commit()
            return int(row[0]) if row is not None else 0
        except self._psycopg.errors.UndefinedTable:
            return 0
        except self._psycopg.Error as error:
            raise ArchiveError(one_line(error)) from None

    def read(self, stream: int, wanted: "Wanted") -> tuple[list[StoredMessage], int]:
        """Messages in order, and where to go on: behind the last one, or where the search was to end."""
        statement = (
            f"SELECT seq, time, subject, headers, payload FROM {self._table}"
            " WHERE stream = %s AND seq >= %s AND seq < %s AND time >= %s ORDER BY seq"
        )
        since = EPOCH + timedelta(microseconds=wanted.since_ns // MICROSECOND)
        found: list[StoredMessage] = []
        size = looked_at = 0
        try:
            with self._connection.transaction(), self._connection.cursor(name="history") as rows:
                rows.itersize = ROWS_AT_ONCE
                rows.execute(statement, (stream, wanted.first, wanted.end, since))
                for row in rows:
                    message = message_of(row)
                    looked_at += len(message.payload) + ROW_BYTES
                    if wanted.takes(message.subject):
                        found.append(message)
                        size += message.size
                    if len(found) >= wanted.most or size >= wanted.most_bytes or looked_at >= MOST_LOOKED_AT:
                        return found, message.sequence + 1
        except self._psycopg.Error as error:
            raise ArchiveError(one_line(error)) from None
        return found, wanted.end

    def _row(self, stream: int, message: StoredMessage) -> tuple[object, ...]:
        headers = None
        if message.header:
            headers = self._jsonb([[clean(name), clean(value)] for name, value in read_header(message.header)])
        subject = clean(message.subject.decode("utf-8", "backslashreplace"))
        return stream, message.sequence, time_of(message), subject, headers, message.payload

    def _prepare(self) -> None:
        table = self._table
        parted = " PARTITION BY RANGE (time)" if self._days else ""
        with self._connection.transaction():
            # Of several gateways that begin at once one makes the tables.
            self._execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (table,))
            self._execute(
                f"CREATE TABLE IF NOT EXISTS {table}_streams (id serial PRIMARY KEY, gateway text NOT NULL,"
                " account text NOT NULL, name text NOT NULL, created bigint NOT NULL,"
                " UNIQUE (gateway, account, name, created))"
            )
            self._execute(
                f"CREATE TABLE IF NOT EXISTS {table} (stream int NOT NULL REFERENCES {table}_streams,"
                " seq bigint NOT NULL, time timestamptz NOT NULL, subject text NOT NULL, headers jsonb,"
                f" payload bytea NOT NULL, UNIQUE (stream, seq, time)){parted}"
            )
            self._execute(f"CREATE INDEX IF NOT EXISTS {table}_time ON {table} USING brin (time)")
        self._execute(
            f"CREATE TEMPORARY TABLE staged_{table} ON COMMIT DELETE ROWS AS SELECT {COLUMNS} FROM {table} LIMIT 0"
        )
        self._connection.commit()

    def _make_part(self, time: datetime) -> None:
        """The part of the table that a time belongs to is there."""
        if not self._days:
            return
        number = (time - EPOCH).days // self._days
        if number in self._parts:
            return
        begin = EPOCH + timedelta(days=number * self._days)
        end = begin + timedelta(days=self._days)
        self._execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self._table,))
        self._execute(
            f"CREATE TABLE IF NOT EXISTS {self._table}_{begin:%Y%m%d} PARTITION OF {self._table}"
            f" FOR VALUES FROM ('{begin.isoformat()}') TO ('{end.isoformat()}')"
        )
        self._parts.add(number)

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> Any:
        return self._connection.execute(statement, values)


def message_of(row: tuple[int, datetime, str, list[list[str]] | None, bytes]) -> StoredMessage:
    """A row as the message that it was."""
    sequence, time, subject, headers, payload = row
    header = b""
    if headers:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        header = b"NATS/1.0\r\n" + fields.encode("utf-8", "surrogateescape") + b"\r\n"
    time_ns = (time - EPOCH) // timedelta(microseconds=1) * MICROSECOND
    return StoredMessage(sequence, time_ns, subject.encode("utf-8", "surrogateescape"), header, payload)


def time_of(message: StoredMessage) -> datetime:
    return EPOCH + timedelta(microseconds=message.time_ns // MICROSECOND)


def clean(text: str) -> str:
    """As PostgreSQL takes text."""
    return text.replace("\0", "\\0")


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
