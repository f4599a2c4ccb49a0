"""The API: requests on `$JS.API.>` and `$JS.<domain>.API.>`, answered one behind the other for each account.

Asking for messages and reading them directly is no matter of the queue: that is done at once.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from gateway.dataplane.port import Port
from gateway.streams import errors
from gateway.streams.api_receiver import DIRECT, ApiReceiver
from gateway.streams.consumer_requests import ConsumerRequests
from gateway.streams.direct_get import NOT_FOUND, DirectGets
from gateway.streams.errors import ApiError
from gateway.streams.history import NOT_YET, History
from gateway.streams.prompt_gets import PromptGets
from gateway.streams.snapshot_requests import SnapshotRequests
from gateway.streams.sourcing import check_demands, identity_header
from gateway.streams.stream_requests import StreamRequests
from gateway.streams.times import NO_TIME
from protocols.message import Message, readdressed

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams

log = logging.getLogger("leafgate.streams")

PREFIX = b"$JS.API."
TYPE = "io.nats.jetstream.api.v1."
# Requests of one account that wait for their turn.
MOST_WAITING = 1024
NEXT = b"CONSUMER.MSG.NEXT."
# In a domain's own form, what is published for its key-value and object stores.
THROUGH = (b"$KV.", b"$O.")

# What only servers in a cluster do: the number of tokens that follow, and the kind of the answer.
OF_CLUSTERS = {
    b"STREAM.LEADER.STEPDOWN": (1, "stream_leader_stepdown"),
    b"STREAM.PEER.REMOVE": (1, "stream_remove_peer"),
    b"STREAM.PEER.EVACUATE": (1, "stream_evacuate_peer"),
    b"STREAM.CANCEL_MOVE": (1, "stream_cancel_move"),
    b"CONSUMER.LEADER.STEPDOWN": (2, "consumer_leader_stepdown"),
    b"CONSUMER.PEER.REMOVE": (2, "consumer_remove_peer"),
    b"CONSUMER.PEER.EVACUATE": (2, "consumer_evacuate_peer"),
}

Handler = Callable[[list[bytes], bytes], Awaitable[dict[str, object]]]


class Request:
    """One that waits: the handler, the kind of its answer, and what it is given."""

    __slots__ = ("asked", "asker", "handler", "header", "kind", "payload", "reply", "tokens")

    def __init__(
        self, handler: Handler, kind: str, asked: bytes, tokens: list[bytes], message: Message, asker: Port
    ) -> None:
        self.handler = handler
        self.asked = asked
        self.header = message.header() if message.header_size else b""
        self.kind = kind
        self.tokens = tokens
        self.payload = message.payload()
        self.reply = message.reply
        self.asker = asker


class Api:
    """That of one account."""

    def __init__(self, home: "AccountStreams") -> None:
        self._home = home
        self._streams = StreamRequests(home)
        self._consumers = ConsumerRequests(home, self._streams)
        self._direct = DirectGets(home)
        self._waiting: deque[Request] = deque()
        self._is_working = False
        streams, consumers = self._streams, self._consumers
        snapshots = SnapshotRequests(home, streams)
        # By the subject behind the prefix: the number of tokens that follow (None: two or more), and the handler.
        self._handlers: dict[bytes, tuple[int | None, str, Handler]] = {
            b"INFO": (0, "account_info", streams.account_info),
            b"STREAM.CREATE": (1, "stream_create", streams.create),
            b"STREAM.UPDATE": (1, "stream_update", streams.update),
            b"STREAM.INFO": (1, "stream_info", streams.info),
            b"STREAM.NAMES": (0, "stream_names", streams.named),
            b"STREAM.LIST": (0, "stream_list", streams.listed),
            b"STREAM.DELETE": (1, "stream_delete", streams.delete),
            b"STREAM.PURGE": (1, "stream_purge", streams.purge),
            b"STREAM.MSG.GET": (1, "stream_msg_get", streams.get_message),
            b"STREAM.MSG.DELETE": (1, "stream_msg_delete", streams.delete_message),
            b"STREAM.SNAPSHOT": (1, "stream_snapshot", snapshots.snapshot),
            b"STREAM.RESTORE": (1, "stream_restore", snapshots.restore),
            b"CONSUMER.CREATE": (None, "consumer_create", consumers.create),
            b"CONSUMER.DURABLE.CREATE": (2, "consumer_create", consumers.create_durable),
            b"CONSUMER.INFO": (2, "consumer_info", consumers.info),
            b"CONSUMER.NAMES": (1, "consumer_names", consumers.named),
            b"CONSUMER.LIST": (1, "consumer_list", consumers.listed),
            b"CONSUMER.DELETE": (2, "consumer_delete", consumers.delete),
            b"CONSUMER.PAUSE": (2, "consumer_pause", consumers.pause),
            b"CONSUMER.UNPIN": (2, "consumer_unpin", consumers.unpin),
            b"CONSUMER.RESET": (2, "consumer_reset", consumers.reset),
        }
        for subject, (count, kind) in OF_CLUSTERS.items():
            self._handlers[subject] = count, kind, refuse_without_cluster

    def open(self) -> None:
        """Answer from now on. Hubs are told of the form with the domain."""
        router = self._home.account.router
        home = self._home
        waiting = home.runtime.in_order.waiting
        gets = PromptGets(router, home.port, home.streams, waiting, home.go_on_with, self._go_on_with_get)
        router.subscribe(ApiReceiver(PREFIX, self, gets, True))
        router.subscribe(History(home))
        if home.domain:
            router.subscribe(ApiReceiver(b"$JS.%b.API." % home.domain.encode(), self, gets, False))

    def take(self, asked: bytes, message: Message, source: Port) -> bool:
        """A request; False where it is none of the API's."""
        if asked.startswith(THROUGH):
            # As if it had come without the domain.
            self._home.account.publish(readdressed(message, asked), source)
            return True
        if asked.startswith(DIRECT):
            name = asked[len(DIRECT) :].partition(b".")[0]
            return self._once_open(name, message, source, partial(self._get_directly, asked[len(DIRECT) :]))
        if not message.reply:
            return False
        if asked.startswith(NEXT):
            tokens = asked[len(NEXT) :].split(b".")
            return self._once_open(tokens[0], message, source, partial(self._ask_next, tokens))
        self._queue(asked, message, source)
        # `$JS.API.>` has somebody who listens, whatever is asked.
        return True

    def _once_open(self, name: bytes, message: Message, source: Port, do: Callable[[Message, Port], bool]) -> bool:
        """Do something with a request about a stream: once that is open, if it soon is."""
        unopened = self._home.unopened.get(name.decode("utf-8", "replace"))
        if unopened is None or not message.reply:
            return do(message, source)

        def refuse() -> None:
            self._home.answer(message.reply, b"", source, NOT_YET)

        def now() -> None:
            if not do(message, source):
                refuse()

        unopened.ask(now, refuse)
        return True

    def _go_on_with_get(self, asked: bytes, message: Message, source: Port) -> None:
        """A direct get that was taken already."""
        if not self._get_directly(asked, message, source):  # Its stream is gone.
            self._home.answer(message.reply, b"", source, NOT_FOUND)

    def _get_directly(self, asked: bytes, message: Message, source: Port) -> bool:
        name, _, subject = asked.partition(b".")
        stream = self._home.readable(name.decode("utf-8", "replace"))
        if stream is None or not message.reply:
            return False
        self._direct.get(stream, subject, message.payload(), message.reply, source)
        return True

    def _ask_next(self, tokens: list[bytes], message: Message, source: Port) -> bool:
        """Nobody answers for a consumer that is not there."""
        if len(tokens) != 2:
            return False
        stream = self._home.streams.get(tokens[0].decode("utf-8", "replace"))
        consumer = stream.consumers.get(tokens[1].decode("utf-8", "replace")) if stream is not None else None
        if consumer is None:
            return False
        consumer.ask(message.payload(), message.reply, source)
        return True

    def _queue(self, asked: bytes, message: Message, source: Port) -> None:
        tokens = asked.split(b".")
        for length in (3, 2, 1):
            found = self._handlers.get(b".".join(tokens[:length])) if length <= len(tokens) else None
            if found is None:
                continue
            count, kind, handler = found
            rest = tokens[length:]
            if (count is None and rest) or count == len(rest):
                self._home.requests += 1
                request = Request(handler, kind, asked, rest, message, source)
                unopened = self._home.unopened.get(rest[0].decode("utf-8", "replace")) if rest else None
                if unopened is None:
                    self._add(request)
                else:
                    unopened.ask(partial(self._add, request), partial(self._answer_not_yet, request))
            return

    def _answer_not_yet(self, request: Request) -> None:
        self._home.faults += 1
        self._answer(request, {"error": errors.NOT_YET.told()} | pages_of(request.kind))

    def _add(self, request: Request) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._home.faults += 1
            self._answer(request, {"error": errors.TOO_MANY_REQUESTS.told()})
            return
        self._waiting.append(request)
        if not self._is_working:
            self._is_working = True
            self._home.spawn(self._work)

    async def _work(self) -> None:
        """Answer what waits, in its order."""
        try:
            await self._work_off()
        finally:
            self._is_working = False

    async def _work_off(self) -> None:
        while self._waiting:
            request = self._waiting.popleft()
            try:
                if request.header:
                    check_demands(self._home, request.asked, request.header)
                told = await request.handler(request.tokens, request.payload)
            except ApiError as error:
                self._home.faults += 1
                told = {"error": error.fault.told()} | pages_of(request.kind)
            except Exception:
                log.exception("event=api-request-failed kind=%s", request.kind)
                self._home.faults += 1
                told = {"error": errors.INSUFFICIENT_RESOURCES.told()}
            self._answer(request, told)
            self._home.flush()

    def _answer(self, request: Request, told: dict[str, object]) -> None:
        payload = msgspec.json.encode({"type": f"{TYPE}{request.kind}_response"} | told)
        header = identity_header(self._home, told) if request.kind == "consumer_create" else b""
        self._home.answer(request.reply, payload, request.asker, header)


async def refuse_without_cluster(tokens: list[bytes], payload: bytes) -> dict[str, object]:
    raise ApiError(errors.NO_CLUSTER)


def pages_of(kind: str) -> dict[str, object]:
    """What an answer with pages has besides its fault."""
    pages: dict[str, object] = {"total": 0, "offset": 0, "limit": 0}
    if kind == "stream_purge":
        return {"purged": 0}
    if kind == "stream_restore":
        return {"deliver_subject": ""}
    if kind == "consumer_reset":
        return {"reset_seq": 0}
    if kind == "consumer_pause":
        return {"paused": False, "pause_until": NO_TIME}
    lists = {"consumer_names": "consumers", "consumer_list": "consumers", "stream_list": "streams"}
    if kind in lists:
        return pages | {lists[kind]: []}
    if kind == "stream_names":
        return pages | {"streams": None}
    return pages if kind == "stream_info" else {}
