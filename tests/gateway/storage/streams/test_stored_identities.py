"""Ids that are kept beside the messages of streams."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from gateway.storage.durability import Durability
from gateway.storage.identities import Identities, PublishedId
from gateway.storage.joint_durability import Companion, JointDurability
from gateway.storage.storage import Storage
from gateway.storage.stored_session import StoredSession
from gateway.storage.streams.schema import FILE_NAME
from protocols.message import Message
from tests.gateway.storage.running_journal import commit
from tests.gateway.storage.streams.running_store import durable, opened

ROOMY = (1000, 1 << 20)
ONE = PublishedId("an account", b"u\0id 1", 7, b"nats host/u client")
OTHER = PublishedId("$G", b"\xff%", 8, b"")


async def test_ids_come_back_until_they_are_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        identities = store.identities
        identities.remember_received(1, 5)
        identities.remember_received(1, 6)
        identities.remember_received(2, 5)
        identities.remember_published(ONE)
        identities.remember_published(OTHER)
        await durable(store)
        assert identities.forget_received(1, 5)
        assert not identities.forget_received(1, 5)
        assert identities.forget_published(OTHER.account, OTHER.identifier)
        assert not identities.forget_published(OTHER.account, OTHER.identifier)
        identities.forget_session(2)
        await durable(store)
    async with opened(tmp_path) as store:
        assert store.identities.received() == {1: {6}}
        assert store.identities.published() == [ONE]


async def test_id_is_there_if_its_message_is(tmp_path: Path) -> None:
    """What is on the disk at any moment has both or none."""
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        await durable(store)
        for number in range(1, 50):
            stream.append(b"a", b"", b"")
            store.identities.remember_received(1, number)
            store.commits.when_durable(lambda: None)
            if number % 7 == 0:
                await durable(store)
            with closing(sqlite3.connect(tmp_path / FILE_NAME)) as reader:
                reader.execute("BEGIN")
                (messages,) = reader.execute("SELECT coalesce(sum(messages), 0) FROM chunk").fetchone()
                assert reader.execute("SELECT count(*) FROM identity").fetchone() == (messages,)


async def test_damaged_id_is_passed_over_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path) as store:
        store.identities.remember_received(1, 5)
        store.identities.remember_received(1, 6)
        await durable(store)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE identity SET name = 'received 1 7' WHERE name = 'received 1 5'")
    async with opened(tmp_path) as store:
        assert store.identities.received() == {1: {6}}
    assert [record.message.split()[0] for record in caplog.records] == ["event=row-damaged"]


def test_sessions_and_ids_are_given_back_what_is_theirs(tmp_path: Path) -> None:
    storage = Storage(tmp_path, *ROOMY)
    sessions = storage.global_account.mqtt_sessions
    key = sessions.new_key()
    sessions.save(StoredSession(key, b"c", 5, 1000))
    sessions.remember_received(key, 1)
    commit(storage.journal)
    storage.close()

    async def remember() -> None:
        async with opened(tmp_path) as store:
            store.identities.remember_received(key, 2)
            store.identities.remember_received(key + 1, 3)
            store.identities.remember_published(PublishedId("$G", b"id", 41, b""))
            await durable(store)

    trio.run(remember)

    async def find() -> None:
        storage = Storage(tmp_path, *ROOMY)
        async with opened(tmp_path) as store:
            storage.keep_identities(store.identities)
            account = storage.global_account
            assert account.restored[0].received == {1, 2}
            assert store.identities.received() == {key: {2}}
            assert account.published_ids.find(b"id") == 41
            assert account.published_ids.next() == 42
            account.mqtt_sessions.delete(key)
            assert store.identities.received() == {}
        storage.close()

    trio.run(find)


class Counting(Durability):
    """A store that is told when it is durable."""

    def __init__(self) -> None:
        self.changes = 0
        self.waiting: list[object] = []

    def mark(self) -> int:
        return self.changes

    def when_durable(self, action, refused=None) -> None:
        self.waiting.append(action)


class Kept(Identities):
    def __init__(self) -> None:
        self.ids: list[int] = []

    def remember_received(self, key: int, packet_id: int) -> None:
        self.ids.append(packet_id)


class Buffering(Companion):
    def __init__(self) -> None:
        self.kept = Kept()

    def refuses(self, message: Message, before: int) -> bool:
        return False

    def identities(self, subject: bytes) -> Identities | None:
        return self.kept if subject == b"kept" else None


def test_id_of_a_message_in_both_stores_is_behind_both() -> None:
    first = Counting()
    joint = JointDurability(first)
    assert joint.identities(b"kept") is None
    companion = joint.companion = Buffering()
    joint.mark()
    assert joint.identities(b"other") is None
    assert joint.identities(b"kept") is companion.kept
    first.changes += 1
    late = joint.identities(b"kept")
    assert late is not None
    late.remember_received(1, 5)
    assert companion.kept.ids == []
    first.waiting.pop()()  # type: ignore[operator]
    assert companion.kept.ids == [5]
    joint.mark()
    assert joint.identities(b"kept") is companion.kept
