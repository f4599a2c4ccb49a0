"""Damage to the row of a stream or a cursor costs what it knew of deletions and acknowledgements, never what it is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.storage.streams.limits import Limits
from gateway.storage.streams.schema import FILE_NAME
from tests.gateway.storage.streams.running_store import durable, opened, settled

LIMITS = Limits(max_per_subject=3)


async def write(directory: Path) -> None:
    async with opened(directory) as store:
        stream = store.create("plant", "s", LIMITS, "what it is")
        cursor = stream.cursor("reader")
        cursor.keepsake = "who it is"
        cursor.describe = lambda: "who it is, and how far"
        cursor.changed()
        for number in range(20):
            stream.append(b"a.%d" % number, b"", b"payload")
        await durable(store)
        cursor.acknowledge_through(20)
        await settled(store)


def change(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount


@pytest.mark.parametrize("column", ["account", "name", "limits", "note"])
async def test_a_stream_whose_row_is_damaged_is_what_it_was(
    tmp_path: Path, column: str, caplog: pytest.LogCaptureFixture
):
    await write(tmp_path)
    change(tmp_path, f"UPDATE stream SET {column} = substr({column}, 2)")
    async with opened(tmp_path) as store:
        stream = store.get("plant", "s")
        assert stream is not None
        assert (stream.limits, stream.note, stream.messages) == (LIMITS, "what it is", 20)
        assert "event=row-damaged account=plant stream=s what='stream'" in caplog.text
        await settled(store)
    caplog.clear()
    async with opened(tmp_path) as store:
        assert store.get("plant", "s") is not None
    assert not caplog.records  # The row was written anew.


async def test_a_cursor_whose_row_is_damaged_begins_anew_as_what_it_was(tmp_path: Path):
    await write(tmp_path)
    change(tmp_path, "UPDATE cursor SET note = substr(note, 3)")
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        cursor = stream.cursors["reader"]
        assert (cursor.note, cursor.floor) == ("who it is", 0)


async def test_what_is_removed_leaves_no_keepsake(tmp_path: Path):
    await write(tmp_path)
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        stream.remove_cursor("reader")
        await settled(store)
        assert kept(tmp_path) == [""]
        store.remove(stream)
        await settled(store)
        assert kept(tmp_path) == []


async def test_a_damaged_keepsake_is_none(tmp_path: Path):
    await write(tmp_path)
    change(tmp_path, "UPDATE keepsake SET note = 'x', name = 'y'")
    async with opened(tmp_path) as store:
        (stream,) = store.streams()
        assert (stream.name, stream.keepsakes.get(), stream.note) == ("s", None, "what it is")


def kept(directory: Path) -> list[str]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return [name for (name,) in connection.execute("SELECT cursor FROM keepsake ORDER BY cursor")]
