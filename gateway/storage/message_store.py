"""MessageStore: the messages that sessions have queued, stored once for all of them, of whatever account."""

from gateway.storage.journal import Journal
from protocols.message import Message

REFERENCES = "SELECT message, count(*) FROM queue WHERE message > 0 GROUP BY message HAVING count(*) > 1"
# Of sessions that ended while changes to them were under way; messages come last.
ORPHANS = (
    "DELETE FROM subscription WHERE session NOT IN (SELECT key FROM session)",
    "DELETE FROM queue WHERE session NOT IN (SELECT key FROM session)",
    "DELETE FROM received WHERE session NOT IN (SELECT key FROM session)",
    "DELETE FROM message WHERE id NOT IN (SELECT message FROM queue)",
)
LAST_MESSAGE = "SELECT max((SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(max(message), 0) FROM queue))"
LAST_KEY = "SELECT coalesce(max(key), 0) FROM session"


class MessageStore:
    """`message.record` is the stored message's id: set with its first place in a queue, taken away with the last one.

    Sessions have their keys from here, too: neither those nor ids are used again while the gateway runs.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._last_key = 0
        self._last_message = 0
        # The places of each message that has more than one.
        self._references: dict[int, int] = {}
        journal.freed = self._release

    def load(self) -> None:
        """Look at what the database holds; to be called once, before anything else. Raises sqlite3.Error."""
        connection = self._journal.database.connection
        for orphans in ORPHANS:
            connection.execute(orphans)
        self._references = dict(connection.execute(REFERENCES))
        self._last_message = connection.execute(LAST_MESSAGE).fetchone()[0]
        self._last_key = connection.execute(LAST_KEY).fetchone()[0]

    def new_key(self) -> int:
        self._last_key += 1
        return self._last_key

    def add_place(self, message: Message, expires_at: float) -> int:
        """One place in a queue more; returns the id to put there. The first `expires_at` holds for all."""
        record = message.record
        if isinstance(record, int):
            self._references[record] = self._references.get(record, 1) + 1
            return record
        self._last_message = record = message.record = self._last_message + 1
        head = (record, message.subject, message.reply, message.header_size)
        self._journal.batch.message.put(record, (*head, message.body(), message.qos, expires_at))
        return record

    def drop_place(self, message: Message) -> None:
        """One place less."""
        record = message.record
        assert isinstance(record, int)
        if self._drop_reference(record):
            message.record = None

    def _drop_reference(self, record: int) -> bool:
        """True when it was the last, and the message is removed."""
        places = self._references.get(record, 1)
        if places > 2:
            self._references[record] = places - 1
        elif places == 2:
            del self._references[record]
        else:
            self._journal.batch.message.take_back(record)
        return places == 1

    def _release(self, records: list[int]) -> None:
        """The queues of ended sessions held these."""
        for record in records:
            self._drop_reference(record)
        self._journal.note()
