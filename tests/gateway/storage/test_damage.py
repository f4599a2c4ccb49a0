"""Damage that leaves a file a database: each is found at the next start, and the file set aside."""

import random
import sqlite3
from pathlib import Path

import pytest
import trio

from gateway.assembly import Gateway
from gateway.settings.schema import Config
from gateway.storage.damage import DamagedError, reading
from gateway.storage.database import FILE_NAME
from gateway.storage.queue_pages import PageRequest, read_pages
from gateway.storage.storage import Storage
from gateway.storage.stored_session import StoredSession, StoredWill
from protocols.message import make_message
from protocols.mqtt.packets import Subscription

ROOMY = (1000, 1 << 20)
SEED = 4
FLIPS = 150
HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"


def fill(directory: Path, sessions: int = 5) -> Path:
    """A closed database with something in every table; returns its file."""
    storage = Storage(directory, *ROOMY)
    store = storage.global_account.mqtt_sessions
    for number in range(sessions):
        key = store.new_key()
        will = StoredWill(make_message(b"will.%d" % number, b"gone", b"", HEADER), True, 10)
        store.save(StoredSession(key, b"client-%d" % number, 5, 3600, 0.0, will if number % 2 else None))
        store.save_subscription(key, Subscription(b"a/#", 1, False, True, 1), 5)
        store.remember_received(key, 17)
        for sequence in range(1, 9):
            message = make_message(b"a.%d" % sequence, b"x" * 50, b"", HEADER if sequence % 2 else b"")
            store.enqueue(key, sequence, message, 1, False, (5, 6) if sequence % 3 else (), 2e9)
        store.release(key, sequence, message)
        storage.global_account.retained.keep(make_message(b"r.%d" % number, b"x" * 20, b"", HEADER))
        storage.global_account.published_ids.note(b"id-%d" % number, storage.global_account.published_ids.next())
    storage.journal.batch.write(storage.database.connection)
    storage.close()
    return directory / FILE_NAME


def is_set_aside(directory: Path) -> bool:
    storage = Storage(directory, *ROOMY)
    found = storage.database.set_aside is not None
    assert not found or (storage.global_account.restored == [] and len(storage.global_account.retained) == 0)
    storage.close()
    return found


def use(storage: Storage) -> None:
    """Restore the sessions, read their queues, end one."""
    keys = [restored.session.key for restored in storage.global_account.restored]
    Gateway(Config(), storage).restore()
    read_pages(storage.database.connection, [PageRequest(key, 0, 200, 1 << 20, list.clear) for key in keys])
    if keys:
        storage.global_account.mqtt_sessions.delete(keys[0])
    storage.global_account.retained.keep(make_message(b"r.1", b"new"))
    storage.journal.batch.write(storage.database.connection)


def test_what_was_written_is_sound(tmp_path: Path):
    fill(tmp_path)
    assert not is_set_aside(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE session SET ended_at = x'00'",
        "UPDATE session SET client_id = 5 WHERE key = 1",
        "UPDATE session SET expiry_seconds = -1",
        "UPDATE session SET will_body = NULL",
        "UPDATE subscription SET qos = 7",
        "UPDATE received SET packet_id = 0",
        "UPDATE message SET header_size = 1000000",
        "UPDATE message SET header_size = 'many'",
        "UPDATE message SET subject = 'text'",
        "UPDATE queue SET flags = 3",
        "UPDATE queue SET identifiers = '5!6'",
        "UPDATE queue SET identifiers = CAST(x'c4' AS TEXT)",
        "UPDATE queue SET identifiers = '5' || char(0) || '6'",
        "UPDATE queue SET identifiers = x'35'",
        "UPDATE retained SET subject = 5 WHERE subject = CAST('r.1' AS BLOB)",
        "UPDATE retained SET body = 'text'",
        "ALTER TABLE message RENAME COLUMN expires_at TO expired_at",
        "ALTER TABLE meta RENAME COLUMN value TO vblue",
    ],
)
def test_value_that_nobody_wrote_is_damage(tmp_path: Path, change: str):
    connection = sqlite3.connect(fill(tmp_path))
    connection.execute(change)
    connection.commit()
    connection.close()
    assert is_set_aside(tmp_path)


@pytest.mark.parametrize(("position", "value"), [(18, 0x82), (19, 0x82), (47, 0x14), (60, 0xFF)])
def test_header_that_sqlite_takes_for_another_kind_of_file_is_damage(tmp_path: Path, position: int, value: int):
    file = fill(tmp_path)
    content = bytearray(file.read_bytes())
    content[position] = value
    file.write_bytes(content)
    assert is_set_aside(tmp_path)


def test_index_that_differs_from_its_table_is_damage(tmp_path: Path):
    file = fill(tmp_path)
    content = file.read_bytes()
    assert content.count(b"client-3") == 2  # In the table and in the index of client ids.
    file.write_bytes(content.replace(b"client-3", b"client-9", 1))
    assert is_set_aside(tmp_path)


def test_no_flipped_bit_keeps_the_gateway_from_starting(tmp_path: Path):
    whole = fill(tmp_path / "whole").read_bytes()
    bits = random.Random(SEED)
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / FILE_NAME

    async def start() -> None:
        storage = Storage(file.parent, *ROOMY)
        use(storage)
        storage.close()

    for _ in range(FLIPS):
        content = bytearray(whole)
        position = bits.randrange(100, len(content))
        content[position] ^= 1 << bits.randrange(8)
        for old in file.parent.iterdir():
            old.unlink()
        file.write_bytes(content)
        try:
            trio.run(start)
        except Exception as error:
            error.add_note(f"byte {position} is {content[position]:#x}")
            raise


def test_statement_that_cannot_fail_fails_for_what_the_file_holds():
    connection = sqlite3.connect(":memory:")
    with pytest.raises(DamagedError, match="no such table: message"), reading():
        connection.execute("SELECT * FROM message")
    with pytest.raises(DamagedError, match="ValueError"), reading():
        int("5!6")
    with pytest.raises(DamagedError, match="UTF-8"), reading():
        connection.execute("SELECT CAST(x'c4' AS TEXT)").fetchone()


def test_error_of_the_disk_is_no_damage(tmp_path: Path):
    with pytest.raises(sqlite3.OperationalError, match="unable to open"), reading():
        sqlite3.connect(f"file:{tmp_path}/none?mode=ro", uri=True)
