"""A WebSocket, client role: the request for an upgrade, its answer, and frames in both directions.

A link through a firewall that lets only HTTP pass is such a stream.
"""

import base64
import struct
from collections.abc import Callable
from typing import NamedTuple

from protocols.close_reason import CloseReason
from protocols.errors import MisuseError, PeerViolation
from protocols.request_head import RequestHead
from protocols.websocket.accept_token import accept_token
from protocols.websocket.close_codes import may_be_sent
from protocols.websocket.control_frames import LARGEST_CONTROL_PAYLOAD, Closed, Pings, encode_close, encode_pong
from protocols.websocket.errors import FrameError
from protocols.websocket.masking import Unmasking
from protocols.websocket.response_head import ResponseError, read_response_head
from protocols.websocket.server_frames import MASKED, MEDIUM, WHOLE_BINARY, ServerFrameDecoder

MAX_RESPONSE_BYTES = 16_384
# What nats-server takes and answers: frames to it need no mask, which would protect nothing but foreign proxies.
NO_MASKING = (b"nats-no-masking", b"true")

_LARGE = 127
_KEY_SIZE = 4
_MEDIUM_HEAD = struct.Struct("!BBH")
_LARGE_HEAD = struct.Struct("!BBQ")


class Accepted(NamedTuple):
    """The server has agreed to the upgrade."""


class WebSocketClientCodec:
    """One WebSocket to a server, from the request to the close frame.

    Send `bytes_to_send()` first. Events: one Accepted; then at most one `bytes` per call, what the data frames of the
    batch held, joined; at the end Closed or PeerViolation, whose farewell is a close frame, or nothing before the
    upgrade. Pings are answered and the server's close is echoed through `bytes_to_send`.

    `host` is the value of the Host field, `target` the path, both without blanks and line breaks; `random_bytes` gives
    as many as it is asked for. With `offer_no_masking` the server is asked whether frames may come without a mask;
    `subprotocol` is what is spoken in them, where that has a name.
    """

    __slots__ = (
        "_answered",
        "_close_sent",
        "_ended",
        "_frames",
        "_head",
        "_key",
        "_masks",
        "_outgoing",
        "_random",
        "_subprotocol",
    )

    def __init__(
        self,
        host: str,
        target: str,
        random_bytes: Callable[[int], bytes],
        *,
        offer_no_masking: bool = True,
        subprotocol: bytes = b"",
    ) -> None:
        self._random = random_bytes
        self._key = base64.b64encode(random_bytes(16))  # RFC 6455 4.1
        fields = [
            (b"Host", host.encode()),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", self._key),
            (b"Sec-WebSocket-Version", b"13"),
        ]
        if offer_no_masking:
            fields.append(NO_MASKING)
        self._subprotocol = subprotocol
        if subprotocol:
            fields.append((b"Sec-WebSocket-Protocol", subprotocol))
        lines = [b"GET %b HTTP/1.1" % target.encode(), *(b"%b: %b" % field for field in fields)]
        self._outgoing = [b"\r\n".join(lines) + b"\r\n\r\n"]
        self._head = RequestHead(MAX_RESPONSE_BYTES)
        self._answered = False
        self._frames: ServerFrameDecoder | None = None
        self._masks = True
        self._close_sent = False
        self._ended = False

    @property
    def masks(self) -> bool:
        """Whether frames to the server have a mask."""
        return self._masks

    @property
    def has_more(self) -> bool:
        """Whether `receive(b"")` would go on with what is there, after others have had their turn."""
        return self._frames is not None and self._frames.has_more

    def receive(self, data: bytes) -> list[object]:
        if self._ended or not (data or self.has_more):
            return []
        if self._frames is not None:
            return self._receive_frames(self._frames, data)
        if not self._answered and data[:1] != b"H":  # Who speaks another protocol may never end a head.
            self._ended = True
            return [PeerViolation(CloseReason.PROTOCOL_VIOLATION, "the server does not speak HTTP", b"")]
        self._answered = True
        found = self._head.receive(data)
        if found is None:
            return []
        head, rest = found
        complaint = self._read_response(head)
        if complaint:
            self._ended = True
            return [PeerViolation(CloseReason.PROTOCOL_VIOLATION, complaint, b"")]
        self._frames = ServerFrameDecoder()
        events: list[object] = [Accepted()]
        return events + self._receive_frames(self._frames, rest) if rest else events

    def bytes_to_send(self) -> bytes:
        """What the codec itself has to say to the server, the request at first; each byte is handed out once."""
        outgoing, self._outgoing = self._outgoing, []
        return b"".join(outgoing)

    def encode(self, data: bytes) -> bytes:
        """One binary frame that holds `data`."""
        return self._mask(WHOLE_BINARY, data)

    def encode_close(self, code: int, reason: str) -> bytes:
        """A close frame; b"" before the upgrade, and when one has been handed out already.

        Raises MisuseError for a code that must not be sent.
        """
        if not may_be_sent(code):
            raise MisuseError(f"{code} is no close code to send")
        if self._frames is None or self._close_sent:
            return b""
        self._close_sent = True
        return self._masked(encode_close(code, reason))

    def _read_response(self, head: bytes) -> str:
        """What is wrong with the answer to our request; "" for nothing."""
        if not head.endswith((b"\n\r\n", b"\n\n")):
            return "the server's answer is too long"
        try:
            status, fields = read_response_head(head)
        except ResponseError as error:
            return f"the server's answer is no HTTP: {error}"
        if status != 101:
            return f"the server does not upgrade to WebSocket, its answer is {status}"
        upgrade = fields.get(b"upgrade", b"").lower()
        if upgrade != b"websocket" or fields.get(b"sec-websocket-accept") != accept_token(self._key):
            return "the server's answer is no WebSocket upgrade"
        if b"sec-websocket-extensions" in fields:
            return "the server wants an extension that was not offered"
        if fields.get(b"sec-websocket-protocol", self._subprotocol) != self._subprotocol:
            return "the server wants to speak a subprotocol that was not offered"
        self._masks = fields.get(NO_MASKING[0]) != NO_MASKING[1]
        return ""

    def _receive_frames(self, frames: ServerFrameDecoder, data: bytes) -> list[object]:
        events: list[object] = []
        for event in frames.receive(data):
            if isinstance(event, Pings):
                self._outgoing.extend([self._masked(encode_pong(payload)) for payload in event.payloads])
                continue
            if isinstance(event, Closed):
                self._say_close(encode_close(event.code, ""))  # RFC 6455 5.5.1
            elif isinstance(event, FrameError):
                farewell = b"" if self._close_sent else self._masked(encode_close(event.code, event.detail))
                self._close_sent = True
                event = PeerViolation(CloseReason.PROTOCOL_VIOLATION, event.detail, farewell)
            events.append(event)
        self._ended = frames.stopped
        return events

    def _say_close(self, frame: bytes) -> None:
        if not self._close_sent:
            self._close_sent = True
            self._outgoing.append(self._masked(frame))

    def _masked(self, frame: bytes) -> bytes:
        """A control frame of ours, whose head is two bytes, with a mask where the server wants that."""
        return self._mask(frame[0], frame[2:])

    def _mask(self, first: int, payload: bytes) -> bytes:
        size, mark = len(payload), MASKED if self._masks else 0
        if size <= LARGEST_CONTROL_PAYLOAD:
            head = bytes((first, mark | size))
        elif size <= 0xFFFF:
            head = _MEDIUM_HEAD.pack(first, mark | MEDIUM, size)
        else:
            head = _LARGE_HEAD.pack(first, mark | _LARGE, size)
        if not mark:
            return head + payload
        key = self._random(_KEY_SIZE)  # 5.3: not to be foretold
        run = Unmasking(size)
        run.add(payload, 0, size, key, 0)  # What takes a mask off puts it on.
        return head + key + run.take()
