"""What is stored of sessions comes back, pages included; messages are stored once and leave with their last place."""

from pathlib import Path

import trio

from gateway.storage.storage import Storage
from gateway.storage.stored_session import NEVER_EXPIRES, RestoredSession, StoredSession, StoredWill
from protocols.message import make_message
from protocols.mqtt.packets import Subscription
from tests.gateway.storage.running_journal import commit, durable, page, running

ROOMY = (100_000, 100 << 20)


def opened(directory: Path | None) -> Storage:
    return Storage(directory, *ROOMY)


def reopened(storage: Storage) -> Storage:
    commit(storage.journal)
    assert storage.database.path is not None
    storage.close()
    return opened(storage.database.path.parent)


def stored_messages(storage: Storage) -> int:
    count: int = storage.database.connection.execute("SELECT count(*) FROM message").fetchone()[0]
    return count


def session(key: int, client_id: bytes = b"client") -> StoredSession:
    return StoredSession(key, client_id, 5, NEVER_EXPIRES)


def test_session_comes_back_with_all_under_it(tmp_path: Path):
    storage = opened(tmp_path)
    sessions = storage.global_account.mqtt_sessions
    key = sessions.new_key()
    will_message = make_message(b"will.topic", b"\x00gone\xff", b"reply", b"NATS/1.0\r\nA: b\r\n\r\n")
    will_message.qos = 2
    saved = StoredSession(key, "Küche \0".encode(), 5, 3600, 1234.5, StoredWill(will_message, True, 30, 60, 1264.5))
    sessions.save(saved)
    kept = Subscription(b"a/#", 2, True, True, 1)
    sessions.save_subscription(key, Subscription(b"a/#", 1))
    sessions.save_subscription(key, kept, 268_435_455)
    sessions.save_subscription(key, Subscription(b"b", 0))
    sessions.delete_subscription(key, b"b")
    for packet_id in (1, 2, 65535):
        sessions.remember_received(key, packet_id)
    sessions.forget_received(key, 2)
    for sequence in (3, 4, 9):
        sessions.enqueue(key, sequence, make_message(b"a", b"12345"), 1)
    storage = reopened(storage)
    [restored] = storage.global_account.restored
    assert restored.session.will is not None
    message, restored.session.will.message = restored.session.will.message, will_message
    assert restored == RestoredSession(saved, [(kept, 268_435_455)], {1, 65535}, 3, 15, 3, 9)
    assert (message.subject, message.reply, message.qos) == (b"will.topic", b"reply", 2)
    assert (message.header(), message.payload()) == (will_message.header(), b"\x00gone\xff")
    assert storage.global_account.mqtt_sessions.new_key() > key
    storage.close()


def test_session_is_replaced_without_what_is_under_it(tmp_path: Path):
    storage = opened(tmp_path)
    key = storage.global_account.mqtt_sessions.new_key()
    storage.global_account.mqtt_sessions.save(StoredSession(key, b"c", 4, 5, 0.0, StoredWill(make_message(b"w", b"1"))))
    storage.global_account.mqtt_sessions.save_subscription(key, Subscription(b"a"))
    commit(storage.journal)
    storage.global_account.mqtt_sessions.save(StoredSession(key, b"c", 4, 5, 77.0))
    storage = reopened(storage)
    [restored] = storage.global_account.restored
    assert restored.session == StoredSession(key, b"c", 4, 5, 77.0)
    assert len(restored.subscriptions) == 1
    storage.close()


def test_client_that_starts_clean_takes_the_place_of_its_old_session(tmp_path: Path):
    storage = opened(tmp_path)
    sessions = storage.global_account.mqtt_sessions
    old = sessions.new_key()
    sessions.save(session(old))
    sessions.save_subscription(old, Subscription(b"a"))
    sessions.enqueue(old, 1, make_message(b"a", b"1"), 1)
    commit(storage.journal)
    sessions.enqueue(old, 2, make_message(b"a", b"2"), 1)
    sessions.delete(old)
    new = sessions.new_key()
    sessions.save(session(new))
    storage = reopened(storage)
    assert storage.global_account.restored == [RestoredSession(session(new), [], set(), 0, 0, 0, 0)]
    assert stored_messages(storage) == 0
    storage.close()


async def test_page_has_everything_noted_before_in_order_and_within_its_limits(tmp_path: Path):
    storage = opened(tmp_path)
    sessions = storage.global_account.mqtt_sessions
    key, other = sessions.new_key(), sessions.new_key()
    async with running(storage.journal):
        for sequence in range(1, 21):
            message = make_message(b"a.%d" % sequence, bytes(range(sequence)) * 10, b"r", b"NATS/1.0\r\n\r\n")
            message.qos = sequence % 3
            assert sessions.enqueue(key, sequence, message, 1 + sequence % 2, sequence % 2 == 1, (1, sequence), 9e12)
            sessions.enqueue(other, sequence, message, 1)
        found = await page(sessions, key)
        assert [one.sequence for one in found] == list(range(1, 21))
        for one in found:
            sequence = one.sequence
            assert (one.qos, one.retain, one.released) == (1 + sequence % 2, sequence % 2 == 1, False)
            assert (one.identifiers, one.expires_at) == ((1, sequence), 9e12)
            assert one.message is not None
            assert one.message.payload() == bytes(range(sequence)) * 10
            assert one.message.header() == b"NATS/1.0\r\n\r\n"
            assert (one.message.subject, one.message.reply) == (b"a.%d" % sequence, b"r")
            assert one.message.qos == sequence % 3
        assert [one.sequence for one in await page(sessions, key, 5, 3)] == [6, 7, 8]
        assert [one.sequence for one in await page(sessions, key, 18)] == [19, 20]
        assert await page(sessions, key, 20) == []
        assert [one.sequence for one in await page(sessions, key, 0, 100, 1)] == [1]
        # Sizes are 22, 32, 42 …: the third reaches the limit.
        assert [one.sequence for one in await page(sessions, key, 0, 100, 60)] == [1, 2, 3]
    storage.close()


async def test_pages_of_many_sessions_are_read_together(tmp_path: Path):
    storage = opened(tmp_path)
    sessions = storage.global_account.mqtt_sessions
    message = make_message(b"a", b"1")
    keys = [sessions.new_key() for _ in range(100)]
    for key in keys:
        sessions.enqueue(key, key, message, 1)
    found: dict[int, list[int]] = {}
    async with running(storage.journal):
        done = trio.Event()

        def take(key: int, sequences: list[int]) -> None:
            found[key] = sequences
            if len(found) == len(keys):
                done.set()

        for key in keys:
            sessions.read_page(
                key, 0, 10, 1000, lambda places, key=key: take(key, [place.sequence for place in places])
            )
        await done.wait()
    assert found == {key: [key] for key in keys}
    storage.close()


async def test_message_of_many_sessions_is_stored_once_and_leaves_with_the_last(tmp_path: Path):
    storage = opened(tmp_path)
    sessions = storage.global_account.mqtt_sessions
    message = make_message(b"a", b"1")
    keys = [sessions.new_key() for _ in range(4)]
    async with running(storage.journal):
        for key in keys:
            sessions.enqueue(key, 1, message, 1)
        await durable(storage.journal)
        assert stored_messages(storage) == 1
        sessions.dequeue(keys[0], 1, message)
        sessions.delete(keys[1])
        sessions.delete(keys[2])
        await durable(storage.journal)
        await durable(storage.journal)
        assert stored_messages(storage) == 1
        [place] = await page(sessions, keys[3])
        sessions.release(keys[3], 1, message)
        await durable(storage.journal)
        assert stored_messages(storage) == 0
        assert message.record is None
        [place] = await page(sessions, keys[3])
        assert (place.released, place.message) == (True, None)
        sessions.dequeue(keys[3], 1, None)
        assert await page(sessions, keys[3]) == []
    storage.close()


async def test_ended_session_gives_each_message_back_once(tmp_path: Path):
    """A place that was taken back in the same batch as its session ended must not count twice."""
    storage = opened(tmp_path)
    sessions = storage.global_account.mqtt_sessions
    ending, staying = sessions.new_key(), sessions.new_key()
    message = make_message(b"a", b"1")
    async with running(storage.journal):
        sessions.enqueue(ending, 1, message, 1)
        sessions.enqueue(staying, 1, message, 1)
        await durable(storage.journal)
        sessions.dequeue(ending, 1, message)
        sessions.delete(ending)
        await durable(storage.journal)
        await durable(storage.journal)
        [place] = await page(sessions, staying)
        assert place.message is not None
        sessions.dequeue(staying, 1, place.message)
        await durable(storage.journal)
        assert stored_messages(storage) == 0
    storage.close()


def test_what_belongs_to_no_session_is_removed_at_start(tmp_path: Path):
    storage = opened(tmp_path)
    store = storage.global_account.mqtt_sessions
    store.enqueue(1, 1, make_message(b"a", b"1"), 1)
    store.save_subscription(1, Subscription(b"a"))
    store.remember_received(1, 7)
    storage = reopened(storage)
    for table in ("queue", "subscription", "received", "message"):
        assert storage.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    storage.close()


def test_message_that_nobody_has_queued_is_removed_at_start(tmp_path: Path):
    storage = opened(tmp_path)
    storage.database.connection.execute("INSERT INTO message VALUES (7, x'61', x'', 0, x'31', 1, 0.0)")
    storage = reopened(storage)
    assert stored_messages(storage) == 0
    storage.close()


def test_counts_of_places_come_back(tmp_path: Path):
    storage = opened(tmp_path)
    message = make_message(b"a", b"1")
    for key in (1, 2, 3):
        storage.global_account.mqtt_sessions.save(session(key, b"client %d" % key))
        storage.global_account.mqtt_sessions.enqueue(key, 1, message, 1)
    storage = reopened(storage)
    for key, left in ((1, 1), (2, 1), (3, 0)):
        copy = make_message(b"a", b"1")
        copy.record = message.record
        storage.global_account.mqtt_sessions.dequeue(key, 1, copy)
        commit(storage.journal)
        assert stored_messages(storage) == left
    storage.close()
