"""Streams that are copies of others: they have the numbers and times of their origin."""

from pathlib import Path

import pytest

from gateway.storage.streams.chunk import LAST_SEQUENCE
from gateway.storage.streams.limits import Limits, Refusal, RefusedError
from tests.gateway.storage.streams.running_store import durable, opened, read_all

HOUR = 3600 * 10**9


async def test_numbers_that_were_skipped_are_not_there_before_and_after_a_restart(tmp_path: Path):
    there = [5, 6, 9, 5000, 5001, 400_000]
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s", Limits(max_per_subject=3))
        for sequence in there:
            stream.skip_to(sequence)
            assert stream.append(b"a.%d" % (sequence % 2), b"", b"%d" % sequence) == sequence
            if sequence == 9:
                await durable(store)
        stream.skip_to(500_000)
        await durable(store)
        assert [message.sequence for message in await read_all(stream)] == there
    async with opened(tmp_path) as store:
        (stream,) = store.streams("$G")
        assert (stream.last, stream.committed, stream.messages) == (499_999, 499_999, len(there))
        assert [message.sequence for message in await read_all(stream)] == there
        assert [stream.count_from(sequence) for sequence in (1, 6, 7, 5001, 400_001, 1 << 70)] == [6, 5, 4, 2, 0, 0]
        assert not stream.is_there(7)
        assert stream.append(b"a.1", b"", b"") == 500_000
        await durable(store)
        # The oldest of its subject went for it.
        assert [message.sequence for message in await read_all(stream)] == [6, 9, *there[3:], 500_000]


async def test_a_copy_keeps_its_time_and_none_is_older_than_the_one_before(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        for time_ns in (HOUR, 3 * HOUR, 2 * HOUR):
            stream.append(b"a", b"", b"", time_ns)
        await durable(store)
        assert [message.time_ns for message in await read_all(stream)] == [HOUR, 3 * HOUR, 3 * HOUR]
        stream.append(b"a", b"", b"")
        assert stream.last_ns > 1000 * HOUR


async def test_there_is_a_last_number(tmp_path: Path):
    async with opened(tmp_path) as store:
        stream = store.create("$G", "s")
        with pytest.raises(RefusedError) as caught:
            stream.skip_to(LAST_SEQUENCE + 1)
        assert caught.value.refusal is Refusal.NUMBERS
        assert stream.last == 0
