"""Interest on its way over a link: told in slices as the peer takes them, so that no amount of it fills the outbox.

No interest is summed up in a wildcard: a consumer that pushes wakes only on its own deliver subject. A message does not
overtake the interest that its reply needs; of what else waits it does.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import chain

import trio

from gateway.dataplane.nats_receivers import LeafPort
from gateway.dataplane.outbox import CONGESTED_AT
from gateway.dataplane.router import Router
from gateway.dataplane.subject_tree import Interest
from gateway.dataplane.transit import queues_of, told_count, told_interest
from gateway.runtime.turns import TURN_SECONDS
from gateway.transport.connection import Connection
from protocols.close_reason import CloseReason
from protocols.leafnode import spoke
from protocols.leafnode.link import encode_interest

log = logging.getLogger("leafgate.uplink")

# So many changes are looked at between two looks at the clock; so many lines at most go in front of one message.
SLICE = 64
MOST_BEFORE_A_MESSAGE = 256
# Where the outbox is so small that nobody tells when it has room, it is looked at this often.
PAUSE_SECONDS = 0.01
# What is remembered of refusals.
REFUSED_BYTES = 1 << 20

Key = tuple[bytes, bytes]
# With how many receivers there are.
Change = tuple[bytes, bytes, int]


class InterestFeed:
    """What the other end of a link is told of the interest here. `permit` says which (subject, queue group) it takes.

    `LeafPort.backlog` is set while something waits.
    """

    __slots__ = ("_connection", "_permit", "_port", "_rest", "_room", "_router", "_running", "_told", "_waiting")

    def __init__(
        self, port: LeafPort, connection: Connection, router: Router, permit: Callable[[bytes, bytes], bool]
    ) -> None:
        self._port = port
        self._connection = connection
        self._router = router
        self._permit = permit
        self._told: set[Key] = set()
        # Number of receivers, 0 for interest that ended.
        self._waiting: OrderedDict[Key, int] = OrderedDict()
        # What has not been looked at yet.
        self._rest: Iterator[Change | None] | None = None
        self._room = min(CONGESTED_AT, connection.outbox.limit // 4)
        self._running = False

    def begin(self) -> None:
        """Tell all that there is."""
        self._look_through(told_interest(self._router.tree, self._port))

    def permissions_changed(self) -> None:
        """Take back what the other end no longer takes, and tell what it now does."""
        taken_back = (None if self._permit(*key) else (*key, 0) for key in list(self._told))
        self._look_through(chain(taken_back, told_interest(self._router.tree, self._port)))

    def change(self, subject: bytes, queue: bytes, count: int) -> None:
        """Plain interest is told when it begins and ends, that of queue groups with every change of weight."""
        key = (subject, queue)
        if key in self._waiting or self._is_full():
            self._queue(key, count)
            self._start()
        else:
            self._tell(key, count)

    def tell_before(self, reply: bytes) -> None:
        """Tell at once the interest that a message with this reply subject must not overtake."""
        found: list[Interest] = []
        # Who makes the way to a reply so long that it is not gone to its end here does so on purpose.
        self._router.tree.find(reply, found)
        left = MOST_BEFORE_A_MESSAGE
        for interest in found:
            for queue in queues_of(interest):
                left -= 1
                key = (interest.subject, queue)
                count = self._waiting.pop(key, None)
                if count is None and self._rest is not None and key not in self._told:
                    count = told_count(interest, queue, self._port)
                if count is not None:
                    self._tell(key, count)
                if left <= 0:
                    return
        self._port.backlog = self._has_more()

    def end(self) -> None:
        self._waiting.clear()
        self._rest = None
        self._port.backlog = False

    def _has_more(self) -> bool:
        return bool(self._waiting) or self._rest is not None

    def _look_through(self, changes: "Iterator[Change | None]") -> None:
        """Tell of what comes here, from the beginning on, in place of what was left of an earlier look."""
        self._rest = changes
        self._start()

    def _queue(self, key: Key, count: int) -> None:
        if count or key in self._told:
            self._waiting[key] = count
        else:
            self._waiting.pop(key, None)

    def _start(self) -> None:
        if not self._running:
            self._write_slice()
            if self._has_more():
                self._running = True
                self._connection.runtime.spawn(self._run)

    async def _run(self) -> None:
        connection = self._connection
        try:
            while self._has_more() and connection.close_reason is None:
                connection.runtime.switch.flush()
                if self._room < CONGESTED_AT and self._is_full():
                    await trio.sleep(PAUSE_SECONDS)
                else:
                    await trio.lowlevel.checkpoint()
                    await connection.relieved()
                self._write_slice()
            connection.runtime.switch.flush()
        except Exception:
            log.exception("cid=%d event=interest-failed", connection.cid)
            connection.close(CloseReason.INTERNAL_ERROR)
        finally:
            self._running = False

    def _write_slice(self) -> None:
        """Write for a turn, as long as the other end takes it."""
        clock = self._connection.runtime.turns.clock
        until = clock() + TURN_SECONDS
        waiting = self._waiting
        looked = 0
        while not self._is_full() and (waiting or self._look_on()):
            if waiting:
                self._tell(*waiting.popitem(last=False))
            looked += 1
            if looked % SLICE == 0 and clock() > until:
                break
        self._port.backlog = self._has_more()

    def _look_on(self) -> bool:
        """Look at the next change; whether there was one."""
        if self._rest is None:
            return False
        for change in self._rest:
            if change is not None and change[:2] not in self._waiting:
                self._queue(change[:2], change[2])
            return True
        self._rest = None
        return False

    def _is_full(self) -> bool:
        return self._connection.outbox.pending() > self._room

    def _tell(self, key: Key, count: int) -> None:
        subject, queue = key
        told = key in self._told
        if count == 0:
            if not told:
                return
            self._told.discard(key)
        else:
            if (told and not queue) or not self._permit(subject, queue):
                return
            self._told.add(key)
        self._connection.outbox.write(encode_interest(subject, queue, count))


class RefusedInterest:
    """Subjects that a hub refused though it had not said that it would. It closes the link over each, so they are not
    told again while the hub's terms are the same.
    """

    __slots__ = ("_bytes", "_subjects", "_terms")

    def __init__(self) -> None:
        self._subjects: dict[bytes, None] = {}
        self._bytes = 0
        self._terms: object = None

    def __len__(self) -> int:
        return len(self._subjects)

    def __contains__(self, subject: bytes) -> bool:
        return subject in self._subjects

    def begin(self, info: spoke.HubInfo) -> None:
        """A hub says what holds: on other terms than before it may take what was refused."""
        terms = (info.remote_account, info.may_receive)
        if terms != self._terms:
            self._terms = terms
            self._subjects.clear()
            self._bytes = 0

    def add(self, subject: bytes) -> bool:
        """False for one that is known. The oldest make room."""
        if subject in self._subjects:
            return False
        self._subjects[subject] = None
        self._bytes += len(subject)
        while self._bytes > REFUSED_BYTES and len(self._subjects) > 1:
            oldest = next(iter(self._subjects))
            del self._subjects[oldest]
            self._bytes -= len(oldest)
        return True
