"""A stream does what a list would, whatever is done to it and in whatever order, and is the same after a restart."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.storage.streams import chunk, deletions, summaries
from gateway.storage.streams import stored_stream as streams
from gateway.storage.streams.limits import NO_LIMIT, Discard, Limits, Refusal, RefusedError
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream
from tests.gateway.storage.streams.running_store import durable, nothing, read_all, settled

SUBJECTS = [b"a", b"b.c", b"d"]


class Kept(NamedTuple):
    sequence: int
    subject: bytes
    payload: bytes


class Model:
    """What a stream must hold."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.last = 0
        self.kept: list[Kept] = []

    def of(self, subject: bytes) -> list[Kept]:
        return [one for one in self.kept if one.subject == subject]

    def append(self, subject: bytes, payload: bytes) -> Refusal | None:
        limits = self.limits
        same = self.of(subject)
        full = len(same) >= limits.max_per_subject
        if full and limits.discard_new_per_subject:
            return Refusal.PER_SUBJECT
        if len(self.kept) + 1 - full > limits.max_messages and limits.discard is Discard.NEW:
            return Refusal.MESSAGES
        if full:
            self.kept.remove(same[0])
        self.last += 1
        self.kept.append(Kept(self.last, subject, payload))
        del self.kept[: max(len(self.kept) - limits.max_messages, 0)]
        return None

    def delete(self, sequence: int) -> bool:
        before = len(self.kept)
        self.kept = [one for one in self.kept if one.sequence != sequence]
        return len(self.kept) < before

    def purge(self, first: int) -> int:
        before = len(self.kept)
        self.kept = [one for one in self.kept if one.sequence >= first]
        return before - len(self.kept)


async def check(stream: Stream, model: Model) -> None:
    assert stream.last == model.last
    assert stream.messages == len(model.kept)
    found = [Kept(one.sequence, one.subject, one.payload) for one in await read_all(stream)]
    assert found == model.kept
    if stream.subjects is None:
        return
    for subject in SUBJECTS:
        same = model.of(subject)
        state = stream.subject(subject)
        last = await stream.last_of(subject)
        assert (last.sequence if last else None) == (same[-1].sequence if same else None)
        if stream.limits.is_exact:
            assert (state.messages if state else 0) == len(same)
        if state is not None and same:
            assert state.first <= same[0].sequence
            assert state.last >= same[-1].sequence


class Run:
    """The stream under test, on a disk or in memory, and its model."""

    def __init__(self, directory: Path | None, limits: Limits) -> None:
        self.directory = directory
        self.model = Model(limits)
        self.open()
        self.stream = self.store.create("$G", "s", limits)

    def open(self) -> None:
        self.store = StreamStore(self.directory)
        self.store.start(trio.lowlevel.current_trio_token().run_sync_soon, nothing)

    async def append(self, subject: int, count: int) -> None:
        for _ in range(count):
            payload = b"%d" % (self.model.last + 1) * (count % 5)
            refusal = self.model.append(SUBJECTS[subject], payload)
            if refusal is None:
                assert self.stream.append(SUBJECTS[subject], b"", payload) == self.model.last
            else:
                with pytest.raises(RefusedError) as refused:
                    self.stream.append(SUBJECTS[subject], b"", payload)
                assert refused.value.refusal is refusal

    async def commit(self, *_: int) -> None:
        await durable(self.store)

    def pick(self, number: int) -> int:
        """The sequence of something that is there, or was."""
        kept = self.model.kept
        return kept[number % len(kept)].sequence if kept and number % 4 else number

    async def delete(self, number: int, _: int) -> None:
        sequence = self.pick(number)
        await durable(self.store)
        message = await self.stream.get(sequence)
        assert (message is not None) == self.model.delete(sequence)
        if message is not None:
            assert self.stream.delete(message)
            assert not self.stream.delete(message)
            assert await self.stream.get(sequence) is None

    async def purge(self, number: int, _: int) -> None:
        first = self.pick(number // 3)
        assert self.stream.purge(first) == self.model.purge(first)

    async def forget(self, *_: int) -> None:
        self.stream.tail.clear()

    async def check(self, *_: int) -> None:
        await durable(self.store)
        await check(self.stream, self.model)

    async def restart(self, *_: int) -> None:
        await durable(self.store)
        if self.directory is not None:
            await settled(self.store)
            size = self.stream.size
            assert self.store.close()
            self.open()
            (self.stream,) = self.store.streams()
            assert self.stream.size == size
            await check(self.stream, self.model)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "append", "append", "commit", "delete", "delete", "purge", "forget", "check", "restart"]
        ),
        st.integers(0, 200),
        st.integers(1, 30),
    ),
    min_size=15,
    max_size=40,
)
LIMITS = st.builds(
    Limits,
    max_messages=st.sampled_from([NO_LIMIT, 1, 5, 40]),
    max_per_subject=st.sampled_from([NO_LIMIT, 1, 3, 10]),
    discard=st.sampled_from(Discard),
    discard_new_per_subject=st.booleans(),
    subjects=st.booleans(),
)

# A chunk that was emptied with the very commit that folds it.
DELETED_WHILE_FOLDED = [
    ("append", 2, 1),
    ("append", 0, 1),
    ("append", 1, 1),
    ("delete", 9, 1),
    ("append", 2, 1),
    ("delete", 79, 1),
    ("append", 1, 1),
    ("delete", 133, 1),
    ("delete", 103, 1),
]


def run(steps: list[tuple[str, int, int]], limits: Limits, on_disk: bool, few_chunks: int) -> None:
    async def drive() -> None:
        with tempfile.TemporaryDirectory() as directory:
            one = Run(Path(directory) if on_disk else None, limits)
            try:
                for name, first, second in steps:
                    do: Callable[..., Any] = getattr(one, name)
                    await do(first % 3 if name == "append" else first, second)
                await one.check()
                await one.forget()
                await one.check()
                await one.restart()
            finally:
                assert one.store.close()

    # Chunks of a few messages only, so that there are many of them.
    with (
        patch.object(chunk, "MOST_MESSAGES", 4),
        patch.object(chunk, "MOST_SPAN", 12),
        patch.object(streams, "FOLDED_AT_ONCE", 3),
        patch.object(streams, "MOST_WASTED", 100),
        patch.object(streams, "SUMMARISED_AT_ONCE", 2),
        patch.object(summaries, "MOST_SHARE", 100),
        patch.object(deletions, "FEW_CHUNKS", few_chunks),
        patch.object(deletions, "MOST_DELETIONS", 6),
        patch.object(deletions, "DELETIONS_OF_CHUNK", 0),
        patch.object(deletions, "BITMAPS_AT_ONCE", 2),
    ):
        trio.run(drive)


@pytest.mark.parametrize("on_disk", [True, False])
def test_stream_does_what_a_list_would(on_disk: bool):
    @settings(max_examples=40, deadline=None)
    @given(STEPS, LIMITS, st.sampled_from([0, 1, 4]))
    @example(DELETED_WHILE_FOLDED, Limits(max_per_subject=1, discard_new_per_subject=True), 4)
    @example(DELETED_WHILE_FOLDED, Limits(max_per_subject=1, discard_new_per_subject=True), 0)
    def does(steps: list[tuple[str, int, int]], limits: Limits, few_chunks: int) -> None:
        run(steps, limits, on_disk, few_chunks)

    does()
