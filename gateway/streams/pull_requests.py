"""Pull requests: those that wait at a consumer, and whose turn it is."""

import heapq
from collections import Counter, OrderedDict
from itertools import islice

import msgspec

from gateway.dataplane.port import Port
from gateway.streams.message_headers import status
from gateway.streams.priorities import Priorities
from gateway.streams.pull_request import FOREVER, PullRequest, parse
from gateway.streams.roles import Delivering, Share
from gateway.streams.times import duration_text

PENDING_MESSAGES, PENDING_BYTES = "Nats-Pending-Messages", "Nats-Pending-Bytes"
NO_BOUND = 1 << 40
# How many are answered, or looked at, in one go.
AT_ONCE = 64
LOOKED_FOR_AT_ONCE = 512


class PullRequests:
    """Those of one consumer: served in turn, a message each. There may be very many: whatever concerns them all is done
    for some of them at a time, and says whether there are more.
    """

    def __init__(self, consumer: Delivering) -> None:
        self._consumer = consumer
        self.priorities = Priorities(consumer)
        self._waiting: OrderedDict[PullRequest, None] = OrderedDict()
        # Those of them that have begun and do not wait for more than there is.
        self._impatient: OrderedDict[PullRequest, None] = OrderedDict()
        # When to look at which: at each no later than it is due. A number tells those of one time apart.
        self._due: list[tuple[float, int, PullRequest]] = []
        self._numbers = 0
        # How many messages are asked for, by how many with a bound in bytes, and how often in which places.
        self._wanted = 0
        self._bounded = 0
        self._places: Counter[tuple[bytes, Port]] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def ask(self, payload: bytes, reply: bytes, asker: Port, now: float) -> float | None:
        """Take a request; returns when `expire` is to be called for it, None where it was answered at once."""
        config = self._consumer.config
        try:
            asked = parse(payload)
        except (msgspec.DecodeError, ValueError) as error:
            self._refuse(reply, asker, f"400 Bad Request - {error}")
            return None
        if 0 < config.max_batch < asked.batch:
            self._refuse(reply, asker, f"409 Exceeded MaxRequestBatch of {config.max_batch}")
            return None
        if 0 < config.max_expires < asked.expires:
            self._refuse(reply, asker, f"409 Exceeded MaxRequestExpires of {duration_text(config.max_expires)}")
            return None
        if 0 < config.max_bytes < asked.max_bytes:
            self._refuse(reply, asker, f"409 Exceeded MaxRequestMaxBytes of {config.max_bytes}")
            return None
        if asked.idle_heartbeat and asked.idle_heartbeat * 2 > asked.expires:
            self._refuse(reply, asker, "400 Bad Request - heartbeat value too large")
            return None
        refusal = self.priorities.refusal(asked, now) if asked.is_formal else ""
        if refusal:
            self._refuse(reply, asker, refusal)
            return None
        if asked.no_wait:
            there = self._consumer.available()
            if not there and asked.expires <= 0:
                self._refuse(reply, asker, "404 No Messages")
                return None
            if 0 < there < self._wanted:
                self._refuse(reply, asker, "408 Requests Pending")
                return None
        if len(self._waiting) >= config.max_waiting:
            self.expire(now)
            self._forget_absent()
            if len(self._waiting) >= config.max_waiting:
                if not asked.idle_heartbeat:  # Another would ask again at once.
                    self._refuse(reply, asker, "409 Exceeded MaxWaiting")
                return None
        request = PullRequest(asked, reply, asker, now)
        self._waiting[request] = None
        self._wanted += request.left
        self._bounded += request.bounded
        self._places[reply, asker] += 1
        if request.no_wait and request.is_begun:
            self._impatient[request] = None
        self._look_at(request)
        return request.due_at

    def share(self, now: float) -> Share | None:
        """What may go out now to whose turn it is, who then stands first; None where it is nobody's. Where all who wait
        are one client that hears the answers in one place, that is as much as they ask for together; else they take
        turns.
        """
        if self.priorities.policy:
            chosen = self.priorities.next(self._waiting, now, self._end)
            if chosen is None:
                return None
            request, most = chosen, 1
        else:
            request = next(iter(self._waiting))
            if len(self._waiting) == 1:
                most = request.left
            else:
                most = self._wanted if len(self._places) == 1 and not self._bounded else 1
        room = request.bytes_left if request.bounded else NO_BOUND
        return Share(max(most, 1), room, request.bounded, request.reply, request.asker)

    def served(self, messages: int, size: int, now: float) -> None:
        """A share was taken: so many messages, of so many bytes together, with their subjects."""
        for _ in range(messages):
            request = next(iter(self._waiting))
            count = messages if len(self._waiting) == 1 else 1
            request.left -= count
            self._wanted -= count
            request.is_begun = True
            if request.no_wait:
                self._impatient[request] = None
            if request.bounded:
                request.bytes_left -= size
            if request.heartbeat:
                request.heartbeat_at = now + request.heartbeat
            if request.left <= 0:
                self._forget(request)
            else:
                self._waiting.move_to_end(request)
            if count == messages:
                break

    def too_large(self) -> None:
        """The next message is larger than what the one whose turn it is may still have."""
        self._end(next(iter(self._waiting)), "409 Message Size Exceeds MaxBytes")

    def gone(self) -> None:
        """The one whose turn it was is not there any more."""
        self._forget(next(iter(self._waiting)))

    def _forget(self, request: PullRequest) -> None:
        del self._waiting[request]
        self._impatient.pop(request, None)
        self._wanted -= request.left
        self._bounded -= request.bounded
        place = request.reply, request.asker
        self._places[place] -= 1
        if not self._places[place]:
            del self._places[place]
        request.is_over = True
        if (
            len(self._due) > 2 * len(self._waiting) + AT_ONCE
        ):  # What is over is not held for as long as it had asked for.
            self._due = [one for one in self._due if not one[2].is_over]
            heapq.heapify(self._due)

    def exhausted(self) -> bool:
        """There is nothing more to be had now: end those that do not wait, some of them; whether there are more."""
        for request in [*islice(self._impatient, AT_ONCE)]:
            self._forget(request)
            self._say(request.reply, request.asker, status("404 No Messages"))
        return bool(self._impatient)

    def expire(self, now: float) -> bool:
        """End those whose time is over, and tell the others that we are here; whether there are more to look at."""
        self.priorities.expire(now)
        for _ in range(AT_ONCE):
            if not self._due or self._due[0][0] > now:
                return False
            request = heapq.heappop(self._due)[2]
            if request.is_over:
                continue
            if request.expires_at <= now:
                self._end(request, "408 Request Timeout")
                continue
            if request.heartbeat_at <= now:
                request.heartbeat_at = now + request.heartbeat
                self._say(request.reply, request.asker, self._consumer.heartbeat())
            self._look_at(request)
        return True

    def next_at(self) -> float:
        """When `expire` is to be called."""
        return min(self._due[0][0] if self._due else FOREVER, self.priorities.pinned_until)

    def end_some(self, text: str) -> bool:
        """End some of all; whether there are more."""
        for request in [*islice(self._waiting, AT_ONCE)]:
            self._end(request, text)
        return bool(self._waiting)

    def _look_at(self, request: PullRequest) -> None:
        self._numbers += 1
        heapq.heappush(self._due, (request.due_at, self._numbers, request))

    def _forget_absent(self) -> None:
        """Make room of requests whose asker has gone, of those that have waited longest."""
        has_interest = self._consumer.home.has_interest
        for request in [*islice(self._waiting, LOOKED_FOR_AT_ONCE)]:
            if not has_interest(request.reply, b""):
                self._forget(request)

    def _end(self, request: PullRequest, text: str) -> None:
        self._forget(request)
        fields = (PENDING_MESSAGES, request.left), (PENDING_BYTES, request.bytes_left)
        self._say(request.reply, request.asker, status(text, *fields))

    def _refuse(self, reply: bytes, asker: Port, text: str) -> None:
        self._say(reply, asker, status(text))

    def _say(self, reply: bytes, asker: Port, header: bytes) -> None:
        self._consumer.home.answer(reply, b"", asker, header)
