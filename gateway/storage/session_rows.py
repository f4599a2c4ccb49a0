"""Rows of the session tables and back: how a session is laid out in the database, and how all are loaded at start."""

import sqlite3
from collections import defaultdict
from typing import Any

from gateway.storage.stored_session import RestoredSession, StoredSession, StoredWill
from protocols.message import Message
from protocols.mqtt.packets import Subscription

SESSIONS = "SELECT * FROM session WHERE account = ? ORDER BY key"
OF_ACCOUNT = "session IN (SELECT key FROM session WHERE account = ?)"
SUBSCRIPTIONS = f"SELECT * FROM subscription WHERE {OF_ACCOUNT}"  # noqa: S608 -- of names of our own
RECEIVED = f"SELECT session, packet_id FROM received WHERE {OF_ACCOUNT}"  # noqa: S608 -- as above
QUEUES = f"""
SELECT session, count(*), coalesce(sum(length(body)), 0), min(sequence), max(sequence)
FROM queue LEFT JOIN message ON message.id = queue.message WHERE {OF_ACCOUNT} GROUP BY session
"""  # noqa: S608 -- as above


def session_row(session: StoredSession, account: str) -> tuple[object, ...]:
    """The columns of the table `session`."""
    head = (session.key, session.client_id, session.version, session.expiry_seconds, session.ended_at)
    tail = (session.sent_through, account, session.user, session.proof)
    will = session.will
    if will is None:
        return (*head, *(None,) * 9, *tail)
    message = will.message
    content = (message.subject, message.reply, message.header_size, message.body(), message.qos)
    return (*head, *content, int(will.retain), will.delay_seconds, will.expiry_seconds, will.due_at, *tail)


def load_sessions(connection: sqlite3.Connection, account: str) -> list[RestoredSession]:
    """All sessions of an account, in the order of their keys. Raises sqlite3.Error."""
    chosen = (account,)
    subscriptions = defaultdict(list)
    rows = connection.execute(SUBSCRIPTIONS, chosen)
    for key, topic_filter, qos, no_local, as_published, handling, identifier in rows:
        subscription = Subscription(topic_filter, qos, bool(no_local), bool(as_published), handling)
        subscriptions[key].append((subscription, identifier))
    received = defaultdict(set)
    for key, packet_id in connection.execute(RECEIVED, chosen):
        received[key].add(packet_id)
    queues = {key: sums for key, *sums in connection.execute(QUEUES, chosen)}
    restored = []
    for row in connection.execute(SESSIONS, chosen):
        session = restore(row)
        key = session.key
        sums = queues.get(key, (0, 0, 0, 0))
        restored.append(RestoredSession(session, subscriptions.get(key, []), received.get(key, set()), *sums))
    return restored


def restore(row: tuple[Any, ...]) -> StoredSession:
    """The inverse of `session_row`."""
    key, client_id, version, expiry_seconds, ended_at = row[:5]
    will = None
    if row[5] is not None:
        subject, reply, header_size, body, qos, retain, delay_seconds, will_expiry, due_at = row[5:14]
        message = Message(subject, reply, header_size, len(body), None, None)
        message.set_body(body)
        message.qos = qos
        will = StoredWill(message, bool(retain), delay_seconds, will_expiry, due_at)
    return StoredSession(key, client_id, version, expiry_seconds, ended_at, will, row[14], row[16], row[17])
