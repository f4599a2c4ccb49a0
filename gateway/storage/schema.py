"""The tables of the database, and the way there from every earlier version of them."""

from typing import NamedTuple

from gateway.settings.account_names import DEFAULT_ACCOUNT

# Of a session whose queue may have been sent to any extent.
UNKNOWN_SENT = -1

# Migration n, counted from 1, takes a database from version n - 1 to version n (`PRAGMA user_version`). What has been
# released stays as it is; changes are added behind.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE session (
            key INTEGER PRIMARY KEY, client_id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL,
            expiry_seconds INTEGER NOT NULL, ended_at REAL NOT NULL,
            will_subject BLOB, will_reply BLOB, will_header_size INTEGER, will_body BLOB, will_qos INTEGER,
            will_retain INTEGER, will_delay_seconds INTEGER, will_expiry_seconds INTEGER, will_due_at REAL)""",
        """CREATE TABLE subscription (
            session INTEGER NOT NULL, topic_filter BLOB NOT NULL, qos INTEGER NOT NULL, no_local INTEGER NOT NULL,
            retain_as_published INTEGER NOT NULL, retain_handling INTEGER NOT NULL, identifier INTEGER NOT NULL,
            PRIMARY KEY (session, topic_filter)) WITHOUT ROWID""",
        """CREATE TABLE message (
            id INTEGER PRIMARY KEY, subject BLOB NOT NULL, reply BLOB NOT NULL, header_size INTEGER NOT NULL,
            body BLOB NOT NULL, qos INTEGER NOT NULL, expires_at REAL NOT NULL)""",
        """CREATE TABLE queue (
            session INTEGER NOT NULL, sequence INTEGER NOT NULL, message INTEGER NOT NULL, flags INTEGER NOT NULL,
            identifiers TEXT, PRIMARY KEY (session, sequence)) WITHOUT ROWID""",
        """CREATE TABLE received (
            session INTEGER NOT NULL, packet_id INTEGER NOT NULL, PRIMARY KEY (session, packet_id)) WITHOUT ROWID""",
        """CREATE TABLE retained (
            subject BLOB NOT NULL PRIMARY KEY, reply BLOB NOT NULL, header_size INTEGER NOT NULL, body BLOB NOT NULL,
            qos INTEGER NOT NULL, expires_at REAL NOT NULL) WITHOUT ROWID""",
    ),
    ("CREATE TABLE published (id BLOB NOT NULL PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID",),
    # Accounts. What was there before belongs to the one that there was.
    (
        """CREATE TABLE account_session (
            key INTEGER PRIMARY KEY, client_id BLOB NOT NULL, version INTEGER NOT NULL,
            expiry_seconds INTEGER NOT NULL, ended_at REAL NOT NULL,
            will_subject BLOB, will_reply BLOB, will_header_size INTEGER, will_body BLOB, will_qos INTEGER,
            will_retain INTEGER, will_delay_seconds INTEGER, will_expiry_seconds INTEGER, will_due_at REAL,
            sent_through INTEGER NOT NULL, account TEXT NOT NULL, UNIQUE (account, client_id))""",
        f"INSERT INTO account_session SELECT *, {UNKNOWN_SENT}, '{DEFAULT_ACCOUNT}' FROM session",  # noqa: S608 -- ours
        "DROP TABLE session",
        "ALTER TABLE account_session RENAME TO session",
        """CREATE TABLE account_retained (
            account TEXT NOT NULL, subject BLOB NOT NULL, reply BLOB NOT NULL, header_size INTEGER NOT NULL,
            body BLOB NOT NULL, qos INTEGER NOT NULL, expires_at REAL NOT NULL,
            PRIMARY KEY (account, subject)) WITHOUT ROWID""",
        f"INSERT INTO account_retained SELECT '{DEFAULT_ACCOUNT}', * FROM retained",  # noqa: S608 -- as above
        "DROP TABLE retained",
        "ALTER TABLE account_retained RENAME TO retained",
        """CREATE TABLE account_published (
            account TEXT NOT NULL, id BLOB NOT NULL, sequence INTEGER NOT NULL, publisher BLOB NOT NULL,
            PRIMARY KEY (account, id)) WITHOUT ROWID""",
        f"INSERT INTO account_published SELECT '{DEFAULT_ACCOUNT}', *, x'' FROM published",  # noqa: S608 -- as above
        "DROP TABLE published",
        "ALTER TABLE account_published RENAME TO published",
    ),
    # Users. Nobody's are the sessions from before there were any.
    ("ALTER TABLE session ADD COLUMN user TEXT NOT NULL DEFAULT ''",),
    # How they were recognised, for when they are away. Of sessions from before that it is not known.
    ("ALTER TABLE session ADD COLUMN proof BLOB NOT NULL DEFAULT x''",),
)


class Table(NamedTuple):
    """Rows are tuples in the order of the columns, of which the first are the primary key, named in `keys`.

    `blobs` are the positions of the columns that hold bytes.
    """

    name: str
    keys: tuple[str, ...]
    columns: int
    blobs: tuple[int, ...] = ()


SESSION = Table("session", ("key",), 18, (1, 5, 6, 8, 17))
SUBSCRIPTION = Table("subscription", ("session", "topic_filter"), 7, (1,))
MESSAGE = Table("message", ("id",), 7, (1, 2, 4))
QUEUE = Table("queue", ("session", "sequence"), 5)
RECEIVED = Table("received", ("session", "packet_id"), 2)
RETAINED = Table("retained", ("account", "subject"), 7, (1, 2, 4))
META = Table("meta", ("name",), 2)
PUBLISHED = Table("published", ("account", "id"), 4, (1, 3))
TABLES = (SESSION, SUBSCRIPTION, MESSAGE, QUEUE, RETAINED, RECEIVED, META, PUBLISHED)
# Their rows go when their session does.
OF_SESSION = (SUBSCRIPTION, QUEUE, RECEIVED)
