"""A WebSocket on a wire, for links that speak inside it."""

import os
import time

from gateway.command.clients.link import ANSWER_SECONDS, ConnectionLostError, TlsFiles
from gateway.command.clients.strangers import ask_around, name_stranger
from gateway.command.clients.wire import Wire
from gateway.errors import ClientError
from gateway.settings.addresses import ServerUrl, join_address
from protocols.errors import PeerViolation
from protocols.websocket.client_codec import Accepted, WebSocketClientCodec
from protocols.websocket.control_frames import Closed

NORMAL_CLOSURE = 1000


class WebSocketWire:
    """See gateway.command.clients.wire.Stream. The upgrade is done when it is made; that raises ClientError."""

    def __init__(self, wire: Wire, url: ServerUrl, subprotocol: bytes) -> None:
        self._wire = wire
        self._url = url
        self._codec = WebSocketClientCodec(
            join_address(url.host, url.port),
            url.path or "/",
            os.urandom,
            offer_no_masking=not subprotocol,
            subprotocol=subprotocol,
        )
        self._kept = b""
        self._ended = False
        self._upgrade()

    def _upgrade(self) -> None:
        self._wire.send(self._codec.bytes_to_send())
        deadline = time.monotonic() + ANSWER_SECONDS
        first = b""
        while True:
            data = self._wire.receive(deadline)
            if not data:
                stranger = ask_around(self._url)
                if stranger:
                    raise ClientError(f"{self._url} does not speak WebSocket: {stranger}")
                text = "closed the connection" if data == b"" else f"did not answer within {ANSWER_SECONDS:g} s"
                raise ConnectionLostError(f"{self._url} {text}")
            first = first or data
            events = self._codec.receive(data)
            for event in events:
                if isinstance(event, PeerViolation):
                    stranger = name_stranger(first, self._url) if not first.startswith(b"HTTP/") else ""
                    raise ClientError(f"{self._url} does not speak WebSocket: {stranger or event.detail}")
            if any(isinstance(event, Accepted) for event in events):
                self._take(events)
                return

    def send(self, data: bytes) -> None:
        self._wire.send(self._codec.encode(data))

    def receive(self, deadline: float | None) -> bytes | None:
        while True:
            if self._kept:
                data, self._kept = self._kept, b""
                return data
            if self._ended:
                return b""
            received = self._wire.receive(deadline)
            if not received:
                return received
            self._take(self._codec.receive(received))
            if not self._kept and deadline is not None and time.monotonic() >= deadline:
                return None

    def _take(self, events: list[object]) -> None:
        for event in events:
            if isinstance(event, bytes):
                self._kept += event
            elif isinstance(event, Closed | PeerViolation):
                self._ended = True
        if self._codec.has_more:
            self._take(self._codec.receive(b""))
            return
        answer = self._codec.bytes_to_send()
        if answer:
            self._wire.send(answer)

    def start_tls(self, tls: TlsFiles) -> None:
        raise ClientError(f"{self._url} asks for TLS inside a WebSocket; wss:// has it outside")

    def fileno(self) -> int:
        return self._wire.fileno()

    def close(self) -> None:
        if not self._ended:
            try:
                self._wire.send(self._codec.encode_close(NORMAL_CLOSURE, ""))
            except ConnectionLostError:
                pass  # It is to end anyway.
        self._wire.close()
