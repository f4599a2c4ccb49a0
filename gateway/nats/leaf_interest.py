"""Interest on its way to a hub: told in slices as the hub takes them, so that no amount of it fills the outbox.

No interest is summed up in a wildcard: a consumer that pushes wakes only on its own deliver subject. A message does not
overtake the interest that its reply needs; of what else waits it does.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable

import trio

from gateway.dataplane.nats_receivers import LeafPort
from gateway.dataplane.outbox import CONGESTED_AT
from gateway.dataplane.router import Router
from gateway.transport.connection import Connection
from protocols.close_reason import CloseReason
from protocols.leafnode import spoke

log = logging.getLogger("leafgate.uplink")

# Lines that are written before others have their turn.
SLICE = 1000
# Where the outbox is so small that nobody tells when it has room, it is looked at this often.
PAUSE_SECONDS = 0.01
# What is remembered of refusals.
REFUSED_BYTES = 1 << 20

Key = tuple[bytes, bytes]


class InterestFeed:
    """What one hub is told of the interest here. `permit` says which (subject, queue group) it takes.

    `LeafPort.backlog` is set while something waits.
    """

    __slots__ = ("_connection", "_permit", "_port", "_room", "_router", "_running", "_told", "_waiting")

    def __init__(
        self, port: LeafPort, connection: Connection, router: Router, permit: Callable[[bytes, bytes], bool]
    ) -> None:
        self._port = port
        self._connection = connection
        self._router = router
        self._permit = permit
        self._told: set[Key] = set()
        # Number of local receivers, 0 for interest that ended.
        self._waiting: OrderedDict[Key, int] = OrderedDict()
        self._room = min(CONGESTED_AT, connection.outbox.limit // 4)
        self._running = False

    def begin(self) -> None:
        """Tell all that there is."""
        self._queue(self._router.local_interest())

    def permissions_changed(self) -> None:
        """Take back what the hub no longer takes, and tell what it now does."""
        self._queue((*key, 0) for key in self._told if not self._permit(*key))
        self._queue(one for one in self._router.local_interest() if one[:2] not in self._told)

    def change(self, subject: bytes, queue: bytes, count: int) -> None:
        """Plain interest is told when it begins and ends, that of queue groups with every change of weight."""
        key = (subject, queue)
        if key in self._waiting or self._is_full():
            self._queue(((subject, queue, count),))
        else:
            self._tell(key, count)

    def tell_before(self, reply: bytes) -> None:
        """Tell at once the interest that a message with this reply subject must not overtake."""
        for interest in self._router.tree.match(reply):
            for queue in (b"", *(interest.groups or ())):
                count = self._waiting.pop((interest.subject, queue), None)
                if count is not None:
                    self._tell((interest.subject, queue), count)
        self._port.backlog = bool(self._waiting)

    def end(self) -> None:
        self._waiting.clear()
        self._port.backlog = False

    def _queue(self, changes: Iterable[tuple[bytes, bytes, int]]) -> None:
        waiting = self._waiting
        for subject, queue, count in changes:
            key = (subject, queue)
            if count or key in self._told:
                waiting[key] = count
            else:
                waiting.pop(key, None)
        if not self._running:
            self._write_slice()
            if waiting:
                self._running = True
                self._connection.runtime.spawn(self._run)

    async def _run(self) -> None:
        connection = self._connection
        try:
            while self._waiting and connection.close_reason is None:
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
        waiting = self._waiting
        written = 0
        while waiting and written < SLICE and not self._is_full():
            self._tell(*waiting.popitem(last=False))
            written += 1
        self._port.backlog = bool(waiting)

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
            # The loop subject is the link's own word: a client that gave it up would end our watch for loops.
            if (told and not queue) or subject.startswith(spoke.LOOP_PREFIX) or not self._permit(subject, queue):
                return
            self._told.add(key)
        self._connection.outbox.write(spoke.encode_interest(subject, queue, count))


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
