"""Direct gets over a link: requests that read a message of a stream at the hub, without asking its JetStream API.

A hub drops such a request for a stream that it has not, where its own clients hear that there are no responders: it
tells leafnodes nothing of who answers. So the hub is asked for the stream, too, and who requested hears what its
clients hear.
"""

from collections.abc import Callable

import msgspec
import trio

from gateway.dataplane.nats_receivers import LeafPort, LeafRoute
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import Router
from gateway.runtime.identity import new_token
from protocols import foreign_json
from protocols.message import Message

PREFIX = b"$JS.API.DIRECT.GET."
INFO_PREFIX = b"$JS.API.STREAM.INFO."
# A stream that was there is not asked for again for so long.
FRESH_SECONDS = 5.0
# Streams that are remembered, and requests that wait for an answer.
MOST_STREAMS = 1024
MOST_WAITING = 4096


class _Config(msgspec.Struct):
    allow_direct: bool = False
    mirror_direct: bool = False


class _StreamInfo(msgspec.Struct):
    config: _Config | None = None
    error: object = None


_decoder = foreign_json.Decoder(_StreamInfo)


class StreamInquiry(Receiver):
    """Asks one hub for streams, and hears its answers. `permit` says whether a request may go there."""

    __slots__ = ("_link", "_permit", "_prefix", "_router", "_seen", "_waiting", "_waits")

    def __init__(self, link: LeafPort, router: Router, permit: Callable[[bytes], bool]) -> None:
        self._prefix = b"_INBOX.%b." % new_token().encode()
        super().__init__(Port(None), self._prefix + b"*", b"")
        self._link = link
        self._router = router
        self._permit = permit
        self._seen: dict[bytes, float] = {}
        # Requests by stream: each is asked for once.
        self._waiting: dict[bytes, list[tuple[Message, Port]]] = {}
        self._waits = 0

    def end(self) -> None:
        self._router.unsubscribe(self)
        self._waiting.clear()
        self._waits = 0

    def look(self, message: Message, source: Port) -> None:
        """A request has gone to the hub; its source hears when there is no such stream."""
        stream = message.subject[len(PREFIX) :].partition(b".")[0]
        question = INFO_PREFIX + stream
        seen = self._seen.get(stream)
        if seen is not None and trio.current_time() - seen < FRESH_SECONDS:
            return
        if self._waits >= MOST_WAITING or not self._permit(question):
            return
        self._waits += 1
        others = self._waiting.get(stream)
        if others is not None:
            others.append((message, source))
            return
        self._waiting[stream] = [(message, source)]
        if self.slot < 0:
            self._router.subscribe(self)
        if self._link.backlog:
            self._link.tell_before(self._prefix + stream)
        outbox = self._link.outbox
        assert outbox is not None
        outbox.write(b"LMSG %b %b%b 0\r\n\r\n" % (question, self._prefix, stream))

    def deliver(self, message: Message, source: Port) -> bool:
        stream = message.subject[len(self._prefix) :]
        # Whoever listens to all inboxes knows the subject; it is only the hub that answers.
        requests = self._waiting.pop(stream, None) if source is self._link else None
        if requests is None:
            return False
        self._waits -= len(requests)
        if is_readable(message.payload()):
            if len(self._seen) >= MOST_STREAMS:
                self._seen.clear()
            self._seen[stream] = trio.current_time()
            return True
        self._seen.pop(stream, None)
        for request, requester in requests:
            requester.undelivered(request)
        return True


class DirectGetRoute(LeafRoute):
    """A route for direct gets."""

    __slots__ = ("_inquiry",)

    def __init__(
        self,
        inquiry: StreamInquiry,
        port: LeafPort,
        subject: bytes,
        queues: tuple[bytes, ...],
        plain: bool,
        max_payload: int,
        permitted: bool,
    ) -> None:
        super().__init__(port, subject, queues, plain, max_payload, permitted)
        self._inquiry = inquiry

    def deliver(self, message: Message, source: Port) -> bool:
        taken = super().deliver(message, source)
        if taken and message.reply:
            self._inquiry.look(message, source)
        return taken


def is_readable(answer: bytes) -> bool:
    """Whether a hub's answer tells of a stream with direct gets. What cannot be read says nothing against it."""
    try:
        info = _decoder.decode(answer)
    except msgspec.DecodeError:
        return True
    if info.config is None:
        return info.error is None
    return info.config.allow_direct or info.config.mirror_direct
