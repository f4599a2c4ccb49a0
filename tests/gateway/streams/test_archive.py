"""The archive that a snapshot is."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams.archive import END, MAGIC, ArchiveReader, Entry, encode, encode_message
from protocols.s2.block import CorruptError

# What nats-server 2.15.1 has written of the message "hello0" on n.a, and behind it the end.
WRITTEN = bytes.fromhex("038cfcf9f98f85c9ec31 01 00 06 6e2e61 68656c6c6f30 0000000000".replace(" ", ""))

entries = st.builds(
    Entry,
    st.binary(max_size=300),
    st.integers(-(1 << 62), 1 << 62),
    st.integers(0, 1 << 48),
    st.binary(max_size=300),
    st.binary(max_size=300),
)


def test_entries_are_those_of_nats_server() -> None:
    message = StoredMessage(1, 1795971329852452614, b"n.a", b"", b"hello0")
    found = ArchiveReader().feed(MAGIC + WRITTEN)
    assert found[0][:3] == (b"n.a", found[0].time_ns, 1)
    assert found[0].payload == b"hello0"
    assert found[1] == END
    assert encode_message(message._replace(time_ns=found[0].time_ns)) + encode(END) == WRITTEN


@given(st.lists(entries, max_size=6), st.randoms(use_true_random=False))
def test_an_archive_is_read_however_it_is_cut(written: list[Entry], cuts: random.Random) -> None:
    archive = MAGIC + b"".join(encode(entry) for entry in written)
    reader, found = ArchiveReader(), []
    while archive:
        cut = cuts.randint(1, len(archive))
        found += reader.feed(archive[:cut])
        archive = archive[cut:]
    reader.finish()
    assert found == written


@given(st.binary(max_size=300))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    reader = ArchiveReader()
    try:
        reader.feed(MAGIC + data)
    except CorruptError:
        pass


@pytest.mark.parametrize("data", [b"", MAGIC[:4], MAGIC + WRITTEN[:-1]])
def test_what_is_cut_short_is_refused(data: bytes) -> None:
    reader = ArchiveReader()
    reader.feed(data)
    with pytest.raises(CorruptError):
        reader.finish()


@pytest.mark.parametrize("data", [b"NATSARC2", MAGIC + b"\xff" * 11, MAGIC + b"\x00\x00\x00\xff\xff\xff\xff\x0f\x00"])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError):
        ArchiveReader().feed(data)
