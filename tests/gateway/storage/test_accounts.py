"""What belongs to an account stays with it, on one disk with what belongs to others; what is older belongs to `$G`."""

from pathlib import Path

from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.storage.database import SESSIONS, Database
from gateway.storage.schema import MIGRATIONS, UNKNOWN_SENT
from gateway.storage.storage import AccountStorage, Storage
from gateway.storage.stored_session import NEVER_EXPIRES, StoredSession
from protocols.message import make_message
from protocols.mqtt.packets import Subscription
from tests.gateway.storage.running_journal import commit

WITHOUT_ACCOUNTS = SESSIONS._replace(migrations=MIGRATIONS[:2])
OLD_ROWS = (
    "INSERT INTO session VALUES (7, x'63', 5, 3600, 12.5, x'77', x'', 0, x'31', 1, 1, 30, 0, 42.5)",
    "INSERT INTO subscription VALUES (7, x'61', 1, 0, 0, 0, 5)",
    "INSERT INTO message VALUES (3, x'61', x'', 0, x'3132', 1, 0.0)",
    "INSERT INTO queue VALUES (7, 1, 3, 1, NULL)",
    "INSERT INTO received VALUES (7, 9)",
    "INSERT INTO retained VALUES (x'722e31', x'', 0, x'6b657074', 1, 0.0)",
    "INSERT INTO published VALUES (x'6964', 11)",
)


def fill(account: AccountStorage, text: bytes) -> int:
    sessions = account.mqtt_sessions
    key = sessions.new_key()
    sessions.save(StoredSession(key, b"client", 5, NEVER_EXPIRES))
    sessions.save_subscription(key, Subscription(text, 1))
    sessions.remember_received(key, len(text))
    sessions.enqueue(key, 1, make_message(b"a", text), 1)
    account.retained.keep(make_message(b"kept", text))
    account.published_ids.note(b"id", account.published_ids.next())
    return key


def content(account: AccountStorage) -> tuple[object, ...]:
    [restored] = account.restored
    kept = account.retained.get(b"kept")
    assert kept is not None
    [(subscription, _)] = restored.subscriptions
    return subscription.topic_filter, restored.received, restored.queue_bytes, kept.payload(), len(account.retained)


def test_same_names_in_two_accounts_are_different_things(tmp_path: Path):
    storage = Storage(tmp_path, 100, 10_000)
    keys = {fill(storage.account("farm"), b"farm"), fill(storage.global_account, b"ours")}
    assert len(keys) == 2
    storage.account("farm").published_ids.next()
    commit(storage.journal)
    storage.close()
    storage = Storage(tmp_path, 100, 10_000)
    assert sorted(storage.stored_accounts()) == [DEFAULT_ACCOUNT, "farm"]
    assert content(storage.account("farm")) == (b"farm", {4}, 4, b"farm", 1)
    assert content(storage.global_account) == (b"ours", {4}, 4, b"ours", 1)
    storage.account("farm").retained.keep(make_message(b"kept", b""))
    storage.account("farm").mqtt_sessions.delete(storage.account("farm").restored[0].session.key)
    commit(storage.journal)
    storage.close()
    storage = Storage(tmp_path, 100, 10_000)
    assert (storage.account("farm").restored, len(storage.account("farm").retained)) == ([], 0)
    assert storage.account("farm").published_ids.find(b"id") == 1
    assert content(storage.global_account) == (b"ours", {4}, 4, b"ours", 1)
    storage.close()


def test_account_that_nobody_has_heard_of_is_empty_also_while_the_gateway_runs(tmp_path: Path):
    storage = Storage(tmp_path, 100, 10_000)
    account = storage.account("new")
    assert (account.restored, len(account.retained), len(account.published_ids)) == ([], 0, 0)
    assert storage.account("new") is account
    storage.close()


def test_what_was_stored_before_there_were_accounts_belongs_to_the_global_one(tmp_path: Path):
    database = Database(tmp_path, WITHOUT_ACCOUNTS)
    for row in OLD_ROWS:
        database.connection.execute(row)
    database.close()
    storage = Storage(tmp_path, 100, 10_000)
    assert storage.database.set_aside is None
    assert storage.stored_accounts() == [DEFAULT_ACCOUNT]
    account = storage.global_account
    [restored] = account.restored
    will = restored.session.will
    assert will is not None
    assert (will.message.subject, will.message.payload(), will.retain, will.due_at) == (b"w", b"1", True, 42.5)
    restored.session.will = None
    assert restored.session == StoredSession(7, b"c", 5, 3600, 12.5, None, UNKNOWN_SENT, "")
    assert restored.subscriptions == [(Subscription(b"a", 1), 5)]
    assert (restored.received, restored.queue_count, restored.queue_bytes) == ({9}, 1, 2)
    kept = account.retained.get(b"r.1")
    assert kept is not None
    assert (kept.payload(), kept.qos) == (b"kept", 1)
    assert account.published_ids.find(b"id") == 11
    storage.close()


def test_session_belongs_to_its_user_also_after_a_restart(tmp_path: Path):
    storage = Storage(tmp_path, 100, 10_000)
    sessions = storage.global_account.mqtt_sessions
    sessions.save(StoredSession(sessions.new_key(), b"c", 5, NEVER_EXPIRES, user="Zoë"))
    commit(storage.journal)
    storage.close()
    storage = Storage(tmp_path, 100, 10_000)
    assert [restored.session.user for restored in storage.global_account.restored] == ["Zoë"]
    storage.close()
