"""Priorities: which of those who ask a consumer may have messages, where it has a priority policy."""

from collections import OrderedDict
from collections.abc import Callable

from gateway.runtime.identity import new_token
from gateway.streams.message_headers import PIN
from gateway.streams.pull_request import FOREVER, Asked, PullRequest
from gateway.streams.roles import Delivering
from gateway.streams.times import SECOND

MOST_PRIORITY = 9


class Priorities:
    """Those of one consumer. With `overflow` a request has its turn while as much waits, or is on its way, as it says;
    with `prioritized` those of the lowest number come first; with `pinned_client` one client has all, until it asks no
    more for `priority_timeout`.
    """

    def __init__(self, consumer: Delivering) -> None:
        self._consumer = consumer
        # What the pinned client is known by, "" where there is none; since when, and until when.
        self.pin = ""
        self.pinned_ns = 0
        self.pinned_until = FOREVER

    @property
    def policy(self) -> str:
        policy = self._consumer.config.priority_policy
        return "" if policy == "none" else policy

    @property
    def field(self) -> tuple[bytes, bytes] | None:
        """What messages tell the client that has them."""
        return (PIN, self.pin.encode()) if self.policy == "pinned_client" else None

    def refusal(self, asked: Asked, now: float) -> str:
        """Why a request is refused, as a status; "" where it is not."""
        policy, config = self.policy, self._consumer.config
        if (asked.min_pending or asked.min_ack_pending) and policy != "overflow":
            return "400 Bad Request - Not a Overflow Priority consumer"
        if asked.id and policy != "pinned_client":
            return "400 Bad Request - Not a Pinned Client Priority consumer"
        if not 0 <= asked.priority <= MOST_PRIORITY:
            return "400 Bad Request - Priority must be between 0 and 9"
        if not policy:
            return ""
        if not asked.group:
            return "400 Bad Request - Priority Group missing"
        if asked.group not in (config.priority_groups or ()):
            return "400 Bad Request - Invalid Priority Group"
        if self.pin and asked.id == self.pin:
            self.pinned_until = now + config.priority_timeout / SECOND
        elif self.pin and asked.id:
            return "423 Nats-Pin-Id mismatch"
        return ""

    def next(
        self, waiting: OrderedDict[PullRequest, None], now: float, end: Callable[[PullRequest, str], None]
    ) -> PullRequest | None:
        """Whose turn it is, who then stands first; None where it is nobody's. `end` ends a request with a status."""
        policy = self.policy
        if policy == "prioritized":
            request = min(waiting, key=priority_of)
            waiting.move_to_end(request, last=False)
            return request
        for _ in range(len(waiting)):
            request = next(iter(waiting))
            if policy == "overflow":
                if self._overflows(request):
                    return request
            elif self.pin and request.pin == self.pin:
                return request
            elif request.pin:
                end(request, "423 Nats-Wrong-Pin-Id")
                continue
            elif not self.pin:
                self._pin(request, now)
                return request
            waiting.move_to_end(request)
        return None

    def _overflows(self, request: PullRequest) -> bool:
        consumer = self._consumer
        if not (request.min_pending or request.min_ack_pending):
            return True
        if 0 < request.min_pending <= consumer.available() - len(consumer.state.again):
            return True
        return 0 < request.min_ack_pending <= len(consumer.state.pending)

    def _pin(self, request: PullRequest, now: float) -> None:
        if not request.group:
            return
        self.pin = request.pin = new_token()
        self.pinned_ns = self._consumer.stream.stored.store.wall_ns()
        self.pinned_until = now + self._consumer.config.priority_timeout / SECOND
        self._consumer.timer.wake_by(self.pinned_until)
        self._tell("pinned", request.group, pinned_id=self.pin)

    def unpin(self, group: str, reason: str) -> None:
        """Nobody is pinned any more."""
        self.pin, self.pinned_ns, self.pinned_until = "", 0, FOREVER
        self._tell("unpinned", group, reason=reason)

    def _tell(self, what: str, group: str, **fields: object) -> None:
        account = self._consumer.home.account.name
        self._consumer.tell(f"consumer_group_{what}", what.upper(), account=account, group=group, **fields)

    def expire(self, now: float) -> None:
        """See whether the pinned client has been silent for too long."""
        if self.pin and now >= self.pinned_until:
            self.unpin((self._consumer.config.priority_groups or [""])[0], "timeout")


def priority_of(request: PullRequest) -> int:
    return request.priority
