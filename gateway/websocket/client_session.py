"""WebSocket client session: our side of a WebSocket to a server, in front of the session that speaks inside it."""

import os
from collections.abc import Callable
from typing import ClassVar

import trio

from gateway.dataplane.port import Port
from gateway.runtime.deadlines import Deadline
from gateway.transport.connection import Connection
from gateway.transport.session import Session
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.websocket.client_codec import Accepted, WebSocketClientCodec
from protocols.websocket.close_codes import close_code
from protocols.websocket.control_frames import Closed


class WebSocketClientSession:
    """Asks for the upgrade; then `inner` goes on in the frames. The answer may take `seconds`; `subprotocol` is as in
    WebSocketClientCodec, and without one the server is asked whether it does without masks, as nats-server does.
    """

    is_client = False

    __slots__ = ("_codec", "_connection", "_deadline", "_inner", "_left", "_opened", "_seconds")

    def __init__(
        self,
        connection: Connection,
        inner: Session,
        host: str,
        target: str,
        seconds: float,
        subprotocol: bytes = b"",
    ) -> None:
        self._connection = connection
        self._inner = inner
        self._seconds = seconds
        self._codec = WebSocketClientCodec(
            host, target, os.urandom, offer_no_masking=not subprotocol, subprotocol=subprotocol
        )
        self._deadline: Deadline | None = None
        self._opened = False
        # Events that wait until the session inside has acted on what came before them.
        self._left: list[object] = []

    @property
    def kind(self) -> str:
        return f"{self._inner.kind}-websocket"

    @property
    def port(self) -> Port | None:
        return self._inner.port if self._opened else None

    @property
    def has_more(self) -> bool:
        return self._codec.has_more or bool(self._left) or self._inner.has_more

    def opened(self) -> None:
        deadlines = self._connection.runtime.deadlines
        self._deadline = deadlines.call_at(trio.current_time() + self._seconds, self._give_up)
        self._connection.outbox.write(self._codec.bytes_to_send())

    def receive(self, data: bytes) -> None:
        if self._inner.has_more:
            self._inner.receive(b"")
            return
        events, self._left = self._left or self._codec.receive(data), []
        for index, event in enumerate(events, 1):
            self._HANDLERS[type(event)](self, event)
            if self._connection.close_reason is not None:
                return
            if self._inner.has_more:
                self._left = events[index:]
                break
        self._connection.outbox.write_wire(self._codec.bytes_to_send())

    def unfinished_bytes(self) -> int:
        return self._inner.unfinished_bytes()

    def refuse_input(self, detail: str) -> None:
        self._inner.refuse_input(detail)

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return self._codec.bytes_to_send() + self._codec.encode_close(close_code(reason), reason.value)

    def closed(self, reason: CloseReason) -> None:
        self._connection.runtime.deadlines.cancel(self._deadline)
        self._inner.closed(reason)

    def announce_lame_duck(self) -> None:
        self._inner.announce_lame_duck()

    def settings_changed(self) -> None:
        self._inner.settings_changed()

    def describe(self) -> PeerSnapshot:
        return self._inner.describe()

    def _on_accepted(self, event: Accepted) -> None:
        self._connection.runtime.deadlines.cancel(self._deadline)
        self._connection.outbox.flush()  # What comes now is in frames.
        self._connection.outbox.encode = self._codec.encode
        self._opened = True
        self._inner.opened()

    def _on_bytes(self, data: bytes) -> None:
        self._inner.receive(data)

    def _on_closed(self, event: Closed) -> None:
        detail = f"the server closed the WebSocket with code {event.code}"
        self._connection.close(CloseReason.CLIENT_CLOSED, f"{detail}: {event.reason}" if event.reason else detail)

    def _on_violation(self, event: PeerViolation) -> None:
        self._connection.outbox.write_wire(event.farewell)
        self._connection.close(event.reason, event.detail)

    def _give_up(self, now: float) -> None:
        self._connection.close(CloseReason.AUTHENTICATION_TIMEOUT, "no answer to the WebSocket upgrade in time")

    _HANDLERS: ClassVar[dict[type, Callable[..., None]]] = {
        Accepted: _on_accepted,
        bytes: _on_bytes,
        Closed: _on_closed,
        PeerViolation: _on_violation,
    }
