"""Reader: where a consumer gets its messages: out of memory where it reads along, else from the disk by and by."""

import logging
from collections.abc import Awaitable, Callable

import trio

from gateway.errors import StorageError
from gateway.storage.streams.stored_message import StoredMessage
from gateway.streams.roles import Delivering
from gateway.streams.supply import Supply, count_in

log = logging.getLogger("leafgate.streams")

# What one consumer has in its hands at most.
MESSAGES_AT_ONCE = 512
BYTES_AT_ONCE = 256 << 10
# How often it looks on in memory, where it finds nothing that is wanted, before others have their turn.
LOOKS_AT_ONCE = 8
# Where the disk could not be read, it is tried again so much later.
RETRY_SECONDS = 1.0
# Of so many subjects what is left is counted anew wherever some of them has changed.
FEW_SUBJECTS = 1024
# So many messages that were chosen are looked at one by one; more are counted with those that have gone meanwhile.
FEW_CHOSEN = 1024
# Messages that came since are counted without a look at the disk.
EVERYTHING = 1 << 30


class Reader:
    """`supply` has the messages that are to be delivered for the first time, once `look` says so. `ahead` is how many
    of those there are; it may be behind the times by what is just being counted.
    """

    def __init__(self, consumer: Delivering) -> None:
        self._consumer = consumer
        self._stored = consumer.stream.stored
        by_time = consumer.config.deliver_policy == "by_start_time"
        start_ns = consumer.config.start_ns if by_time else 0
        self.supply = Supply(consumer.state, consumer.selection, start_ns, self._stored.is_there)
        # Where to read on behind what is in the supply.
        self._position = consumer.state.next
        # Old messages that are to be delivered again, as they were read.
        self._old: dict[int, StoredMessage] = {}
        self.is_reading = False
        # There may be more, but others have their turn.
        self.has_more = False
        self.ahead = 0
        # Up to which sequence `ahead` counts, and what had been discarded then; -1: it is to be counted anew.
        self._counted = -1
        self._discarded = 0
        self._is_counting = False

    # What is left.

    def forget(self) -> None:
        """What is wanted has changed, or something of the supply was not taken."""
        self.supply.clear()
        self.supply.selection = self._consumer.selection
        self._old.clear()
        self._position = self._consumer.state.next
        self.doubt()

    def doubt(self) -> None:
        """Messages have gone that were counted."""
        self._counted = -1
        self.supply.has_gaps = True

    def refresh(self) -> None:
        """Count what has come since, as far as that can be done at once."""
        stored, state, selection = self._stored, self._consumer.state, self._consumer.selection
        self.supply.first = stored.first
        if stored.first > state.next or self._gone() != self._discarded:
            self.doubt()
        if state.only and state.next <= state.only_until:
            left = state.count_chosen()
            if left <= FEW_CHOSEN:  # It is known of each whether it is there still.
                left = sum(map(stored.is_there, state.only_in_order[-left:] if left else ()))
            self.ahead = left + stored.count_from(max(state.only_until + 1, state.next))
            self._counted = -1
        elif selection.wanted is None:
            if self._counted < 0:
                self._set(stored.count_from(state.next), stored.committed)
            elif self._counted < stored.committed:
                self._add_new(stored.count_from(self._counted + 1))
        elif self._counted < 0:
            few = not selection.patterns or (stored.subjects is not None and len(stored.subjects) <= FEW_SUBJECTS)
            known = selection.count_by_subject(stored, state.next) if few else None
            if known is None:
                self._count_soon()
                return
            self._set(known, stored.last)
        elif self._counted < stored.committed:
            new = stored.recent(self._counted + 1, EVERYTHING)
            if new is None:
                self._count_soon()
                return
            self._add_new(count_in(new, selection, self._counted + 1, stored.committed))

    async def recount(self) -> None:
        """Know how many are left."""
        self.refresh()
        state, selection = self._consumer.state, self._consumer.selection
        if selection.wanted is None or (state.only and state.next <= state.only_until):
            return
        while self._counted < 0 and not self._consumer.is_closed:
            first, last = state.next, self._stored.committed
            count = await selection.count(self._stored, first)
            if state.next == first:
                self._set(count, max(last, first - 1))
                return
            self.refresh()

    def _set(self, ahead: int, counted: int) -> None:
        self.ahead, self._counted, self._discarded = ahead, counted, self._gone()

    def _gone(self) -> int:
        """Counts what goes from the middle without a word to consumers."""
        stored = self._stored
        return stored.lost + stored.discarded if stored.limits.is_exact else stored.lost

    def _add_new(self, count: int) -> None:
        """So many wanted messages have come since the last count."""
        self._set(self.ahead + count, self._stored.committed)

    def _count_soon(self) -> None:
        if not self._is_counting:
            self._is_counting = True
            self.doubt()
            self._consumer.home.spawn(self._count)

    async def _count(self) -> None:
        try:
            await self.recount()
        finally:
            self._is_counting = False

    # What is next.

    def look(self) -> bool:
        """Have the next message that is to be delivered for the first time in the supply. False where there is none
        now; where it must be read first, the consumer is kicked when it is here.
        """
        self.has_more = False
        if self.is_reading:
            return False
        for _ in range(LOOKS_AT_ONCE):
            if self.supply.look():
                return True
            if not self._fill():
                return False
        self.has_more = True
        return False

    def delivered(self, count: int) -> None:
        """So many messages of the supply have been handed over."""
        self.ahead = max(self.ahead - count, 0)

    def next_again(self) -> StoredMessage | None:
        """The next message to be delivered once more. None where there is none, or where it must be read first."""
        state = self._consumer.state
        while state.again and not self.is_reading:
            sequence = next(iter(state.again))
            if sequence not in state.pending or not self._stored.is_there(sequence):
                del state.again[sequence]
                state.settle(sequence)
                continue
            known = self._old.pop(sequence, None)
            if known is not None:
                return known
            found = self._stored.peek(sequence, 1, 1)
            if found is None:
                self._read_soon(self._read_old)
            elif found.messages and found.messages[0].sequence == sequence:
                return found.messages[0]
            else:
                del state.again[sequence]
        return None

    def put_back(self, message: StoredMessage) -> None:
        """Nobody took a message that was to be delivered once more."""
        self._old[message.sequence] = message

    def _fill(self) -> bool:
        """Have more messages in the supply, which is empty; False where there are none now."""
        stored, supply = self._stored, self.supply
        self._position = max(self._position, self._consumer.state.next, stored.first)
        if self._position > stored.committed:
            return False
        supply.has_gaps = not stored.contents.gapless
        found = stored.recent(self._position, BYTES_AT_ONCE)
        if found is None:
            self._read_soon(self._read_new)
            return False
        supply.add_chunks(found, self._position)
        self._position = found[-1].last + 1 if found else stored.committed + 1
        return True

    def _read_soon(self, read: Callable[[], Awaitable[None]]) -> None:
        self.is_reading = True
        self._consumer.home.spawn(lambda: self._read_with(read))

    async def _read_with(self, read: Callable[[], Awaitable[None]]) -> None:
        """Read from the disk what is next, and go on."""
        try:
            await read()
        except StorageError as error:
            log.warning("event=consumer-waits consumer=%s reason=%r", self._consumer.path.decode(), str(error))
            await trio.sleep(RETRY_SECONDS)
        finally:
            self.is_reading = False
        self._consumer.kick()
        self._consumer.home.flush()

    async def _read_new(self) -> None:
        position = self._position
        found, end = await self._stored.read_chunks(position, BYTES_AT_ONCE)
        if position == self._position:
            self.supply.has_gaps = not self._stored.contents.gapless
            self.supply.add_chunks(found, position)
            self._position = end

    async def _read_old(self) -> None:
        again = self._consumer.state.again
        first = next(iter(again))
        found = await self._stored.read(first, MESSAGES_AT_ONCE, BYTES_AT_ONCE)
        self._old = {one.sequence: one for one in found.messages if one.sequence in again}
        if first not in self._old:
            again.pop(first, None)
