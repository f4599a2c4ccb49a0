"""Pages: parts of sessions' queues, read from the database many at a time with one step of one statement."""

import sqlite3
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import msgspec

from gateway.storage.batch import encode
from gateway.storage.damage import reading
from gateway.storage.stored_session import QueuedMessage
from protocols.message import Message

# The flags of a place in a queue: the QoS is in the lowest two bits.
QOS = 3
RETAIN = 4
RELEASED = 8

# The bodies come as hexadecimal text: JSON holds no bytes. What a page may hold is known before any body is touched.
PAGES = """
SELECT json_group_array(json((
    SELECT json_group_array(json_array(
        sequence, flags, identifiers, id, hex(subject), hex(reply), header_size, hex(body), qos, expires_at))
    FROM (
        SELECT sequence, flags, identifiers, message,
            row_number() OVER (ORDER BY sequence) AS place, sum(size) OVER (ORDER BY sequence) - size AS before
        FROM (
            SELECT sequence, flags, identifiers, message, coalesce(length(body), 0) AS size
            FROM queue LEFT JOIN message ON message.id = queue.message
            WHERE session = json_extract(value, '$[0]') AND sequence > json_extract(value, '$[1]')
            ORDER BY sequence LIMIT ?2
        )
    ) AS page LEFT JOIN message ON message.id = page.message
    WHERE place <= json_extract(value, '$[2]') AND before < json_extract(value, '$[3]')
)))
FROM json_each(?1)
"""

StoredRow: TypeAlias = tuple[int, int, str | None, int | None, str, str, int | None, str, int | None, float | None]
_decoder = msgspec.json.Decoder(list[list[StoredRow]])


class PageRequest(NamedTuple):
    """The places of a session's queue behind a sequence; `action` takes them."""

    key: int
    after_sequence: int
    limit_rows: int
    limit_bytes: int
    action: Callable[[list[QueuedMessage]], None]


def read_pages(connection: sqlite3.Connection, requests: list[PageRequest]) -> list[list[QueuedMessage]]:
    """One page for each request. Raises sqlite3.Error and DamagedError."""
    if not requests:
        return []
    wanted = encode([request[:4] for request in requests])
    longest = max(request.limit_rows for request in requests)
    with reading():
        found = connection.execute(PAGES, (wanted, longest)).fetchone()[0]
        # A place is released or has a message; anything else has lost its message, and there is nothing to tell of it.
        return [[queued(row) for row in page if row[1] & RELEASED or row[3]] for page in _decoder.decode(found)]


def queued(row: StoredRow) -> QueuedMessage:
    sequence, flags, identifiers, record, subject, reply, header_size, body, qos, expires_at = row
    message = None
    if record is not None:
        content = bytes.fromhex(body)
        message = Message(bytes.fromhex(subject), bytes.fromhex(reply), header_size or 0, len(content), None, None)
        message.set_body(content)
        message.qos = qos or 0
        message.record = record
    ids = tuple(map(int, identifiers.split())) if identifiers else ()
    return QueuedMessage(
        sequence, flags & QOS, bool(flags & RETAIN), bool(flags & RELEASED), ids, expires_at or 0.0, message
    )
