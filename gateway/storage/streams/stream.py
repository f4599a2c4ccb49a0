"""Stream: messages in the order in which they came, numbered from 1, on the disk."""

from collections.abc import Callable
from typing import NamedTuple

import trio

from gateway.storage.streams.chunk import LAST_SEQUENCE, ChunkRow, StoredChunk, key_of
from gateway.storage.streams.lately_read import message_in
from gateway.storage.streams.limits import MOST_SUBJECT_SIZE, NO_LIMIT, Discard, Limits, Refusal, RefusedError
from gateway.storage.streams.stored_message import Slice, StoredMessage
from gateway.storage.streams.stored_stream import StoredStream
from gateway.storage.streams.subject_states import SubjectState

MILLISECOND, SECOND = 1_000_000, 1_000_000_000


# So many more than there may be go one by one; of more it is looked where the last ones begin that may stay.
FEW_MESSAGES = 16


class StreamStatistics(NamedTuple):
    """`oldest_age` is in seconds. `discarded` for a limit, and `lost` with damage, are counted from the start."""

    first: int
    last: int
    messages: int
    size: int
    subjects: int
    oldest_age: float
    discarded: int
    lost: int


class Stream(StoredStream):
    """One stream of an account; StreamStore makes them. All is called from the loop's thread.

    What `append` took is on the disk once `commits.when_durable` says so: up to `committed`, and only then anybody can
    read it; `last` is the last number given out. `first` is the first sequence that may be there, `messages` counts
    what is and `size` its bytes, with what is on its way. `discarded` counts messages that went because of a limit
    since the start, `lost` those that went with damaged chunks. `note` is the owner's. `listeners` are called behind
    each commit that brought messages.
    """

    # Writing; `append` is there, too.

    def skip_to(self, sequence: int) -> None:
        """Give the next message this number; those in front of it are not there. Raises RefusedError."""
        if sequence > LAST_SEQUENCE:
            raise RefusedError(Refusal.NUMBERS)
        if sequence > self.last + 1:
            self.last = sequence - 1
            self.row_changed = True
            self.touch(True)

    def delete(self, message: StoredMessage) -> bool:
        """Delete a message that was read; False where it is gone already."""
        return self.delete_at(message.sequence, message.subject, message.size)

    def delete_at(self, sequence: int, subject: bytes, size: int) -> bool:
        """Delete a message of which so much is known (`StoredMessage.size`); False where it is gone already."""
        if not self.contents.delete(sequence, size):
            return False
        if self.subjects is not None:
            self.subjects.remove(subject, sequence)
        self.row_changed = True
        self.touch(False)
        return True

    def purge(self, first: int | None = None) -> int:
        """Delete everything in front of a sequence, or all there is; returns how many messages that were. The numbers
        go on behind the last one.
        """
        return self.move_first(self.last + 1 if first is None else min(first, self.last + 1))

    def set_limits(self, limits: Limits) -> None:
        """What is too much goes at once. Whether subjects are known, and exactly so, cannot change."""
        same = limits.knows_subjects == self.limits.knows_subjects and limits.is_exact == self.limits.is_exact
        assert same, "what is known of subjects is decided when a stream is made"
        self.limits = limits
        self.ease = 0
        self.row_changed = True
        self.touch(False)
        self.enforce()

    def set_note(self, note: str) -> None:
        self.note = note
        self.row_changed = True
        self.touch(False)

    def enforce(self) -> None:
        """Let go what is older than it may be, and more; to be called now and then. A chunk goes as a whole."""
        limits = self.limits
        if limits.max_age:
            number = self.contents.directory.find_age(int((self.store.age() - limits.max_age) * 1000))
            if number:
                self.discarded += self.move_first(self.contents.directory.entry(number - 1).last + 1)
        if limits.discard is Discard.OLD:
            self._make_room(0, 0)
        self.drop_acknowledged()
        if self.contents.hollow or self.contents.emptied:  # Rows that nothing else gives back.
            self.touch(False)

    # Reading: nothing but what is committed.

    async def read(
        self,
        first: int,
        max_messages: int,
        max_bytes: int,
        wanted: Callable[[bytes], bool] | None = None,
    ) -> Slice:
        """Messages from a sequence on, of subjects that are `wanted`: at most so many, and so many bytes (but at least
        one). What is not in memory is read in another thread, a bounded piece at a time: a slice may have fewer, or
        none, although more follow; it tells where to go on.
        """
        first = max(first, self.first)
        if first > self.committed:
            return Slice([], self.committed + 1)
        in_memory = self.peek(first, max_messages, max_bytes, wanted)
        if in_memory is not None:
            return in_memory
        read = self.store.reading.slice
        slice_, damaged = await read(self.id, first, self.committed, max_messages, max_bytes, wanted)
        for chunk in damaged:
            self.lose(chunk)
        return Slice(self.contents.those_there(slice_.messages), slice_.next)

    def peek(
        self,
        first: int,
        max_messages: int,
        max_bytes: int,
        wanted: Callable[[bytes], bool] | None = None,
    ) -> Slice | None:
        """As `read`, at once; None where that is not all in memory."""
        first = max(first, self.first)
        if first > self.committed:
            return Slice([], self.committed + 1)
        start = self.tail.first
        if start is None or first < start:
            return None
        found = self.tail.read(first, max_messages)
        end = found[-1].sequence + 1 if len(found) >= max_messages else self.committed + 1
        return self._cut(found, end, max_messages, max_bytes, wanted)

    def recent(self, first: int, max_bytes: int) -> list[ChunkRow] | None:
        """Whole chunks of the newest messages, from the one that a sequence is in; those that were deleted are in them.
        None where that is not in memory.
        """
        if first > self.committed:
            return []
        start = self.tail.first
        return None if start is None or first < start else self.tail.chunks(first, max_bytes)

    async def read_chunks(self, first: int, max_bytes: int) -> tuple[list[StoredChunk], int]:
        """As `read`, whole chunks from the disk, in which there may be messages in front of `first` and such as were
        deleted; and where to go on.
        """
        first = max(first, self.first)
        if first > self.committed:
            return [], self.committed + 1
        found, end, damaged = await self.store.reading.chunks(self.id, first, self.committed, max_bytes)
        for chunk in damaged:
            self.lose(chunk)
        return found, end

    def count_from(self, sequence: int) -> int:
        """How many messages are on the disk from a sequence on."""
        return self.contents.count_from(sequence)

    def delete_all_of(self, subject: bytes, before: int, keep: int = 0) -> int:
        """Delete the messages of a subject in front of a sequence, but for so many of the newest of them; returns how
        many those were. Only where the place of each is known (`Limits.is_exact`).
        """
        state = self.subject(subject)
        if state is None:
            return 0
        assert self.subjects is not None
        assert state.is_exact, "the places of this stream's messages are not known"
        places = [place for place in state.places if place[0] < before]
        gone = places[: len(places) - keep] if keep else places
        for sequence, size in gone:
            if self.incoming.holds(sequence):
                self.incoming.delete(sequence, size)
            else:
                self.contents.delete(sequence, size)
        if gone:
            self.subjects.prune(subject, gone[-1][0] + 1)
            self.row_changed = True
            self.touch(False)
        return len(gone)

    def is_there(self, sequence: int) -> bool:
        """Whether a message is on the disk."""
        return self.contents.is_there(sequence)

    def begin_with(self, sequence: int) -> None:
        """Give the first message of a new stream this number."""
        assert not self.last, "the stream has begun"
        self.last = self.committed = sequence - 1
        self.contents.first = sequence
        self.row_changed = True

    def find(self, sequence: int) -> StoredMessage | None:
        """The message with that sequence, which `is_there`, if it is in memory."""
        recent = self.recent(sequence, 1)
        if recent is not None:
            return message_in(recent[0], sequence) if recent else None
        directory = self.contents.directory
        number = directory.find(sequence)
        chunk = self.store.reading.lately.find(key_of(self.id, directory.first(number)), directory.last(number))
        return message_in(chunk, sequence) if chunk is not None else None

    def newest_since(self, subject: bytes, sequence: int) -> StoredMessage | None:
        """What was the last message of a subject behind the last commit, from a sequence on, if it is in memory; also
        where one has taken its place that waits for the next commit.
        """
        state = self.subject(subject)
        if state is None:
            return None
        if state.last <= self.committed:
            return self.find(state.last) if self.is_there(state.last) else None
        found = self.tail.newest_of(subject)
        return found if found is not None and found.sequence >= sequence else None

    def fetch(self, sequence: int, over: Callable[[], None]) -> None:
        """Have a message that `is_there` in memory, if possible; then call `over`."""
        directory = self.contents.directory
        self.fetch_chunk(key_of(self.id, directory.first(directory.find(sequence))), over)

    def fetch_chunk(self, key: int, over: Callable[[], None]) -> None:
        """Have a chunk in memory by its key, if possible (`LookUp.missing`); then call `over`."""
        self.store.reading.fetch(key, over)

    async def get(self, sequence: int) -> StoredMessage | None:
        """The message with that sequence; None where there is none."""
        if not self.contents.is_there(sequence):
            return None
        at_once = self.find(sequence)
        if at_once is None:
            fetched = trio.Event()
            self.fetch(sequence, fetched.set)
            await fetched.wait()
            at_once = self.find(sequence) if self.contents.is_there(sequence) else None
        if at_once is not None:
            return at_once
        found = await self.read(sequence, 1, 1)  # It says what is wrong.
        return found.messages[0] if found.messages and found.messages[0].sequence == sequence else None

    async def next_matching(self, first: int, wanted: Callable[[bytes], bool]) -> StoredMessage | None:
        """The first message from a sequence on whose subject is wanted."""
        while first <= self.committed:
            found, first = await self.read(first, 1, 1, wanted)
            if found:
                return found[0]
        return None

    async def last_of(self, subject: bytes) -> StoredMessage | None:
        """The last message of a subject, also where its commit is still under way; then it is waited for. Only where
        subjects are known.
        """
        while (state := self.subject(subject)) is not None:
            if state.last > self.committed:
                committed = trio.Event()
                self.commits.when_durable(committed.set)
                await committed.wait()
                continue
            last = state.last
            if state.is_exact or self.contents.gapless:
                found = await self.get(last)
                if found is not None:
                    return found
            end = last + 1
            while end > self.first:
                read = self.store.reading.last_of
                found, end, damaged = await read(self.id, subject, self.first, end - 1)
                for chunk in damaged:
                    self.lose(chunk)
                if found is not None:
                    if self.contents.is_there(found.sequence):
                        return found
                    end = found.sequence
            state = self.subject(subject)
            if state is not None and state.last == last:
                return None
        return None

    def subject(self, subject: bytes) -> SubjectState | None:
        """What is there of a subject. Only where subjects are known."""
        assert self.subjects is not None, "this stream knows nothing of subjects"
        return self.subjects.prune(subject, self.first)

    def sequence_at(self, time_ns: int) -> int:
        """Where to begin to read for what came at that time or later: in front of it by less than a chunk."""
        directory = self.contents.directory
        number = directory.find_time(time_ns)
        return directory.first(number) if number < len(directory) else self.committed + 1

    def age_ns(self) -> int:
        """Now, in nanoseconds of the clock by which streams age."""
        return int(self.store.age() * SECOND)

    def sequence_aged(self, age_ns: int) -> int:
        """Where what was taken at a time of the age clock or later begins, in front of it by less than a chunk."""
        directory = self.contents.directory
        number = directory.find_age(max(age_ns, 0) // MILLISECOND)
        return directory.first(number) if number < len(directory) else self.committed + 1

    def aged_ns(self, sequence: int) -> int:
        """When a message on the disk was taken, by the age clock: its chunk ages as a whole, none of it early."""
        directory = self.contents.directory
        number = directory.find(sequence)
        return (directory.entry(number).aged + 1) * MILLISECOND if number < len(directory) else 0

    def next_headed(self, sequence: int) -> int:
        """The sequence, or else a later one, in front of which no committed message from it on has a header."""
        directory = self.contents.directory
        number = directory.find(sequence)
        headed = directory.find_headed(number)
        if headed == number:
            return sequence
        return directory.first(headed) if headed < len(directory) else self.committed + 1

    @property
    def oldest_age(self) -> float:
        """For how many seconds the oldest message has been here; 0.0 where there is none."""
        front = self.contents.front()
        return max(self.store.age() - front.aged / 1000, 0.0) if front is not None else 0.0

    def statistics(self) -> StreamStatistics:
        """What monitoring tells."""
        subjects = len(self.subjects) if self.subjects is not None else 0
        numbers = self.first, self.last, self.messages, self.size, subjects, self.oldest_age
        return StreamStatistics(*numbers, self.discarded, self.lost)

    # Limits.

    def admit(self, subject: bytes, size: int) -> None:
        """Make room for a message. Raises RefusedError."""
        self._admit(subject, size)
        limits = self.limits
        self.plain_size = min(limits.max_message_bytes, MOST_SUBJECT_SIZE)
        self.most_of_subject = 0
        if limits.is_exact and limits.discard_new_per_subject:  # Each is looked at.
            self.ease, self.ease_bytes = 1, size
            return
        if limits.is_exact:
            self.most_of_subject = limits.max_per_subject
        if limits.is_bounded:
            self.ease, self.ease_bytes = limits.max_messages - self.messages, limits.max_bytes - self.size
        else:
            self.ease = self.ease_bytes = NO_LIMIT

    def _admit(self, subject: bytes, size: int) -> None:
        limits = self.limits
        if self.closed:
            raise RefusedError(Refusal.CLOSED)
        if size > limits.max_message_bytes or size > limits.max_bytes or len(subject) > MOST_SUBJECT_SIZE:
            raise RefusedError(Refusal.TOO_LARGE)
        if self.backlog.bytes + size > self.backlog.room:
            self.commits.check(size)
        given = given_size = 0
        is_replaced = False
        if self.subjects is not None:
            state = self.subjects.prune(subject, self.first)
            if state is None:
                if len(self.subjects) >= limits.max_subjects:
                    raise RefusedError(Refusal.SUBJECTS)
            elif state.messages >= limits.max_per_subject:
                if limits.discard_new_per_subject:
                    raise RefusedError(Refusal.PER_SUBJECT)
                is_replaced = True
                given, given_size = 1, state.first_size
        if not limits.is_bounded and not is_replaced:
            return
        if self.messages + 1 - given > limits.max_messages or self.size + size - given_size > limits.max_bytes:
            if limits.discard is Discard.NEW:
                raise RefusedError(
                    Refusal.MESSAGES if self.messages + 1 - given > limits.max_messages else Refusal.BYTES
                )
            if not is_replaced:
                self._make_room(1, size)
        if is_replaced:
            self.replace(subject, limits.max_per_subject - 1)
            if limits.discard is Discard.OLD:
                self._make_room(1, size)

    def _make_room(self, messages: int, size: int) -> None:
        """Let the oldest go until so much more is within the limits."""
        limits = self.limits
        excess = self.messages + messages - limits.max_messages
        if excess > FEW_MESSAGES:
            self.discarded += self.move_first(self._behind(min(excess, self.contents.messages)))
        while self.messages + messages > limits.max_messages:
            oldest = self.contents.oldest() or self.incoming.oldest()
            if not oldest:
                break
            self.discarded += self.move_first(oldest + 1)
        while self.size + size > limits.max_bytes:
            front = self.contents.front()
            if front is not None:
                self.discarded += self.move_first(front.last + 1)
            else:
                oldest = self.incoming.oldest()
                if not oldest:
                    break
                self.discarded += self.move_first(oldest + 1)

    def _behind(self, count: int) -> int:
        """The sequence behind so many of the oldest messages on the disk."""
        left = self.contents.messages - count
        low, high = self.first, self.committed + 1
        while low < high:
            middle = (low + high) // 2
            if self.contents.count_from(middle) > left:
                low = middle + 1
            else:
                high = middle
        return low

    def _cut(
        self,
        found: list[StoredMessage],
        end: int,
        max_messages: int,
        max_bytes: int,
        wanted: Callable[[bytes], bool] | None,
    ) -> Slice:
        """As much of what was found as is asked for and still there; `end` is where it ends."""
        messages: list[StoredMessage] = []
        size = 0
        for message in self.contents.those_there(found):
            if wanted is not None and not wanted(message.subject):
                continue
            size += message.size
            if len(messages) == max_messages or (messages and size > max_bytes):
                return Slice(messages, message.sequence)
            messages.append(message)
        return Slice(messages, end)
